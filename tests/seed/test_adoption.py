"""The mirror and segments that nodes hold: nobody fetches them, they come from nodes, or are fetched after all."""

import hashlib
import os
import threading

import attrs
import pytest

from dfly.layout import SMALL, Layout
from dfly.testing import faults

from .located import freight_of
from .rigs import PIECE, SEGMENT, SIZE, content, from_segment


def hashes_of(data, index):
    layout = Layout(len(data))
    pieces = (layout.piece_range(piece) for piece in layout.segment_pieces(index))
    return b"".join(hashlib.sha1(data[a:b]).digest() for a, b in pieces)


def wait_for(look):
    """What `look` gives as soon as it gives something."""
    beat = threading.Event()
    for _ in range(6000):
        found = look()
        if found:
            return found
        beat.wait(0.01)
    raise AssertionError("it did not come")


@attrs.define
class Takeover:
    """A mirror whose blob was published before by another one, as `data`."""

    mirror: object
    ear: object
    freight: object
    blob: str
    data: bytes

    def adopt(self, *indexes, attempt=1):
        return [
            self.mirror.adopt(self.blob, index, len(self.data), hashes_of(self.data, index), attempt)
            for index in indexes
        ]

    def place(self, index):
        """Write a segment as a node's bytes would be, and say so."""
        path = wait_for(lambda: self.mirror.receive(self.blob))
        start, stop = Layout(len(self.data)).segment_range(index)
        with open(path, "r+b") as file:
            os.pwrite(file.fileno(), self.data[start:stop], start)
        self.mirror.received(self.blob, index, hashes_of(self.data, index))


@pytest.fixture
def take_over(rig):
    """A takeover of the first of these files, or of their pack, with the adopted segments."""

    def begin(*files, adopted=(), data=None, **how):
        freight = freight_of(*files)
        mirror, ear, _ = rig.open(**how)
        mirror.want(freight, rig.backend, task="t", held_back=True)
        if freight.pack:
            blob, right = freight.pack.blob, b"".join(rig.files[e.path] for e in freight.pack.entries)
        else:
            blob, right = files[0].blob, rig.files[files[0].path]
        taken = Takeover(mirror, ear, freight, blob, data or right)
        assert all(taken.adopt(*adopted))
        mirror.let_go(freight)
        return taken

    return begin


def test_what_is_held_back_asks_the_origin_for_nothing(rig):
    freight = freight_of(rig.file("f", content(SIZE)), rig.file("g", content(SEGMENT)))
    mirror, ear, _ = rig.open()
    for _ in range(2):
        mirror.want(freight, rig.backend, task="t", held_back=True)
    wait_for(lambda: all(mirror.path(blob) for blob in freight.sizes()))
    assert rig.origin.requests == []
    mirror.let_go(freight)
    ear.complete(freight)
    assert rig.right(mirror, freight)


def test_what_is_left_from_before_is_published_while_the_rest_is_held_back(rig):
    freight, held = freight_of(rig.file("f", content(SIZE))), threading.Event()
    rig.origin.fault("f", faults.stall(held, after=10), when=from_segment(1))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    (blob,) = freight.sizes()
    ear.wait("segment", blob, 0), ear.wait("segment", blob, 2)
    wait_for(lambda: any(map(from_segment(1), rig.origin.requests)))
    mirror.close(), store.close()
    asked = len(rig.origin.requests)
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t", held_back=True)
    ear.wait("segment", blob, 0), ear.wait("segment", blob, 2)
    assert len(rig.origin.requests) == asked
    held.set()


def test_adopted_segments_are_not_fetched_and_cannot_be_read(rig, take_over):
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0, 2))
    taken.ear.wait("segment", taken.blob, 1)
    assert all(map(from_segment(1), rig.origin.requests))
    assert taken.mirror.state(taken.blob).segments.keys() == {1}
    assert not taken.mirror.published(taken.blob, 0, SEGMENT)
    assert taken.mirror.hub_bytes == SEGMENT


def test_the_blob_is_complete_when_nodes_have_sent_what_they_hold(rig, take_over):
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0, 2))
    taken.place(2)
    taken.place(0)
    taken.ear.complete(taken.freight)
    assert rig.right(taken.mirror, taken.freight)
    assert taken.mirror.hub_bytes == SEGMENT
    assert not taken.ear.lies


def test_the_file_stays_open_for_a_segment_that_was_asked_for(rig, take_over):
    origin_goes_on = threading.Event()
    entry = rig.file("f", content(SIZE))
    rig.origin.fault("f", faults.stall(origin_goes_on, after=10), when=from_segment(1))
    taken = take_over(entry, adopted=(0, 2))
    path = wait_for(lambda: taken.mirror.receive(taken.blob))
    # nothing is left to do for the origin, nor for anybody but the nodes
    origin_goes_on.set()
    taken.ear.wait("segment", taken.blob, 1)
    assert taken.mirror.receive(taken.blob) == path
    taken.place(0)
    taken.place(2)
    taken.ear.complete(taken.freight)
    assert taken.mirror.hub_bytes == SEGMENT


