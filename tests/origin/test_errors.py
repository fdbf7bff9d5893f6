"""What goes wrong below HTTP is said in words, without secrets, and with what to try."""

import logging
import socket
import threading

import pytest
from tests.origin.conftest import CERTIFICATE, CONTENT, rigged

from dfly.errors import AccessDenied, OriginUnavailable, Unsupported, Untrusted


def test_a_host_name_that_does_not_exist_says_so(rig, entry_of, monkeypatch):
    real = socket.getaddrinfo

    def nobody(host, *args, **given):
        # no test asks a name server: one that is slow, or knows every name, would decide
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *args, **given)

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with pytest.raises(OriginUnavailable, match=r"nowhere.invalid.*cannot be resolved"):
        rig.read(entry_of("https://nowhere.invalid/m"))


def test_a_refused_connection_says_so(rig, hub, entry_of):
    hub.close()
    with pytest.raises(OriginUnavailable, match="refused"):
        rig.read(entry_of(hub.url_of("m")))


def test_an_unknown_certificate_is_never_trusted_nor_retried(rig, secure, entry_of):
    entry = entry_of(secure.add("m", CONTENT))
    with pytest.raises(Untrusted) as caught:
        rig.fetch(entry)
    assert "--ca-file" in caught.value.hint
    assert (rig.retries, secure.requests) == ([], [])


def test_a_certificate_of_a_given_authority_is_trusted(secure, entry_of):
    entry = entry_of(secure.add("m", CONTENT))
    with rigged(ca_file=str(CERTIFICATE)) as rig:
        assert rig.read(entry, 0, 10) == CONTENT[:10]


def test_a_certificate_for_another_name_is_not(secure, entry_of):
    secure.add("m", CONTENT)
    with rigged(ca_file=str(CERTIFICATE)) as rig, pytest.raises(Untrusted):
        rig.read(entry_of(secure.url_of("m").replace("127.0.0.1", "127.1")))


def test_https_to_a_plain_port_is_explained(rig, hub, entry_of):
    with pytest.raises(OriginUnavailable, match="TLS"):
        rig.read(entry_of(hub.url_of("m").replace("http:", "https:")))


def test_a_token_with_a_line_break_is_refused_without_being_shown(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    rig.backend.extra = {"headers": {"Authorization": "Bearer hf_secret\nX"}}
    with pytest.raises(Unsupported) as caught:
        rig.read(entry)
    assert caught.value.__cause__ is None
    assert "hf_secret" not in str(caught.value)
    assert hub.requests == []


def test_a_url_that_is_none_is_the_requests_fault(rig, entry_of):
    for url in ("ftp://host/m", "http:///m"):
        with pytest.raises((Unsupported, OriginUnavailable)):
            rig.read(entry_of(url))


def test_a_proxy_that_wants_a_password_says_which_variable(entry_of):
    with _proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        with rigged(proxy=proxy) as rig, pytest.raises(AccessDenied, match="proxy") as caught:
            rig.read(entry_of("https://hub.invalid/m"))
        assert "HTTPS_PROXY" in caught.value.hint


def test_a_proxy_that_fails_is_named_as_the_culprit(entry_of):
    with (
        _proxy(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n") as proxy,
        rigged(proxy=proxy) as rig,
        pytest.raises(OriginUnavailable, match=r"the proxy in front of hub\.invalid"),
    ):
        rig.read(entry_of("https://hub.invalid/m"))


def test_no_log_line_holds_a_signed_query(rig, hub, cdn, entry_of, caplog):
    caplog.set_level(logging.DEBUG)
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=9)))
    rig.backend.extra = {"headers": {"Authorization": "Bearer hf_secret"}}
    rig.read(entry, 0, 10)
    rig.read(entry, 10, 20)
    assert cdn.url_of("m") in caplog.text
    assert "Signature" not in caplog.text
    assert "hf_secret" not in caplog.text


class _proxy:
    """Answers every connection with one canned reply."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> str:
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(self._reply)
        except OSError:
            return

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
