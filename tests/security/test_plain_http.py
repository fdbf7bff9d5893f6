"""Tokens on plain HTTP: refused off loopback by both ends, unless --insecure."""

import socket

import httpx
import pytest
from tests.security.conftest import CANARY, FILES

from dfly.backend import Secret, option_fields
from dfly.config import Network
from dfly.errors import SwarmError, UsageError
from dfly.node.control import SeedPeer
from dfly.node.travelling import secret_options
from dfly.testing.memory import memory_backend
from dfly.wire import Ask, Report


def nothing_goes_out(request):
    raise AssertionError(f"{request.url} was asked")


def node_side(url, **more):
    client = httpx.Client(transport=httpx.MockTransport(nothing_goes_out))
    return SeedPeer(url=url, client=client, secret=frozenset({"memory-token"}), **more)


FAR = "http://10.0.0.9:65001"


def test_a_node_sends_no_hub_token_to_another_machine_in_plain_text():
    with pytest.raises(UsageError, match="plain HTTP"):
        node_side(FAR).resolve(Ask(url="memory://tiny"), {"memory-token": CANARY})


def test_a_node_sends_no_cluster_token_to_another_machine_in_plain_text():
    peer = node_side(FAR, cluster_token=Secret(CANARY))
    for call in (
        lambda: peer.resolve(Ask(url="memory://tiny"), {}),
        lambda: peer.report("t", Report(node="n")),
        lambda: peer.hashes("t", "b"),
    ):
        with pytest.raises(UsageError, match="plain HTTP"):
            call()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://10.0.0.9", FAR])
def test_a_private_way_or_insecure_lets_tokens_pass(url):
    peer = node_side(url, cluster_token=Secret(CANARY), insecure=url == FAR)
    with pytest.raises(AssertionError, match="was asked"):
        peer.resolve(Ask(url="memory://tiny"), {"memory-token": CANARY})


@pytest.mark.parametrize("host", ["127.0.0.1.evil.example", "localhost.evil.example", "10.127.0.0", "[::2]", "0.0.0.0"])
def test_a_name_that_looks_like_loopback_is_another_machine(host):
    with pytest.raises(UsageError, match="plain HTTP"):
        node_side(f"http://{host}:1", cluster_token=Secret(CANARY)).hashes("t", "b")


def test_what_is_secret_is_the_plugins_own_word_not_a_guess_at_names():
    backend = memory_backend({})
    assert secret_options(backend) == {"memory-token"}
    assert {f.flag.removeprefix("--") for f in option_fields(backend) if not f.secret}.isdisjoint(
        secret_options(backend)
    )


@pytest.mark.netns
def test_a_seed_peer_takes_no_hub_token_in_plain_text_from_another_machine(elsewhere, seed):
    peer = elsewhere(lambda: seed(listen=(elsewhere.address, 0), token=CANARY))
    answer = elsewhere(lambda: peer.ask(headers={"X-Dfly-Option-memory-token": CANARY}))
    assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")
    assert "plain HTTP" in answer.json()["message"]
    assert CANARY not in answer.text


@pytest.mark.netns
def test_a_forwarded_header_does_not_make_a_connection_private(elsewhere, seed):
    peer = elsewhere(lambda: seed(listen=(elsewhere.address, 0), token=CANARY))
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1;proto=https"}
    answer = elsewhere(lambda: peer.ask(headers={"X-Dfly-Option-memory-token": CANARY, **forged}))
    assert answer.status_code == 403


@pytest.mark.netns
def test_insecure_is_what_makes_a_seed_peer_take_it(elsewhere, seed):
    peer = elsewhere(lambda: seed(listen=(elsewhere.address, 0), token=CANARY, insecure=True))
    answer = elsewhere(lambda: peer.ask(headers={"X-Dfly-Option-memory-token": CANARY}))
    assert answer.status_code == 200


def test_a_seed_peer_is_reached_past_the_environments_proxy(seed, get, monkeypatch, tmp_path):
    """What nodes tell their seed peer is no proxy's business; libtorrent asks none either."""
    peer, (name, content) = seed(), next(iter(FILES.items()))
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        for variable in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(variable, url)
        get("memory://tiny", peer.url, peer.backend)
        assert (tmp_path / "out" / name).read_bytes() == content
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_proxy_that_is_given_is_used_for_the_seed_peer_too(seed, get):
    peer = seed()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SwarmError, match="cannot be reached"):
            get("memory://tiny", peer.url, peer.backend, network=Network(proxy=nobody))
