"""A peer with wrong bytes behind the right info hash is shut out, named, and does no harm; slander does none either."""

from collections.abc import Callable

from dfly.layout import MIB

from .conftest import World

Build = Callable[..., World]


def test_a_peer_with_wrong_bytes_is_out_within_seconds_named_and_harmless(world: Build) -> None:
    w = world(80 * MIB, rate=20 * MIB)
    liar = w.corrupt()
    for _ in range(3):
        w.node()
    w.check()
    assert w.wait_logged("peer.accused")["address"].startswith(liar.address)
    assert w.wait_logged("peer.expelled")["address"].startswith(liar.address)
    named = [said for node in w.nodes for said in node.said() if liar.address in said and "shut out" in said]
    assert len(named) >= 2
    assert w.stats()["hub_bytes"] == w.size
