"""The bookkeeping of one blob in the swarm: announced, asked for, held, withdrawn, whole."""

import hashlib
import os
import random

import pytest

from dfly.events import ignore
from dfly.layout import SMALLEST_PIECE, Layout
from dfly.node.arrival import Arrival
from dfly.node.flow import Flow
from dfly.node.freight import swarm_arrivals
from dfly.node.window import Ongoing
from dfly.output.plan import Target
from dfly.packs import Freight
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import WireError

DATA = random.Random(17).randbytes(2 * Layout(1).segment_length + 2 * SMALLEST_PIECE)
SIZE = len(DATA)
LAYOUT = Layout(SIZE)


def hashes(index, data=DATA):
    spans = [LAYOUT.piece_range(piece) for piece in LAYOUT.segment_pieces(index)]
    return b"".join(hashlib.sha1(data[start:stop]).digest() for start, stop in spans)


ALL = b"".join(hashes(index) for index in range(LAYOUT.segments))


@pytest.fixture
def flow(tmp_path):
    """Make the flow of one blob; what an earlier one left in the same folder is found."""
    made = []

    def make(*, size=SIZE, told=True) -> Flow:
        digests = (Digest("sha256", hashlib.sha256(DATA).hexdigest()),) if told else ()
        entry = Entry(path="f", size=size, url="g://h@1/f", identity="g://h/f", digests=digests, validator="1")
        target = Target(entry, str(tmp_path / "f"))
        arrival = Arrival(blob="sha256-b", entry=entry, targets=[target], root=str(tmp_path), emit=ignore, swarmed=True)
        made.append(Flow(arrival))
        return made[-1]

    yield make
    for each in made:
        each.arrival.close()


def arrive(flow, index, data=DATA):
    """What libtorrent and the hasher do."""
    start, stop = LAYOUT.segment_range(index)
    partial = flow.gathered().partial
    os.pwrite(partial.fd, data[start:stop], start)
    partial.segment_arrived(index, hashes(index, data))
    flow.ongoing.pop(index, None)
    flow.held.add(index)
    flow.journalled.add(index)


def duties(flow) -> list[int]:
    """All that this node is to bring in, as if it asked for each."""
    found = []
    before = dict(flow.ongoing)
    while (index := flow.take_duty()) is not None:
        found.append(index)
        ask(flow, index)
    flow.ongoing = before
    return found


def ask(flow, index):
    flow.ongoing[index] = Ongoing(began=0.0, progressed=0.0, web_seed=False)


def test_segments_are_asked_for_in_order_whatever_the_order_of_their_announcement(flow):
    blob = flow()
    for index in (2, 0, 1):
        assert not blob.announce(index, SIZE, hashes(index))
    assert [blob.take_waiting() for _ in range(4)] == [0, 1, 2, None]


def test_a_segment_that_is_announced_twice_is_asked_for_once(flow):
    blob = flow()
    blob.announce(0, SIZE, hashes(0))
    blob.announce(0, SIZE, hashes(0))
    assert [blob.take_waiting(), blob.take_waiting()] == [0, None]


@pytest.mark.parametrize(
    ("index", "size", "told"),
    [
        (3, SIZE, hashes(2)),
        (0, len(DATA) + 1, hashes(0)),
        (0, SIZE, hashes(0)[:20]),
        (2, SIZE, hashes(0)),
    ],
)
def test_what_does_not_fit_the_blob_is_refused(flow, index, size, told):
    blob = flow()
    blob.announce(1, SIZE, hashes(1))
    with pytest.raises(WireError, match="does not fit"):
        blob.announce(index, size, told)


def test_one_answer_announces_a_whole_blob(flow):
    blob = flow()
    assert list(blob.announce_all(SIZE, ALL)) == []
    assert [blob.take_waiting() for _ in range(4)] == [0, 1, 2, None]
    assert blob.hashes[1] == hashes(1)


def test_with_the_hashes_of_a_blob_come_the_macs_of_its_segments(flow):
    blob = flow()
    macs = [bytes([n]) * 16 for n in range(3)]
    list(blob.announce_all(SIZE, ALL + b"".join(macs)))
    assert [blob.macs[n] for n in range(3)] == [mac.hex() for mac in macs]
    assert [record.mac for record in blob.records(held_only=False)] == [mac.hex() for mac in macs]


@pytest.mark.parametrize("told", [ALL[:-1], ALL + b"x", b""])
def test_hashes_of_another_length_are_refused(flow, told):
    with pytest.raises(WireError, match="do not fit"):
        list(flow().announce_all(SIZE, told))


def test_a_blob_of_unknown_size_that_turns_out_empty_is_whole_at_once(flow):
    blob = flow(size=None, told=False)
    blob.sha256 = hashlib.sha256(b"").hexdigest()
    assert blob.hashes_missing
    assert list(blob.announce_all(0, b"")) == []
    assert blob.whole
    assert blob.ready_to_settle
    assert not blob.hashes_missing


def test_duties_go_before_the_window_and_only_for_what_is_announced(flow):
    blob = flow()
    for index in (0, 1):
        blob.announce(index, SIZE, hashes(index))
    assert blob.oblige(1)
    assert blob.oblige(2)
    assert duties(blob) == [1]
    ask(blob, 1)
    assert duties(blob) == []
    assert [blob.take_waiting(), blob.take_waiting()] == [0, None]


