import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.seed.stream import Broadcast, EventLog
from dfly.wire import Blob, EntryDuty, Failed, Ring, Segment, decode_message


def segment(index, blob="b", attempt=1):
    return Segment(blob=blob, index=index, size=100, hashes=bytes(20), attempt=attempt)


def messages(data):
    return [decode_message(line) for line in data.splitlines()]


def never():
    raise AssertionError("cut off")


def ready(listener):
    """What the listener would write now."""

    async def take():
        return await anext(listener.batches())

    return messages(asyncio.run(take()))


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
    listener = broadcast.listen("n1", after="", abort=never)
    broadcast.log.append(segment(0))
    broadcast.tell("n1", [EntryDuty(blob="b", index=0)])
    assert [type(m) for m in ready(listener)] == [EntryDuty, Segment]


def test_own_lines_go_to_nobody_else():
    broadcast = Broadcast()
    one, two = (broadcast.listen(n, after="", abort=never) for n in ("n1", "n2"))
    broadcast.tell("n1", [EntryDuty(blob="b", index=0)])
    broadcast.log.append(segment(0))
    assert [type(m) for m in ready(two)] == [Segment]
    assert len(ready(one)) == 2


def test_of_two_rings_only_the_last_is_sent():
    broadcast = Broadcast()
    listener = broadcast.listen("n1", after="", abort=never)
    broadcast.tell("n1", [Ring(members=1), EntryDuty(blob="b", index=0), Ring(members=2)])
    assert ready(listener) == [EntryDuty(blob="b", index=0), Ring(members=2)]


def test_who_cannot_follow_is_cut_off_and_nobody_else():
    broadcast = Broadcast(largest_lag=1000)
    cut = []
    slow = broadcast.listen("slow", after="", abort=lambda: cut.append("slow"))
    quick = broadcast.listen("quick", after="", abort=never)
    for index in range(20):
        broadcast.log.append(segment(index))
        ready(quick)
        broadcast.flush()
    assert cut[:1] == ["slow"]
    assert slow.closed
    assert not quick.closed


def test_a_long_beginning_is_no_lag():
    broadcast = Broadcast(largest_lag=1000)
    for index in range(100):
        broadcast.log.append(segment(index))
    listener = broadcast.listen("n1", after="", abort=never)
    broadcast.flush()
    assert not listener.closed
    assert len(ready(listener)) == 100


def test_what_is_new_is_joined_once_for_all_that_stand_at_one_line():
    log = EventLog()
    log.append(segment(0))
    assert log.since(0) is log.since(0)


def test_a_closed_stream_sends_what_it_has_and_ends():
    broadcast = Broadcast()
    listener = broadcast.listen("n1", after="", abort=never)
    broadcast.log.append(segment(0))
    broadcast.close()

    async def take():
        return [batch async for batch in listener.batches()]

    assert len(asyncio.run(take())) == 1


def test_a_flush_wakes_a_waiting_listener():
    async def scene():
        broadcast = Broadcast()
        listener = broadcast.listen("n1", after="", abort=never)
        waiting = asyncio.create_task(anext(listener.batches()))
        await asyncio.sleep(0)
        broadcast.log.append(segment(7))
        assert not waiting.done()
        broadcast.flush()
        return messages(await waiting)

    assert asyncio.run(scene())[0].index == 7
