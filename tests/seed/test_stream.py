import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.seed.stream import Broadcast, EventLog
from dfly.wire import Blob, EntryDuty, Failed, Ring, Segment, decode_message


def segment(index, blob="b", attempt=1):
    return Segment(blob=blob, index=index, size=100, hashes=bytes(20), attempt=attempt)


def messages(data):
    return [decode_message(line) for line in data.splitlines()]


class Connection:
    """An outlet that a test reads; `full` while the other end does not."""

    def __init__(self):
        self.full = self.cut = self.ended = False
        self._sent = b""

    def takes(self):
        return not self.full

    def write(self, *chunks):
        self._sent += b"".join(chunks)

    def end(self):
        self.ended = True

    def abort(self):
        self.cut = True

    def read(self):
        """What was sent since the last time."""
        body, left = b"", io.BytesIO(self._sent)
        while size := left.readline():
            body += left.read(int(size, 16))
            assert left.readline() == b"\r\n"
        self._sent = b""
        return messages(body)


def listening(broadcast, node="n1", after=""):
    """A listener whose beginning is out, and its connection."""
    connection = Connection()
    listener = broadcast.listen(node, after=after, outlet=connection)
    listener.begin()
    listener.go()
    return listener, connection


def test_lines_are_numbered_from_one():
    log = EventLog()
    log.append(segment(0)), log.append(segment(1))
    assert [m.seq for m in messages(log.begin("")[0])] == [1, 2]


def test_a_newcomer_hears_one_line_for_a_complete_blob_and_all_of_an_unfinished_one():
    log = EventLog()
    for index in range(3):
        log.append(segment(index))
    log.append(segment(0, "c"))
    log.append(Blob(blob="b", state="complete", size=100, sha256="00"))
    log.append(segment(1, "c"))
    heard = messages(log.begin("")[0])
    assert [(m.blob, type(m)) for m in heard] == [("c", Segment), ("b", Blob), ("c", Segment)]


def test_a_withdrawn_attempt_vanishes_for_newcomers_but_not_for_those_who_heard_it():
    log = EventLog()
    log.append(segment(0))
    log.append(Blob(blob="b", state="withdrawn"))
    log.append(segment(0, attempt=2))
    assert [m.attempt for m in messages(log.begin("")[0])] == [2]
    assert [type(m) for m in messages(log.begin(f"{log.epoch}.1")[0])] == [Blob, Segment]


def test_a_failure_is_forgotten_when_it_is_tried_again():
    log = EventLog()
    log.append(Failed(blob="b", error="NotFound", message="gone"))
    assert len(messages(log.begin("")[0])) == 1
    log.forgive()
    assert log.begin("")[0] == b""


@pytest.mark.parametrize(
    "after", ["", ".0", "other.3", "x", "x.y.z", ".", "{epoch}.-1", "{epoch}.x", "{epoch}." + "9" * 5000]
)
def test_whoever_comes_from_elsewhere_hears_all(after):
    log = EventLog()
    log.append(segment(0))
    heard, _ = log.begin(after.replace("{epoch}", log.epoch))
    assert len(messages(heard)) == 1


@given(st.lists(st.sampled_from(["s0", "s1", "s2", "complete", "withdrawn"]), max_size=30), st.integers(0, 30))
def test_resuming_anywhere_tells_exactly_the_rest(kinds, after):
    log, attempt = EventLog(), 1
    for kind in kinds:
        if kind[0] == "s":
            log.append(segment(int(kind[1]), attempt=attempt))
        else:
            log.append(Blob(blob="b", state=kind, attempt=attempt))
            attempt += kind == "withdrawn"
    heard, line = log.begin(f"{log.epoch}.{after}")
    assert [m.seq for m in messages(heard)] == list(range(after + 1, len(kinds) + 1))
    assert line == len(kinds)


