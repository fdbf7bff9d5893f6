"""A committed blob is served from the same file as its segments were, and never written to."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.swarm.conftest import Node, blob_of

from dfly.layout import Layout
from dfly.swarm import SegmentKey, WholeKey

SEGMENT = Layout(1).segment_length


def test_the_whole_torrent_takes_over_from_the_segments_without_a_recheck(nodes: Callable[..., Node]) -> None:
    blob = blob_of(2 * SEGMENT + 1000)
    holder, node, late = nodes(), nodes(), nodes()
    holder.hold(blob)
    for index in range(blob.layout.segments):
        holder.add(blob, index, have=True)
        node.add(blob, index, peers=[holder.address])
    for index in range(blob.layout.segments):
        node.wait_segment(blob, index)
    inode = os.stat(node.path).st_ino
    node.swarm.add_whole(blob.id, blob.layout, blob.all_hashes, path=node.path, seeding=True)
    for index in range(blob.layout.segments):
        node.swarm.remove(SegmentKey(blob.id, index))
    os.chmod(node.path, 0o400)
    late.swarm.add_whole(blob.id, blob.layout, blob.all_hashes, path=late.path, peers=[node.address], seeding=False)
    late.wait_whole(blob)
    assert Path(late.path).read_bytes() == blob.data
    assert os.stat(node.path).st_ino == inode
    assert late.swarm.stats().torrents[WholeKey(blob.id)].from_peers == len(blob.data)
    assert node.swarm.stats().from_peers == len(blob.data)


def test_a_committed_blob_with_a_flipped_byte_is_not_written_to_and_the_bad_piece_not_believed(
    nodes: Callable[..., Node],
) -> None:
    blob = blob_of(SEGMENT + 1000)
    flipped = bytearray(blob.data)
    flipped[SEGMENT // 3] ^= 1
    healthy, broken, late = nodes(), nodes(), nodes()
    healthy.hold(blob)
    broken.hold(blob, bytes(flipped))
    before = os.stat(broken.path)
    for node, after_restart in ((healthy, False), (broken, True)):
        node.swarm.add_whole(
            blob.id,
            blob.layout,
            blob.all_hashes,
            path=node.path,
            peers=[healthy.address, late.address],
            seeding=True,
            after_restart=after_restart,
        )
    late.swarm.add_whole(
        blob.id, blob.layout, blob.all_hashes, path=late.path, peers=[broken.address, healthy.address], seeding=False
    )
    late.wait_whole(blob)
    assert Path(late.path).read_bytes() == blob.data
    assert Path(broken.path).read_bytes() == bytes(flipped)
    assert os.stat(broken.path).st_mtime_ns == before.st_mtime_ns
