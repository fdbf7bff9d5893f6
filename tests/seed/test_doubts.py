"""What nodes say of each other that is no accusation: silence, single wrong pieces; and whether anybody is still there."""

import random

import pytest

from dfly.seed.topology.members import BENCH
from dfly.seed.topology.scheduler import Scheduler
from dfly.wire import Doubted, Report

from .clocks import Clock


def address(node):
    return ("10.0.0." + node[1:], 6881)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scheduler(clock):
    made = Scheduler(blobs={"b"}, clock=clock, pick=random.Random(7))
    for number in range(8):
        made.join(f"n{number}", [address(f"n{number}")])
    return made


def bench(scheduler, accused):
    """Have whoever sits beside `accused` find it silent, until it is out."""
    while accused in scheduler.members:
        place = scheduler.members.index(accused)
        assert scheduler.silent(scheduler.members[place - 1], address(accused))
    assert scheduler.is_benched(address(accused))


def test_one_node_that_finds_another_silent_is_parted_from_it(scheduler):
    accuser, accused = scheduler.members[:2]
    scheduler.silent(accuser, address(accused))
    assert accused in scheduler.members
    place = scheduler.members.index(accused)
    assert accuser not in (scheduler.members[place - 1], scheduler.members[(place + 1) % 8])


def test_a_silent_node_comes_back_after_a_while_and_each_time_a_longer_one(scheduler, clock):
    for wait in (BENCH, 2 * BENCH):
        bench(scheduler, "n3")
        clock.now += wait - 1
        scheduler.report("n3", Report(node="n3"))
        assert "n3" not in scheduler.members
        clock.now += 1.5
        scheduler.report("n3", Report(node="n3"))
        assert "n3" in scheduler.members


def test_a_silent_node_is_not_expelled(scheduler):
    bench(scheduler, "n3")
    assert not scheduler.is_expelled(address("n3"))


def test_a_doubt_goes_to_the_one_that_sent_the_piece_once_in_a_while(scheduler, clock):
    accuser, accused = scheduler.members[:2]
    assert scheduler.doubt(accuser, address(accused), "b", 4) == {accused: [Doubted(blob="b", index=4)]}
    assert scheduler.doubt(accuser, address(accused), "b", 4) == {}
    clock.now += 6
    assert scheduler.doubt(accuser, address(accused), "b", 4) == {accused: [Doubted(blob="b", index=4)]}


def test_a_doubt_counts_only_from_who_was_told_of_the_other_and_of_this_task(scheduler):
    accuser, accused, stranger = scheduler.members[0], scheduler.members[1], scheduler.members[4]
    assert scheduler.doubt(accuser, address(stranger), "b", 0) == {}
    assert scheduler.doubt(accuser, address(accused), "another", 0) == {}


def test_a_node_that_says_nothing_is_not_heard_though_its_stream_is_open(scheduler, clock):
    assert scheduler.heard_within(2)
    clock.now += 3
    assert not scheduler.heard_within(2)
    scheduler.report("n5", Report(node="n5"))
    assert scheduler.heard_within(2)
