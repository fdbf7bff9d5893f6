"""Nobody who was not named comes in, and the seed peer always does."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.swarm.conftest import Blob, Node, WebSeed, blob_of

from dfly.layout import MIB
from dfly.swarm import PeerConnected, SegmentReadable
from dfly.swarm.admission import Admission
from dfly.swarm.door import Door


def test_a_stranger_is_not_let_in(nodes: Callable[..., Node]) -> None:
    blob = blob_of(MIB)
    holder, friend, stranger = nodes(friendly=False), nodes(), nodes()
    holder.hold(blob)
    holder.swarm.allow([friend.host])
    holder.add(blob, 0, have=True)
    key = stranger.add(blob, 0, peers=[holder.address])
    friend.add(blob, 0, peers=[holder.address])
    friend.wait_segment(blob, 0)
    assert SegmentReadable(key) not in stranger.drain()
    assert stranger.swarm.stats().torrents[key].downloaded == 0
    holder.wait_kind(PeerConnected)
    assert {e.address[0] for e in holder.drain() if isinstance(e, PeerConnected)} == {friend.host}
    holder.swarm.allow([stranger.host])
    stranger.wait_segment(blob, 0)


def test_a_denied_peer_is_cut_off_and_stays_out(nodes: Callable[..., Node]) -> None:
    node, peer = nodes(friendly=False), nodes(friendly=False)
    node.swarm.allow([peer.host])
    assert node.swarm.admits(peer.host)
    node.swarm.deny([peer.host])
    node.swarm.allow([peer.host])
    assert not node.swarm.admits(peer.host)


def test_the_seed_peers_web_seed_is_reached_through_the_filter(
    nodes: Callable[..., Node], web_seed: Callable[[Blob], WebSeed]
) -> None:
    blob = blob_of(MIB)
    seed = web_seed(blob)
    node = nodes(friendly=False, interfaces=("127.0.0.1",))
    node.swarm.deny(["127.0.0.1"])
    key = node.add(blob, 0, web_seeds=[seed.url])
    node.wait_segment(blob, 0)
    assert node.swarm.arrived(key) == {"seed-peer": len(blob.data), "peer": 0}


def test_a_web_seed_url_with_a_query_is_refused(nodes: Callable[..., Node]) -> None:
    with pytest.raises(ValueError, match="query"):
        nodes().add(blob_of(1), 0, web_seeds=["http://127.0.0.1:1/blob?token=x"])


def test_only_ip_addresses_can_be_named() -> None:
    with pytest.raises(ValueError, match=r"seed\.example"):
        Admission(["seed.example"])


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::7"])
def test_both_kinds_of_address_are_filtered(address: str) -> None:
    admission = Admission()
    assert not admission.admits(address)
    assert admission.filter().access(address) == 1
    assert admission.allow([address])
    assert not admission.allow([address])
    assert admission.filter().access(address) == 0
    assert admission.deny([address])
    assert admission.filter().access(address) == 1
    assert admission.trust([address])
    assert admission.filter().access(address) == 0


def test_libtorrent_gets_a_new_filter_only_when_somebody_else_may_connect() -> None:
    applied: list[Any] = []
    door = Door(["127.0.0.1"], apply=applied.append)
    door.allow(["127.0.0.2"])
    assert len(applied) == 2
    door.allow(["127.0.0.2"])
    door.trust(["http://127.0.0.1:80/v1/blobs/grant/b", "http://seed.example/v1/blobs/grant/b"])
    assert len(applied) == 2
    door.hang_up(["127.0.0.2"])
    assert applied[-1].access("127.0.0.2") == 1


def test_the_address_in_a_web_seeds_url_is_let_in_and_cannot_be_denied() -> None:
    applied: list[Any] = []
    door = Door([], apply=applied.append)
    assert applied[-1].access("127.0.0.3") == 1
    door.trust(["http://127.0.0.3:80/v1/blobs/grant/b"])
    door.deny(["127.0.0.3"])
    assert applied[-1].access("127.0.0.3") == 0
    assert door.admits("127.0.0.3")