def test_own_lines_go_before_the_shared_ones_of_the_same_flush():
    broadcast = Broadcast()
    _, connection = listening(broadcast)
    broadcast.log.append(segment(0))
    broadcast.tell("n1", [EntryDuty(blob="b", index=0)])
    broadcast.flush()
    assert [type(m) for m in connection.read()] == [EntryDuty, Segment]


def test_own_lines_go_to_nobody_else():
    broadcast = Broadcast()
    (_, one), (_, two) = (listening(broadcast, node) for node in ("n1", "n2"))
    broadcast.tell("n1", [EntryDuty(blob="b", index=0)])
    broadcast.log.append(segment(0))
    broadcast.flush()
    assert [type(m) for m in two.read()] == [Segment]
    assert len(one.read()) == 2


def test_of_two_rings_only_the_last_is_sent():
    broadcast = Broadcast()
    _, connection = listening(broadcast)
    broadcast.tell("n1", [Ring(members=1), EntryDuty(blob="b", index=0), Ring(members=2)])
    broadcast.flush()
    assert connection.read() == [EntryDuty(blob="b", index=0), Ring(members=2)]


def test_who_cannot_follow_is_cut_off_and_nobody_else():
    broadcast = Broadcast(largest_lag=1000)
    (slow, stuck), (quick, reads) = listening(broadcast, "slow"), listening(broadcast, "quick")
    stuck.full = True
    for index in range(20):
        broadcast.log.append(segment(index))
        broadcast.flush()
    assert (slow.closed, stuck.cut, stuck.read()) == (True, True, [])
    assert (quick.closed, reads.cut, len(reads.read())) == (False, False, 20)


def test_what_waits_goes_out_once_the_other_end_reads_again():
    broadcast = Broadcast()
    _, connection = listening(broadcast)
    connection.full = True
    broadcast.log.append(segment(0))
    broadcast.flush()
    broadcast.tell("n1", [EntryDuty(blob="b", index=0)])
    broadcast.flush()
    assert connection.read() == []
    connection.full = False
    broadcast.flush()
    assert [type(m) for m in connection.read()] == [EntryDuty, Segment]


def test_a_long_beginning_is_no_lag():
    broadcast = Broadcast(largest_lag=1000)
    for index in range(100):
        broadcast.log.append(segment(index))
    listener = broadcast.listen("n1", after="", outlet=Connection())
    broadcast.flush()
    assert not listener.closed
    own, beginning = listener.begin()
    assert (own, len(messages(beginning))) == (b"", 100)


def test_nothing_is_sent_before_the_beginning_is_out():
    broadcast, connection = Broadcast(), Connection()
    broadcast.log.append(segment(0))
    listener = broadcast.listen("n1", after="", outlet=connection)
    broadcast.tell("n1", [Ring(members=1)])
    own, beginning = listener.begin()
    assert [type(m) for m in messages(own + beginning)] == [Ring, Segment]
    broadcast.log.append(segment(1))
    broadcast.flush()
    assert connection.read() == []
    listener.go()
    assert [m.index for m in connection.read()] == [1]


def test_newcomers_share_one_beginning():
    log = EventLog()
    log.append(segment(0))
    assert log.begin("")[0] is log.begin("")[0]


def test_what_is_new_is_framed_once_for_all_that_stand_at_one_line():
    log = EventLog()
    log.append(segment(0))
    assert log.chunk_since(0) is log.chunk_since(0)


@pytest.mark.parametrize("begun", [True, False], ids=["begun", "beginning"])
def test_a_closed_stream_sends_what_it_has_and_ends(begun):
    broadcast, connection = Broadcast(), Connection()
    listener = broadcast.listen("n1", after="", outlet=connection)
    listener.begin()
    if begun:
        listener.go()
    broadcast.log.append(segment(0))
    broadcast.close()
    if not begun:
        listener.go()
    assert connection.ended
    broadcast.log.append(segment(1))
    broadcast.flush()
    assert [m.index for m in connection.read()] == [0]
