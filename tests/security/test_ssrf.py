"""A seed peer fetches what strangers name, from inside the network: not everything, and never the machine's own secrets."""

import contextlib
import socket

import attrs
import httpx
import pytest
from tests.security.conftest import HASTY

from dfly.backend import Secret, option
from dfly.config import Network
from dfly.errors import AccessDenied, OriginUnavailable
from dfly.origin.addresses import forbidden
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.seed.options import caller_options
from dfly.testing.memory import memory_backend
from dfly.testing.origin import FaultyOrigin
from dfly_http import dfly_backends

(WEB,) = dfly_backends()

FORBIDDEN = [
    "169.254.169.254",
    "169.254.0.1",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "fe80::1",
    "fe80::a9fe:a9fe%1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "ff02::1",
    "::",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]
ALLOWED = [
    "127.0.0.1",
    "10.0.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "8.8.8.8",
    "::1",
    "fd00::1",
    "2001:db8::1",
    "hub.example",
    "",
]


@pytest.fixture
def dialled(monkeypatch):
    """Where connections would be opened to; only loopback is. Name → addresses in `names` stands in for DNS."""
    seen, names = [], {}
    connect, resolve = socket.create_connection, socket.getaddrinfo

    def create_connection(address, *args, **more):
        seen.append(address[0])
        if not address[0].startswith(("127.", "::1", "localhost")):
            raise ConnectionRefusedError(f"a test does not leave this machine for {address[0]}")
        return connect(address, *args, **more)

    def getaddrinfo(host, port, *args, **more):
        if host == "name.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [row for name in names.get(host, [host]) for row in resolve(name, port, *args, **more)]

    monkeypatch.setattr(socket, "create_connection", create_connection)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return seen, names


@contextlib.contextmanager
def wary(**more):
    with open_clients(
        Network(forbid_link_local=True, connect_timeout=1.0, **more), patience=HASTY, pauses=Pauses()
    ) as clients:
        yield clients.data


@pytest.mark.parametrize("address", FORBIDDEN)
def test_metadata_and_link_local_addresses_are_known_in_every_spelling(address):
    assert forbidden(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_other_addresses_and_names_are_not_mistaken_for_them(address):
    assert not forbidden(address)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_connection_is_opened_to_a_forbidden_address(dialled, address):
    host = f"[{address}]" if ":" in address else address
    with wary() as client, pytest.raises((AccessDenied, httpx.InvalidURL)):
        client.get(f"http://{host}/latest/meta-data")
    assert dialled[0] == []


@pytest.mark.parametrize(
    "answers", [["169.254.169.254"], ["fe80::1"], ["100.100.100.200"], ["127.0.0.1", "169.254.169.254"]]
)
def test_a_name_that_resolves_to_a_forbidden_address_is_not_dialled(dialled, answers):
    seen, names = dialled
    names["rebound.example"] = answers
    with wary() as client, pytest.raises(AccessDenied, match=r"rebound\.example"):
        client.get("http://rebound.example/")
    assert seen == []


def test_the_address_that_was_looked_at_is_the_one_that_is_dialled(dialled):
    """A name server that gives another answer to the second question is never asked one."""
    seen, names = dialled
    with FaultyOrigin() as origin, wary() as client:
        names["hub.example"] = ["127.0.0.1"]
        origin.add("f", b"content")
        assert client.get(origin.url_of("f").replace("127.0.0.1", "hub.example")).content == b"content"
    assert seen == ["127.0.0.1"]


def test_the_next_address_of_a_name_is_tried_where_the_first_is_dead(dialled):
    seen, names = dialled
    with FaultyOrigin() as origin, wary() as client:
        names["hub.example"] = ["127.0.0.9", "127.0.0.1"]
        origin.add("f", b"content")
        assert client.get(origin.url_of("f").replace("127.0.0.1", "hub.example")).content == b"content"
    assert seen == ["127.0.0.9", "127.0.0.1"]


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://metadata.google.internal/", "http://rebound.example/"]
)
def test_a_redirect_to_a_forbidden_address_is_not_followed(dialled, target):
    seen, names = dialled
    names["rebound.example"] = names["metadata.google.internal"] = ["169.254.169.254"]
    with FaultyOrigin() as origin, wary() as client:
        origin.redirect("f", target)
        with pytest.raises(AccessDenied, match="never fetched from"):
            client.get(origin.url_of("f"))
    assert set(seen) == {"127.0.0.1"}


