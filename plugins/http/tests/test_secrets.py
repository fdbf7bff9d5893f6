"""User-info, headers and signatures open the link's own server, and appear nowhere else."""

import json
import math

import attrs
import pytest

import dfly
from dfly.backend import option_fields
from dfly.testing import faults
from dfly_http.backend import HttpBackend

BASIC = "Basic bWU6aHVzaC1wYXNzd29yZA=="


def guard(origin, path: str, header: str, value: str) -> None:
    """Let only those in who bring the header."""
    origin.fault(path, faults.status(401), times=math.inf, when=lambda seen: seen.headers.get(header) != value)


def travelling(value) -> str:
    """All that another machine, a log or a person gets to see of a snapshot or entry."""
    return repr(value) + json.dumps(attrs.asdict(value), default=str)


def test_user_info_opens_the_server_and_stays_out_of_the_entry(origin, backend, content, read):
    url = origin.add("model.bin", content)
    guard(origin, "model.bin", "authorization", BASIC)
    snapshot = backend.list(url.replace("://", "://me:hush-password@"))
    (entry,) = snapshot.entries
    assert entry.url == entry.identity == url
    assert read(backend, entry) == content
    for shown in (travelling(snapshot), repr(backend), repr(backend.locate(entry))):
        assert "hush" not in shown
        assert "bWU6" not in shown


def test_a_signature_opens_the_server_and_stays_out_of_the_entry(origin, backend, content, read):
    origin.add("model.bin", content)
    first, second = (backend.list(origin.sign("model.bin", uses=math.inf)) for _ in range(2))
    assert first == second
    (entry,) = first.entries
    assert entry.url == origin.url_of("model.bin")
    assert read(backend, entry) == content
    for shown in (travelling(first), repr(backend), repr(backend.locate(entry))):
        assert "sig1" not in shown
        assert "sig2" not in shown


def test_headers_given_reach_the_server_on_every_request(origin, build, content, read):
    url = origin.add("model.bin", content)
    backend = build(header=("X-Token: hush", "X-Token: hush-too", "Cookie: a=1", "Cookie: b=2"))
    assert read(backend, backend.stat(url), 10, 20) == content[10:20]
    assert {seen.headers["x-token"] for seen in origin.requests} == {"hush, hush-too"}
    assert {seen.headers["cookie"] for seen in origin.requests} == {"a=1; b=2"}
    assert "hush" not in repr(backend.settings)
    assert "hush" not in repr(backend.locate(backend.stat(url)))


def test_no_credential_follows_a_redirect_to_another_server(origin, cdn, build, content, read):
    cdn.add("stored", content)
    url = origin.redirect("model.bin", lambda: cdn.sign("stored", uses=9)).replace("://", "://me:hush@")
    backend = build(header=("X-Token: hush", "Cookie: session=hush"))
    assert read(backend, backend.stat(url)) == content
    assert cdn.leaks == []
    assert {"x-token", "cookie", "authorization"} <= origin.requests[0].headers.keys()


def test_a_header_given_wins_over_user_info(origin, build, content):
    url = origin.add("model.bin", content).replace("://", "://me:pw@")
    build(header=("Authorization: Bearer mine",)).stat(url)
    assert origin.requests[0].headers["authorization"] == "Bearer mine"


def test_an_entry_without_its_private_link_asks_with_the_public_one(origin, build, content):
    origin.add("model.bin", content)
    entry = build().stat(origin.sign("model.bin", uses=math.inf))
    stranger = build()
    assert stranger.locate(entry).url == origin.url_of("model.bin")
    with pytest.raises(dfly.AccessDenied):
        b"".join(stranger.get(entry, 0, None))


def test_one_callers_secret_never_authorizes_another(origin, backend, content):
    url = origin.add("model.bin", content)
    guard(origin, "model.bin", "authorization", BASIC)
    snapshot = backend.list(url.replace("://", "://me:hush-password@"))
    assert not backend.authorize(snapshot)
    with pytest.raises(dfly.AccessDenied):
        backend.stat(url)


def test_an_expired_link_says_to_get_a_new_one(origin, backend, content):
    origin.add("model.bin", content)
    entry = backend.stat(origin.sign("model.bin", uses=1))
    with pytest.raises(dfly.AccessDenied) as caught:
        b"".join(backend.get(entry, 0, None))
    assert "get a new one" in caught.value.hint
    assert "sig1" not in str(caught.value)


def test_a_new_link_to_the_same_entry_is_used_at_once(origin, backend, content, read):
    origin.add("model.bin", content)
    old = backend.stat(origin.sign("model.bin", uses=2))
    assert read(backend, old, 0, 100) == content[:100]
    new = backend.stat(origin.sign("model.bin", uses=math.inf))
    assert new == old
    assert read(backend, old) == content


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hush-token-alone", "has no name"),
        (": hush", "has no name"),
        ("Bad Name: hush", "has no name"),
        ("Range: bytes=0-hush", "header range is set by dfly"),
        ("If-Match: hush", "header if-match is set by dfly"),
        ("Host: hush", "header host is set by dfly"),
        ("X-Token: hush\r\nX-Evil: 1", "header x-token has characters"),
        ("X-Token: hush-é", "header x-token has characters"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_unseen(line, says, build):
    with pytest.raises(dfly.UsageError, match=says) as caught:
        build(header=(line,))
    assert "hush" not in str(caught.value)


def test_the_flag_is_named_after_the_plugin_and_has_the_familiar_alias():
    (spec,) = option_fields(HttpBackend)
    assert (spec.flag, spec.flags, spec.env) == ("--http-header", ("--header",), ("DFLY_HTTP_HEADER",))
    assert (spec.secret, spec.travels, spec.repeated) == (True, True, True)
