"""A peer that accepts, promises and never sends costs seconds, and its place."""

from collections.abc import Callable

import pytest

from dfly.layout import MIB

from .conftest import World

Build = Callable[..., World]


def test_a_peer_that_never_sends_is_named_and_loses_its_place(world: Build) -> None:
    w = world(80 * MIB, rate=12 * MIB)
    liar = w.silent()
    for _ in range(3):
        w.node()
    w.check()
    assert liar.requests, "nobody asked it for anything"
    assert w.wait_logged("peer.silent")["address"].startswith(liar.address)


@pytest.mark.long
def test_two_silent_neighbours_do_not_stop_a_node(world: Build) -> None:
    w = world(24 * MIB)
    liars = [w.silent(address) for address in ("127.0.0.30", "127.0.0.31")]
    w.node()
    w.check()
    assert sum(liar.requests for liar in liars)
