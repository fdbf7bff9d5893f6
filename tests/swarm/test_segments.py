"""Segments travel between real sessions, and readable means readable."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.swarm.conftest import Blob, Node, WebSeed, blob_of

from dfly.layout import SMALLEST_PIECE, Layout
from dfly.swarm import PeerConnected, PeerDisconnected, SegmentKey, SegmentReadable, SwarmEvent

PIECE, SEGMENT = SMALLEST_PIECE, Layout(1).segment_length


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, SEGMENT + 1, SEGMENT + 2 * PIECE - 1])
def test_any_size_arrives_byte_identical(nodes: Callable[..., Node], size: int) -> None:
    blob = blob_of(size)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    for index in range(blob.layout.segments):
        holder.add(blob, index, have=True, peers=[node.address])
        node.add(blob, index, peers=[holder.address])
    for index in range(blob.layout.segments):
        node.wait_segment(blob, index)
    assert Path(node.path).read_bytes() == blob.data
    assert [p.name for p in Path(node.path).parent.iterdir()] == ["data"]


def test_a_segment_is_readable_at_its_event(nodes: Callable[..., Node]) -> None:
    blob = blob_of(6 * SEGMENT)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    wrong: list[int] = []

    def check(event: SwarmEvent) -> None:
        if isinstance(event, SegmentReadable):
            index = event.key.index
            if node.read(*blob.layout.segment_range(index)) != blob.segment(index):
                wrong.append(index)

    node.on_event = check
    for index in range(blob.layout.segments):
        holder.add(blob, index, have=True)
        node.add(blob, index, peers=[holder.address])
    for index in range(blob.layout.segments):
        node.wait_segment(blob, index)
    assert wrong == []


def test_five_nodes_in_a_ring_pass_on_what_one_of_them_takes_from_the_web_seed(
    nodes: Callable[..., Node], web_seed: Callable[[Blob], WebSeed]
) -> None:
    blob = blob_of(3 * SEGMENT)
    seed = web_seed(blob)
    ring = [nodes(seed_peers=("127.0.0.1",)) for _ in range(5)]
    for index in range(blob.layout.segments):
        for place, node in enumerate(ring):
            neighbours = [ring[place - 1].address, ring[(place + 1) % 5].address]
            node.add(blob, index, peers=neighbours, web_seeds=[seed.url] if place == index else [])
        ring[4].wait_segment(blob, index)  # published one by one
    for index in range(blob.layout.segments):
        for node in ring:
            node.wait_segment(blob, index)
    assert all(Path(node.path).read_bytes() == blob.data for node in ring)
    assert seed.sent == len(blob.data)
    stats = [node.swarm.stats() for node in ring]
    assert sum(s.from_web_seeds for s in stats) == seed.sent
    assert all(s.from_web_seeds + s.from_peers - s.wasted == len(blob.data) for s in stats)


def test_neighbours_that_dial_each_other_at_once_keep_one_link(nodes: Callable[..., Node]) -> None:
    blob = blob_of(12 * SEGMENT)
    first, second = nodes(friendly=False), nodes(friendly=False)
    first.hold(blob)
    hashes = [blob.hashes(index) for index in range(blob.layout.segments)]
    together = threading.Barrier(2)

    def join(node: Node, other: Node, have: bool) -> None:
        for index, known in enumerate(hashes):
            together.wait()
            node.swarm.add_segment(blob.id, blob.layout, index, known, path=node.path, peers=[other.address], have=have)

    threads = [threading.Thread(target=join, args=args) for args in ((first, second, True), (second, first, False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(blob.layout.segments):
        second.wait_segment(blob, index)
    lost = [index for index in range(blob.layout.segments) if _lost_both_links(second, SegmentKey(blob.id, index))]
    assert lost == []


def _lost_both_links(node: Node, key: SegmentKey) -> bool:
    """Whether no link was left after one of two had been given up as superfluous."""
    links, chosen = 0, False
    for event in node.drain():
        if isinstance(event, PeerConnected) and event.key == key:
            links += 1
        elif isinstance(event, PeerDisconnected) and event.key == key:
            links -= 1
            chosen = chosen or "duplicate" in event.reason
            if chosen and links == 0:
                return True
    return False


def test_pieces_that_are_there_are_not_fetched_again(nodes: Callable[..., Node]) -> None:
    blob = blob_of(SEGMENT)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    node.hold(blob, blob.data[: 5 * PIECE])
    holder.add(blob, 0, have=True)
    key = node.add(blob, 0, peers=[holder.address], have_pieces=range(5))
    node.wait_segment(blob, 0)
    assert Path(node.path).read_bytes() == blob.data
    assert node.swarm.stats().torrents[key].downloaded == 11 * PIECE


def test_a_holder_that_joins_later_is_found_without_being_named_again(nodes: Callable[..., Node]) -> None:
    blob = blob_of(PIECE)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    node.add(blob, 0, peers=[holder.address])
    holder.add(blob, 0, have=True, peers=[node.address])
    node.wait_segment(blob, 0)


def test_a_chord_dials_at_once_where_nothing_is_connected(nodes: Callable[..., Node]) -> None:
    blob = blob_of(3 * PIECE)
    holder, node = nodes(), nodes()
    holder.hold(blob)
    holder.add(blob, 0, have=True)
    key = node.add(blob, 0)
    node.swarm.add_peer(key, holder.address)
    node.wait_segment(blob, 0)
    assert node.read(0, len(blob.data)) == blob.data


def test_the_same_segment_cannot_be_added_twice(nodes: Callable[..., Node]) -> None:
    blob = blob_of(1)
    node = nodes()
    key = node.add(blob, 0)
    assert key in node.swarm
    with pytest.raises(ValueError, match="already"):
        node.add(blob, 0)
    node.swarm.remove(key)
    assert key not in node.swarm
    node.add(blob, 0)
    assert node.swarm.keys() == [key]