def test_behind_a_proxy_a_spelled_out_address_is_refused_as_well(dialled):
    with FaultyOrigin() as proxy, wary(proxy=proxy.url) as client:
        for url in ("http://169.254.169.254/", "http://metadata/"):
            with pytest.raises(AccessDenied):
                client.get(url)
        assert proxy.requests == []


def test_a_name_that_does_not_resolve_is_said_as_ever(dialled):
    with wary() as client, pytest.raises(httpx.ConnectError):
        client.get("http://name.invalid/")


def test_a_seed_peer_is_always_wary(dialled, seed):
    seen, names = dialled
    names["rebound.example"] = ["169.254.169.254"]
    peer = seed(plugins=[WEB])
    with FaultyOrigin() as origin:
        origin.redirect("model.bin", "http://rebound.example/model.bin")
        for url in ("http://rebound.example/model.bin", origin.url_of("model.bin"), "http://0xA9FEA9FE/model.bin"):
            answer = peer.ask(url, recursive=False)
            assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied"), url
    assert "169.254.169.254" not in seen


def test_a_node_of_its_own_may_go_where_its_user_sends_it(dialled):
    with (
        open_clients(Network(connect_timeout=0.2), patience=HASTY, pauses=Pauses()) as clients,
        contextlib.suppress(httpx.HTTPError, OriginUnavailable),
    ):
        clients.data.get("http://169.254.169.254/")
    assert dialled[0] == ["169.254.169.254"]


def test_sources_outside_of_the_globs_are_refused(seed):
    peer = seed(allow_source=("memory://tiny*",))
    assert peer.ask("memory://tiny").status_code == 200
    for url in ("memory://other", "MEMORY://tiny", "memory:///tiny", "memory://x/memory://tiny"):
        answer = peer.ask(url)
        assert answer.status_code in (400, 403), url
        assert answer.json()["error"] in ("AccessDenied", "UnknownScheme")


def test_a_redirect_from_an_allowed_source_gets_none_of_the_callers_secrets(seed):
    """Hubs redirect to their CDNs, whose names nobody can list: so the origin may change, and everything secret stays."""
    with FaultyOrigin() as hub, FaultyOrigin(refuse_credentials=True) as cdn:
        peer = seed(plugins=[WEB], allow_source=(f"{hub.url}/*",))
        cdn.add("f.bin", b"x" * 100)
        hub.redirect("f.bin", cdn.url_of("f.bin"))
        secret = {"X-Dfly-Option-http-header": "X-Api-Key: HeaderSecret1"}
        assert peer.ask(hub.url_of("f.bin"), recursive=False, headers=secret).status_code == 200
        assert hub.requests[0].headers["x-api-key"] == "HeaderSecret1"
        assert cdn.requests
        assert cdn.leaks == []
        assert peer.ask(cdn.url_of("f.bin"), recursive=False).status_code == 403


def test_the_seed_peers_own_secrets_go_to_its_own_endpoint_only(seed):
    backend = memory_backend({"tiny": {"a": b"1"}})

    @attrs.frozen
    class WithEndpoint:
        token: Secret | None = option(help="t", secret=True, travels=True)
        key: Secret | None = option(help="k", secret=True, travels=False)
        revision: str | None = option(help="r")
        endpoint: str = option("https://hub.example", help="e", endpoint=True)

    Endpointed = type("Endpointed", (backend,), {"options": WithEndpoint})
    peer = seed(backend=Endpointed)
    for endpoint, status in (
        ("http://169.254.169.254/", 403),
        ("http://[fe80::1]/", 403),
        ("https://mirror.example", 200),
    ):
        assert peer.ask(headers={"X-Dfly-Option-memory-endpoint": endpoint}).status_code == status
    env = {"DFLY_MEMORY_KEY": "own-key", "DFLY_MEMORY_TOKEN": "own-token"}
    at_home = caller_options(Endpointed, {}, env).settings
    assert (at_home.key.reveal(), at_home.token) == ("own-key", None)
    away = caller_options(Endpointed, {"memory-endpoint": ("https://evil.example",)}, env).settings
    assert (away.key, away.token) == (None, None)
