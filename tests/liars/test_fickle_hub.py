"""A hub that changes a file in flight: the pinned revision, or a clear error; never a mixture."""

from collections.abc import Callable

from dfly.layout import MIB, Layout

from .conftest import FILE, Gate, World, content_of, gated

Build = Callable[..., World]
SIZE = 24 * MIB


def test_a_branch_that_moves_in_flight_gives_everybody_the_pinned_commit(world: Build) -> None:
    gate = Gate(*Layout(SIZE).segment_range(1))
    w = world(SIZE, backend=gated(SIZE, gate))
    early = w.node()
    early.wait_held(0)
    w.backend.hub.commit("repo", {FILE: content_of(SIZE + 1)[1:]})
    late = w.node()
    gate.open()
    early.wait_done()
    assert early.output.read_bytes() == w.data
    late.wait_done()
    # the seed peer remembers for a while what the branch meant
    assert late.output.read_bytes() == w.data
