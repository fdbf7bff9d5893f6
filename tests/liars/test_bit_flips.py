"""A bit that a disk has changed is found before it is passed on a second time, and mended; nothing wrong is ever committed."""

from collections.abc import Callable

import pytest

from dfly.layout import Layout

from .conftest import Gate, World, flip, gated

Build = Callable[..., World]
SIZE = 5 * Layout(1).segment_length
LAYOUT = Layout(SIZE)
FIRST, LAST = LAYOUT.segment_range(0), LAYOUT.segment_range(LAYOUT.segments - 1)
#: What is held back is a piece: a whole segment would hold up all connections to the hub.
FIRST_PIECE, LAST_PIECE = LAYOUT.piece_range(0), LAYOUT.piece_range(LAYOUT.pieces - 1)


def test_a_node_mends_what_its_disk_changed_when_another_node_finds_it_wrong(world: Build) -> None:
    gate = Gate(*LAST_PIECE)
    w = world(SIZE, backend=gated(SIZE, gate))
    holder = w.node()
    holder.wait_held(*range(LAYOUT.segments - 1))
    flip(holder.partial, FIRST[0] + 5)
    other = w.node()
    assert "segments 0: fetched again" in holder.wait_warning("the disk changed")
    assert w.wait_logged("segment.doubted")["address"].startswith(holder.address)
    gate.open()
    w.check()
    assert any(holder.address in said for said in other.said())
    assert not [line for line in w.logged if line["event"] in ("peer.accused", "peer.expelled")]
    assert w.stats()["hub_bytes"] == SIZE


def test_a_node_never_commits_what_its_disk_changed(world: Build) -> None:
    gate = Gate(*FIRST_PIECE)
    w = world(SIZE, backend=gated(SIZE, gate))
    node = w.node()
    node.wait_held(*range(1, LAYOUT.segments))
    flip(node.partial, LAST[1] - 1)
    assert not node.output.exists()
    gate.open()
    w.check()
    assert f"segments {LAYOUT.segments - 1}: fetched again" in node.wait_warning("the disk changed")
    assert w.stats()["hub_bytes"] == SIZE


def test_an_output_that_changes_while_it_is_served_is_not_served_and_not_touched(world: Build) -> None:
    w = world(SIZE)
    w.liar()  # is never done, so that the holder goes on serving
    holder = w.node()
    holder.wait_done()
    flip(holder.output, FIRST[0] + 5)
    changed = holder.output.read_bytes()
    other = w.node()
    other.wait_done()
    assert other.output.read_bytes() == w.data
    assert "no longer served" in holder.wait_warning("the disk changed")
    assert holder.output.read_bytes() == changed


@pytest.mark.parametrize("complete", [True, False], ids=["committed", "arriving"])
def test_the_seed_peer_repairs_what_its_disk_changed(world: Build, complete: bool) -> None:
    gate = Gate(*LAST_PIECE)
    w = world(SIZE, backend=gated(SIZE, gate))
    first = w.node(seed_time=0.0)
    if complete:
        gate.open()
        first.wait_done()
    else:
        first.wait_held(*range(LAYOUT.segments - 1))
    first.close()
    flip(w.seed_file, FIRST[0] + 5)
    second = w.node()
    w.nodes.remove(first)
    second.wait_warning("the seed peer sent wrong bytes of segment 0")
    assert w.wait_logged("segment.damaged")["segment"] == 0
    assert w.wait_logged("segment.repaired")["segment"] == 0
    gate.open()
    w.check()
    assert w.seed_file.read_bytes() == w.data
    assert w.stats()["hub_bytes"] == SIZE + LAYOUT.piece_length, "one piece more, and no more"