def test_a_segment_that_nobody_holds_any_more_is_fetched(rig, take_over):
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0, 1, 2))
    taken.mirror.reclaim(taken.blob, 2)
    taken.ear.wait("segment", taken.blob, 2)
    assert all(map(from_segment(2), rig.origin.requests))
    taken.mirror.reclaim(taken.blob, 0)
    taken.mirror.reclaim(taken.blob, 1)
    taken.ear.complete(taken.freight)
    assert rig.right(taken.mirror, taken.freight)
    assert taken.mirror.hub_bytes == SIZE


def test_wrong_bytes_from_nodes_are_withdrawn_and_all_is_fetched(rig, take_over):
    wrong = bytes(SEGMENT) + content(SIZE)[SEGMENT:]
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0,), data=wrong)
    taken.place(0)
    taken.ear.wait("complete", taken.blob, 2)
    assert ("withdrawn", 1) in taken.ear.of(taken.blob)
    assert rig.right(taken.mirror, taken.freight)


def test_hashes_that_are_not_those_of_the_origins_bytes_cost_an_attempt(rig, take_over):
    wrong = bytes(SEGMENT) + content(SIZE)[SEGMENT:]
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0,), data=wrong)
    taken.ear.wait("segment", taken.blob, 2)
    taken.mirror.reclaim(taken.blob, 0)
    taken.ear.wait("complete", taken.blob, 2)
    told = taken.ear.of(taken.blob)
    assert {("segment", index, 2) for index in range(3)} <= set(told[told.index(("withdrawn", 1)) :])
    assert rig.right(taken.mirror, taken.freight)
    assert taken.mirror.hub_bytes == SIZE


def test_a_later_attempt_of_nodes_is_gone_on_with_and_an_earlier_one_is_of_no_use(rig, take_over):
    taken = take_over(rig.file("f", content(SIZE)), adopted=(0,))
    taken.ear.wait("segment", taken.blob, 2)
    assert taken.adopt(1, attempt=3) == [True]
    taken.ear.wait("segment", taken.blob, 2, 3)
    assert taken.adopt(0, attempt=2) == [False]
    taken.ear.wait("segment", taken.blob, 0, 3)
    assert rig.right(taken.mirror, taken.freight)


@pytest.mark.parametrize(
    ("size", "index", "hashes"), [(SIZE + 1, 0, 320), (SIZE, 3, 20), (SIZE, 1 << 50, 20), (SIZE, 0, 300)]
)
def test_what_does_not_fit_the_blob_is_not_adopted(rig, take_over, size, index, hashes):
    taken = take_over(rig.file("f", content(SIZE)))
    assert not taken.mirror.adopt(taken.blob, index, size, bytes(hashes), 1)
    assert not taken.mirror.adopt("sha256-0", 0, SIZE, bytes(320), 1)


def test_blobs_that_nodes_hold_take_no_room_from_others(rig):
    carried = [rig.file(f"{n}", content(SMALL + 1 + n, n)) for n in range(40)]
    freight = freight_of(*carried, rig.file("last", content(SEGMENT)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t", held_back=True)
    for entry in carried:
        data = rig.files[entry.path]
        assert mirror.adopt(entry.blob, 0, len(data), hashes_of(data, 0), 1)
    mirror.let_go(freight)
    last = list(freight.blobs)[-1]
    ear.wait("complete", last)
    assert mirror.hub_bytes == SEGMENT


def small_files(rig):
    return [rig.file(f"{n:02}", content(PIECE - n, n)) for n in range(40)]


def test_of_a_pack_only_the_files_that_no_node_holds_are_fetched(rig, take_over):
    taken = take_over(*small_files(rig), adopted=(0, 2))
    taken.ear.wait("segment", taken.blob, 1)
    asked = {int(seen.path) for seen in rig.origin.requests}
    assert asked == set(range(16, 33))
    for index in (0, 2):
        taken.place(index)
    taken.ear.complete(taken.freight)
    assert rig.right(taken.mirror, taken.freight)
    assert {int(seen.path) for seen in rig.origin.requests} == asked


def test_the_files_of_a_pack_that_nodes_lost_are_fetched(rig, take_over):
    taken = take_over(*small_files(rig), adopted=(0, 1, 2))
    taken.mirror.reclaim(taken.blob, 1)
    taken.ear.wait("segment", taken.blob, 1)
    for index in (0, 2):
        taken.mirror.reclaim(taken.blob, index)
    taken.ear.complete(taken.freight)
    assert rig.right(taken.mirror, taken.freight)
    assert taken.mirror.hub_bytes == taken.freight.pack.size


def test_a_pack_with_a_wrong_file_from_nodes_is_filled_anew(rig, take_over):
    files = small_files(rig)
    data = b"".join(rig.files[entry.path] for entry in files)
    taken = take_over(*files, adopted=(0,), data=bytes(2 * PIECE) + data[2 * PIECE :])
    taken.place(0)
    taken.ear.wait("complete", taken.blob, 2)
    assert ("withdrawn", 1) in taken.ear.of(taken.blob)
    assert rig.right(taken.mirror, taken.freight)
