"""What a node is told of who needs nothing more from it, and who needs it again after all."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dfly.seed.topology.scheduler import GRACE, Scheduler
from dfly.wire import Needs, Report

from .clocks import Clock

ALL = (0, 1, 2)


def address(node):
    return ("10.0.0." + node[1:], 6881)


def scheduler_of(clock) -> Scheduler:
    return Scheduler(blobs={"b", "c"}, clock=clock, pick=random.Random(7))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scheduler(clock):
    """One to which "b" is complete."""
    made = scheduler_of(clock)
    assert made.complete("b", len(ALL)) == {}
    return made


def join(scheduler, *nodes):
    return [scheduler.join(node, [address(node)]) for node in nodes]


def hold(scheduler, node, *segments, blob="b", **more):
    return scheduler.report(node, Report(node=node, held={blob: segments}, **more))


def said(outbox):
    return {node: told for node, ms in outbox.items() if (told := [m for m in ms if isinstance(m, Needs)])}


OVER, AGAIN = [Needs(over=("b",))], [Needs(again=("b",))]


def test_a_blob_is_over_for_all_once_the_last_of_three_has_it(scheduler):
    join(scheduler, "n1", "n2", "n3")
    assert said(hold(scheduler, "n1", *ALL)) == {}
    assert said(hold(scheduler, "n2", *ALL)) == {}
    assert said(hold(scheduler, "n3", 0, 1)) == {}
    assert said(hold(scheduler, "n3", 2)) == {"n1": OVER, "n2": OVER, "n3": OVER}
    assert said(hold(scheduler, "n3", *ALL)) == {}


def test_nothing_is_over_while_the_seed_peer_lacks_it_and_may_take_it_from_nodes(clock):
    scheduler = scheduler_of(clock)
    join(scheduler, "n1", "n2")
    assert said(hold(scheduler, "n1", *ALL)) == said(hold(scheduler, "n2", *ALL)) == {}
    assert said(scheduler.complete("b", len(ALL))) == {"n1": OVER, "n2": OVER}


def test_who_takes_no_part_in_a_blob_needs_it_from_nobody_until_it_does(scheduler):
    join(scheduler, "n1", "n2")
    hold(scheduler, "n1", *ALL)
    assert said(scheduler.report("n2", Report(node="n2", declined=("b",)))) == {"n1": OVER}
    assert said(scheduler.report("n2", Report(node="n2", accepted=("b",)))) == {"n1": AGAIN}


def test_what_is_over_is_needed_again_by_a_newcomer(scheduler):
    join(scheduler, "n1", "n2")
    hold(scheduler, "n1", *ALL)
    hold(scheduler, "n2", *ALL)
    assert said(scheduler.join("n3", [address("n3")])) == {"n1": AGAIN, "n2": AGAIN}


def test_a_neighbour_that_goes_makes_no_news_where_the_next_one_has_all_too(scheduler):
    four = ("n1", "n2", "n3", "n4")
    join(scheduler, *four)
    for node in four:
        hold(scheduler, node, *ALL)
    assert said(scheduler.leave("n2", goodbye=True)) == {}


def test_a_neighbour_that_goes_is_news_where_the_next_one_lacks_something(scheduler):
    join(scheduler, *(f"n{i}" for i in range(8)))
    ring = scheduler.members
    for node in ring[:3]:
        hold(scheduler, node, *ALL)
    assert said(scheduler.leave(ring[2], goodbye=True)) == {ring[1]: AGAIN}


def test_a_node_whose_stream_is_new_is_told_anew(scheduler):
    join(scheduler, "n1", "n2")
    hold(scheduler, "n1", *ALL)
    hold(scheduler, "n2", *ALL)
    scheduler.leave("n1")
    assert said(scheduler.join("n1", [address("n1")])) == {"n1": OVER}


def test_who_has_said_goodbye_and_comes_back_is_believed_to_hold_nothing(scheduler):
    join(scheduler, "n1", "n2", "n3")
    for node in ("n1", "n2", "n3"):
        hold(scheduler, node, *ALL)
    scheduler.leave("n1", goodbye=True)
    assert said(scheduler.join("n1", [address("n1")])) == {"n2": AGAIN, "n3": AGAIN}
    assert not scheduler.member("n1").holds("b", 0)
    assert said(hold(scheduler, "n1", *ALL)) == {"n1": OVER, "n2": OVER, "n3": OVER}


def test_a_withdrawn_blob_is_needed_again(scheduler):
    join(scheduler, "n1")
    assert said(hold(scheduler, "n1", *ALL)) == {"n1": OVER}
    assert said(scheduler.retire("b")) == {"n1": AGAIN}


def test_the_far_end_of_a_chord_serves_again_what_the_near_one_lacks(scheduler):
    join(scheduler, *(f"n{i}" for i in range(9)))
    ring = scheduler.members
    for node in ring[1:]:
        hold(scheduler, node, *ALL)
    chords, outbox = scheduler.chords(ring[0], "b", 1)
    far = said(outbox)
    assert {address(node) for node in far} == set(chords)
    assert all(told == AGAIN for told in far.values())


NODES = st.sampled_from([f"n{i}" for i in range(6)])
BLOBS = st.sampled_from(["b", "c"])


class Told(RuleBasedStateMachine):
    """Whatever happens, every node that listens has been told exactly what those near it have all of."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.scheduler = scheduler_of(self.clock)
        self.over, self.complete_ones = {}, set()

    def hear(self, outbox):
        for node, messages in outbox.items():
            for message in messages:
                if isinstance(message, Needs):
                    known = self.over.setdefault(node, set())
                    assert known.isdisjoint(message.over)
                    assert known.issuperset(message.again)
                    known |= set(message.over)
                    known -= set(message.again)

    @rule(node=NODES)
    def join(self, node):
        self.over.pop(node, None)
        self.hear(self.scheduler.join(node, [address(node)]))

    @rule(node=NODES, goodbye=st.booleans())
    def leave(self, node, goodbye):
        self.hear(self.scheduler.leave(node, goodbye=goodbye))

    @rule(node=NODES, blob=BLOBS, segments=st.sampled_from([ALL, ALL, ALL, (0,), (1, 2)]))
    def hold(self, node, blob, segments):
        self.hear(hold(self.scheduler, node, *segments, blob=blob))

    @rule(node=NODES, blob=BLOBS)
    def carry(self, node, blob):
        self.hear(self.scheduler.hold(node, {blob: ALL}))

    @rule(node=NODES, declined=st.sets(BLOBS), accepted=st.sets(BLOBS))
    def decline(self, node, declined, accepted):
        told = Report(node=node, declined=tuple(declined), accepted=tuple(accepted))
        self.hear(self.scheduler.report(node, told))

    @rule(blob=BLOBS)
    def complete(self, blob):
        self.complete_ones.add(blob)
        self.hear(self.scheduler.complete(blob, len(ALL)))

    @rule(blob=BLOBS)
    def retire(self, blob):
        self.complete_ones.discard(blob)
        self.hear(self.scheduler.retire(blob))

    @rule(node=NODES)
    def chords(self, node):
        self.hear(self.scheduler.chords(node, "b", 1)[1])

    @rule(accuser=NODES, accused=NODES)
    def accuse(self, accuser, accused):
        self.hear(self.scheduler.accuse(accuser, address(accused)))

    @rule(seconds=st.sampled_from([0.3, GRACE + 0.1, 20.0]))
    def wait(self, seconds):
        self.clock.now += seconds
        self.hear(self.scheduler.tick())

    @invariant()
    def all_know(self):
        for member in self.scheduler.everyone:
            if not member.connected:
                continue
            near = [m for m in self.scheduler.everyone if m.node in self.scheduler.near(member.node)]
            over = {
                blob
                for blob in self.complete_ones
                if all(member.holds(blob, index) for index in ALL)
                and all(blob in m.declined or all(m.holds(blob, index) for index in ALL) for m in near)
            }
            assert self.over.get(member.node, set()) == over


Told.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTold = Told.TestCase