def test_what_is_held_is_no_duty(flow):
    blob = flow()
    blob.announce(0, SIZE, hashes(0))
    arrive(blob, 0)
    assert not blob.oblige(0)
    assert duties(blob) == []


def test_what_an_earlier_run_has_is_held_and_never_asked_for(flow):
    first = flow()
    list(first.announce_all(SIZE, ALL))
    arrive(first, 1)
    first.arrival.close()
    again = flow()
    assert list(again.announce_all(SIZE, ALL)) == [1]
    assert again.held == {1}
    assert [again.take_waiting() for _ in range(3)] == [0, 2, None]


def test_what_an_earlier_run_has_of_other_content_is_asked_for(flow):
    first = flow()
    list(first.announce_all(SIZE, ALL))
    arrive(first, 1)
    first.arrival.close()
    again = flow()
    assert not again.announce(1, SIZE, hashes(1, bytes(len(DATA))))
    assert again.take_waiting() == 1


def test_it_is_ready_when_all_is_journalled_and_there_is_a_digest(flow):
    blob = flow(told=False)
    list(blob.announce_all(SIZE, ALL))
    for index in range(3):
        assert not blob.whole
        arrive(blob, index)
    assert blob.whole
    assert not blob.ready_to_settle
    blob.sha256 = hashlib.sha256(DATA).hexdigest()
    assert blob.ready_to_settle
    assert blob.arrival.settle(sha256=blob.sha256)
    assert not blob.ready_to_settle


def test_the_next_attempt_forgets_what_was_told_and_asks_for_all_of_it(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    arrive(blob, 0)
    blob.sha256 = "wrong"
    blob.restart(2)
    blob.empty()
    assert (blob.attempt, blob.hashes, blob.sha256, blob.held, blob.whole) == (2, {}, "", set(), False)
    assert list(blob.announce_all(SIZE, ALL)) == []
    assert [blob.take_waiting() for _ in range(3)] == [0, 1, 2]


def test_the_same_attempt_keeps_what_was_told(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    for index in range(3):
        blob.take_waiting()
        arrive(blob, index)
    blob.restart(1)
    assert [blob.take_waiting() for _ in range(4)] == [0, 1, 2, None]


def test_a_duty_that_overtook_the_withdrawal_counts_for_the_next_attempt(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    arrive(blob, 0)
    ask(blob, 1)
    assert not blob.oblige(0)
    blob.oblige(1)
    blob.restart(2)
    blob.empty()
    list(blob.announce_all(SIZE, ALL))
    assert duties(blob) == [0, 1]


def test_a_duty_of_the_last_attempt_is_over_with_it(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    blob.oblige(2)
    ask(blob, 2)
    blob.restart(2)
    list(blob.announce_all(SIZE, ALL))
    assert duties(blob) == []


@pytest.mark.parametrize("why", ["emptying", "doubted"])
def test_nothing_is_asked_for_while_bytes_are_thrown_away_or_doubted(flow, why):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    blob.oblige(1)
    setattr(blob, why, True)
    assert blob.take_waiting() is None
    assert duties(blob) == []
    setattr(blob, why, False)
    assert blob.take_waiting() == 0
    assert duties(blob) == [1]


def test_what_is_about_to_be_thrown_away_is_not_held(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    arrive(blob, 1)
    blob.restart(2)
    blob.emptying = 1
    assert not blob.announce(1, SIZE, hashes(1))
    assert blob.held == set()


def test_throwing_away_spares_a_file_that_is_in_its_place(flow, tmp_path):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    for index in range(3):
        arrive(blob, index)
    assert blob.arrival.settle()
    blob.empty()
    assert (tmp_path / "f").read_bytes() == DATA


def test_pieces_that_the_disk_has_changed_are_found(flow):
    blob = flow()
    list(blob.announce_all(SIZE, ALL))
    for index in range(3):
        arrive(blob, index)
    assert blob.damaged() == {}
    start, _ = LAYOUT.piece_range(17)
    os.pwrite(blob.gathered().partial.fd, b"changed", start)
    assert blob.damaged() == {1: set(LAYOUT.segment_pieces(1)) - {17}}


def test_the_source_goes_on_with_what_the_swarm_has_brought_of_a_private_file(tmp_path):
    digests = (Digest("sha256", hashlib.sha256(DATA).hexdigest()),)
    entry = Entry(path="f", size=SIZE, url="g://h@1/f", identity="g://h/f", digests=digests, validator="1")
    root, freight = str(tmp_path), Freight.of(Snapshot("g://h@1", "h", (entry,)), task="t")
    targets = [Target(entry, str(tmp_path / "f"))]
    (begun,) = swarm_arrivals(freight, targets, root=root, emit=ignore).values()
    assert begun.blob != entry.blob
    arrive(Flow(begun), 0)
    begun.close()
    (going_on,) = Arrival.each(targets, root=root, emit=ignore)
    assert going_on.gather().had == len(DATA[slice(*LAYOUT.segment_range(0))])
    going_on.close()
