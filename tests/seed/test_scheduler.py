import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dfly.layout import Layout
from dfly.seed.topology.scheduler import GRACE, Scheduler
from dfly.wire import EntryDuty, Released, Report, Ring

from .clocks import Clock

SIZE = Layout(1).segment_length


def address(node):
    return ("10.0.0." + node[1:], 6881)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scheduler(clock):
    return Scheduler(blobs={"b", "c"}, clock=clock, pick=random.Random(7))


def join(scheduler, *nodes):
    return [scheduler.join(node, [address(node)]) for node in nodes]


def nodes(count):
    return [f"n{i}" for i in range(count)]


def rings(outbox):
    return {node: m for node, messages in outbox.items() for m in messages if isinstance(m, Ring)}


def entries(outbox):
    return [(node, (m.blob, m.index)) for node, ms in outbox.items() for m in ms if isinstance(m, EntryDuty)]


def held(*segments, blob="b", **more):
    return Report(node="", held={blob: segments}, **more)


def test_the_first_node_hears_that_it_is_alone(scheduler):
    (outbox,) = join(scheduler, "n1")
    assert rings(outbox) == {"n1": Ring(members=1)}


def test_a_newcomer_and_only_its_neighbours_are_told(scheduler):
    join(scheduler, *nodes(20))
    told = rings(scheduler.join("n99", [address("n99")]))
    neighbours = {n for n in told if n != "n99"}
    assert len(told) == 3
    assert set(told["n99"].neighbours) == {address(n) for n in neighbours}
    assert all(address("n99") in told[n].neighbours for n in neighbours)


def test_a_goodbye_heals_the_ring_at_once(scheduler):
    join(scheduler, *nodes(3))
    told = rings(scheduler.report("n1", Report(node="n1", goodbye=True)))
    assert told == {
        "n0": Ring(neighbours=(address("n2"),), members=2),
        "n2": Ring(neighbours=(address("n0"),), members=2),
    }


def test_a_broken_stream_keeps_its_place_for_the_grace_and_no_longer(scheduler, clock):
    join(scheduler, *nodes(3))
    assert not rings(scheduler.leave("n1"))
    clock.now += GRACE - 0.1
    assert not rings(scheduler.tick())
    clock.now += 0.2
    assert set(rings(scheduler.tick())) == {"n0", "n2"}
    assert "n1" not in scheduler.members


def test_a_node_that_reconnects_within_the_grace_disturbs_nobody(scheduler, clock):
    join(scheduler, *nodes(4))
    scheduler.leave("n1")
    clock.now += GRACE / 2
    told = scheduler.join("n1", [address("n1")])
    assert set(told) == {"n1"}
    clock.now += GRACE
    assert not rings(scheduler.tick())


def test_a_node_at_a_new_address_is_told_to_its_neighbours(scheduler):
    join(scheduler, *nodes(4))
    told = rings(scheduler.join("n1", [("10.9.9.9", 1)]))
    assert len(told) == 3
    assert all(("10.9.9.9", 1) in line.neighbours for node, line in told.items() if node != "n1")


def test_a_silent_node_leaves_the_ring_and_comes_back_with_its_next_report(scheduler, clock):
    join(scheduler, *nodes(3))
    clock.now += 20
    scheduler.report("n0", Report(node="n0"))
    scheduler.report("n2", Report(node="n2"))
    scheduler.tick()
    assert set(scheduler.members) == {"n0", "n2"}
    assert "n1" in rings(scheduler.report("n1", Report(node="n1")))
    assert len(scheduler.members) == 3


def test_a_published_segment_enters_at_one_node_in_the_same_breath(scheduler):
    join(scheduler, *nodes(5))
    ((node, segment),) = entries(scheduler.publish("b", 0, SIZE))
    assert segment == ("b", 0)
    assert scheduler.duties.live(("b", 0)) == (node,)


def test_the_first_node_is_given_what_was_published_before_it_came(scheduler):
    for index in range(3):
        assert scheduler.publish("b", index, SIZE) == {}
    assert [s for _, s in entries(scheduler.join("n1", [address("n1")]))] == [("b", 0), ("b", 1), ("b", 2)]


def test_no_node_has_more_than_four_duties_of_what_was_published_before(scheduler):
    for index in range(20):
        scheduler.publish("b", index, SIZE)
    first = entries(scheduler.join("n1", [address("n1")]))
    assert [s for _, s in first] == [("b", i) for i in range(4)]
    assert entries(scheduler.report("n1", held(0, 1))) == [("n1", ("b", 4)), ("n1", ("b", 5))]


def test_bytes_that_were_sent_make_room_before_they_are_reported(scheduler):
    for index in range(20):
        scheduler.publish("b", index, SIZE)
    join(scheduler, "n1")
    assert entries(scheduler.served("n1", "b", 0, SIZE)) == [("n1", ("b", 4))]


def test_live_segments_do_not_queue_behind_old_ones(scheduler):
    for index in range(50):
        scheduler.publish("b", index, SIZE)
    join(scheduler, "n1", "n2")
    assert entries(scheduler.publish("b", 50, SIZE))


def test_a_held_segment_needs_no_duty_for_a_late_joiner(scheduler):
    join(scheduler, "n1")
    scheduler.publish("b", 0, SIZE)
    scheduler.report("n1", held(0))
    assert entries(scheduler.join("n2", [address("n2")])) == []


def test_when_the_last_holder_leaves_its_segments_are_brought_in_again(scheduler):
    join(scheduler, "n1", "n2")
    scheduler.publish("b", 0, SIZE)
    scheduler.report("n1", held(0))
    assert entries(scheduler.leave("n1", goodbye=True)) == [("n2", ("b", 0))]


def test_a_leaving_nodes_duty_goes_to_another_at_once(scheduler):
    join(scheduler, "n1", "n2")
    ((node, _),) = entries(scheduler.publish("b", 0, SIZE))
    other = {"n1": "n2", "n2": "n1"}[node]
    assert entries(scheduler.leave(node)) == [(other, ("b", 0))]


def test_a_duty_that_is_not_begun_is_given_to_another_as_well(scheduler, clock):
    join(scheduler, "n1", "n2")
    ((node, _),) = entries(scheduler.publish("b", 0, SIZE))
    clock.now += 1.1
    ((other, segment),) = entries(scheduler.tick())
    assert other != node
    assert segment == ("b", 0)
    assert set(scheduler.duties.live(("b", 0))) == {"n1", "n2"}


def test_a_duty_that_moves_gets_more_time_and_then_company(scheduler, clock):
    join(scheduler, "n1", "n2")
    ((node, _),) = entries(scheduler.publish("b", 0, SIZE))
    scheduler.served(node, "b", 0, 0)
    clock.now += 2.9
    assert entries(scheduler.tick()) == []
    clock.now += 0.2
    assert [n for n, _ in entries(scheduler.tick())] == [n for n in ("n1", "n2") if n != node]


def test_a_node_that_let_a_segment_wait_is_not_asked_again_soon(scheduler, clock):
    join(scheduler, *nodes(3))
    ((late, _),) = entries(scheduler.publish("b", 0, SIZE))
    clock.now += 1.1
    scheduler.tick()
    asked = {node for i in range(1, 9) for node, _ in entries(scheduler.publish("b", i, SIZE))}
    assert asked == set(nodes(3)) - {late}


def test_duties_are_spread_evenly_over_two_hundred_nodes(scheduler):
    everybody = nodes(200)
    join(scheduler, *everybody)
    given = Counter()
    for index in range(1000):
        for node, _ in entries(scheduler.publish("b", index, SIZE)):
            given[node] += 1
            scheduler.served(node, "b", index, SIZE)
            scheduler.report(node, held(index))
    assert sum(given.values()) == 1000
    assert max(given.values()) <= 2 * 1000 / 200
    assert set(given) == set(everybody)


def test_a_slow_node_brings_nothing_in(scheduler, clock):
    everybody = nodes(8)
    join(scheduler, *everybody)
    late = Counter()
    for index in range(100):
        out = entries(scheduler.publish("b", index, SIZE))
        clock.now += 0.25
        for node, (_, i) in out:
            scheduler.served(node, "b", i, SIZE)
            if index >= 30:
                late[node] += 1
        for node in everybody[1:]:
            scheduler.report(node, held(index))
        scheduler.report("n0", held(index // 10))
        scheduler.tick()
    assert late["n0"] == 0
    assert sum(late.values()) == 70


def test_a_newcomer_in_the_middle_is_not_handed_everything(scheduler):
    join(scheduler, *nodes(4))
    for index in range(40):
        for node, _ in entries(scheduler.publish("b", index, SIZE)):
            scheduler.served(node, "b", index, SIZE)
            scheduler.report(node, held(index))
    join(scheduler, "n9")
    given = Counter()
    for index in range(40, 80):
        for node, _ in entries(scheduler.publish("b", index, SIZE)):
            given[node] += 1
            scheduler.served(node, "b", index, SIZE)
    assert given["n9"] <= 10


def test_a_withdrawn_blob_leaves_no_duty_and_no_holder(scheduler):
    join(scheduler, "n1", "n2")
    scheduler.publish("b", 0, SIZE)
    scheduler.publish("b", 1, SIZE)
    scheduler.report("n1", held(0))
    scheduler.retire("b")
    assert scheduler.duties.live(("b", 1)) == ()
    assert entries(scheduler.publish("b", 0, SIZE))


def test_a_node_is_released_when_both_neighbours_are_done(scheduler):
    join(scheduler, *nodes(3))
    done = {}
    for node in nodes(3):
        done = scheduler.report(node, Report(node=node, done=True))
    assert {node for node, ms in done.items() if Released() in ms} == set(nodes(3))


def test_a_node_alone_is_released_as_soon_as_it_is_done(scheduler):
    join(scheduler, "n1")
    assert scheduler.report("n1", Report(node="n1", done=True)) == {"n1": [Released()]}


def test_a_done_node_stays_for_a_neighbour_that_is_not(scheduler):
    join(scheduler, "n1", "n2")
    assert scheduler.report("n1", Report(node="n1", done=True)) == {}
    assert scheduler.leave("n2", goodbye=True)["n1"][-1] == Released()


def test_a_stalled_node_gets_far_holders_and_both_sides_are_told(scheduler):
    everybody = nodes(12)
    join(scheduler, *everybody)
    line = list(scheduler.members)
    node, holder = line[0], line[6]
    scheduler.publish("b", 0, SIZE)
    scheduler.report(holder, held(0))
    addresses, outbox = scheduler.chords(node, "b", 0)
    assert addresses == (address(holder),)
    assert rings(outbox)[holder].admitted == (address(node),)
    assert rings(outbox)[node].admitted == (address(holder),)


def test_without_a_known_holder_a_stalled_node_gets_somebody_far(scheduler):
    join(scheduler, *nodes(12))
    addresses, _ = scheduler.chords("n0", "b", 0)
    near = set(rings(scheduler.join("n0", [address("n0")]))["n0"].neighbours)
    assert addresses
    assert not near & set(addresses)


def test_a_node_that_goes_on_stalling_gets_others_but_never_too_many(scheduler):
    join(scheduler, *nodes(40))
    seen = set()
    for _ in range(30):
        addresses, outbox = scheduler.chords("n0", "b", 0)
        seen |= set(addresses)
        assert all(len(line.admitted) <= 8 for line in rings(outbox).values())
    assert len(seen) > 8


def test_one_accuser_is_parted_from_its_neighbour_and_expels_nobody(scheduler):
    join(scheduler, *nodes(8))
    accuser, accused = scheduler.members[0], scheduler.members[1]
    told = rings(scheduler.accuse(accuser, address(accused)))
    assert address(accused) not in told[accuser].neighbours
    assert address(accuser) not in told[accused].neighbours
    for other in nodes(8):
        scheduler.accuse(accuser, address(other))
    assert set(scheduler.members) == set(nodes(8))


def test_two_independent_accusers_expel(scheduler):
    join(scheduler, *nodes(8))
    before, accused, after = scheduler.members[2], scheduler.members[3], scheduler.members[4]
    scheduler.accuse(before, address(accused))
    # parting may have moved the accused; ask whoever sits beside it now
    beside = next(n for n in nodes(8) if n != before and address(accused) in ring_of(scheduler, n))
    scheduler.accuse(beside, address(accused))
    assert accused not in scheduler.members
    assert after in scheduler.members
    scheduler.leave(accused, goodbye=True)
    scheduler.join("n77", [address(accused)])
    assert "n77" not in scheduler.members


def ring_of(scheduler, node):
    member = scheduler.member(node)
    return rings(scheduler.join(node, member.addresses))[node].neighbours


def test_two_ids_on_one_machine_are_one_accuser(scheduler):
    scheduler.join("n1", [("10.0.0.1", 1)])
    scheduler.join("n2", [("10.0.0.1", 2)])
    scheduler.join("n3", [("10.0.0.3", 1)])
    scheduler.accuse("n1", ("10.0.0.3", 1))
    scheduler.accuse("n2", ("10.0.0.3", 1))
    assert "n3" in scheduler.members


def test_a_word_against_one_it_never_met_counts_for_nothing(scheduler):
    join(scheduler, *nodes(20))
    line = scheduler.members
    assert scheduler.accuse(line[0], address(line[10])) == {}
    assert scheduler.accuse(line[5], address(line[10])) == {}
    assert line[10] in scheduler.members


def test_reports_of_absurd_segments_or_unknown_blobs_cost_nothing(scheduler):
    join(scheduler, "n1")
    scheduler.report("n1", Report(node="n1", held={"b": (10**15,), "x": (1,)}))
    assert scheduler.member("n1").count == 0


def test_reports_of_strangers_change_nothing(scheduler):
    assert scheduler.report("n1", held(0)) == {}
    assert scheduler.members == ()


class Life(RuleBasedStateMachine):
    """Anything may happen in any order; what must hold, holds after each step."""

    @initialize()
    def begin(self):
        self.clock = Clock()
        self.scheduler = Scheduler(blobs={"b"}, clock=self.clock, pick=random.Random(1))
        self.connected, self.known, self.next = set(), {}, 0
        self.duties = {}

    def told(self, outbox):
        for node, line in rings(outbox).items():
            self.known[node] = line
        for node, segment in entries(outbox):
            assert node in self.connected
            self.duties.setdefault(segment, set()).add(node)

    @rule(n=st.integers(0, 9), rack=st.integers(0, 2))
    def join(self, n, rack):
        self.connected.add(f"n{n}")
        self.told(self.scheduler.join(f"n{n}", [address(f"n{n}")], f"r{rack}"))

    @rule(n=st.integers(0, 9), goodbye=st.booleans())
    def leave(self, n, goodbye):
        self.connected.discard(f"n{n}")
        self.told(self.scheduler.leave(f"n{n}", goodbye=goodbye))

    @rule()
    def publish(self):
        self.told(self.scheduler.publish("b", self.next, SIZE))
        self.next += 1

    @rule(n=st.integers(0, 9), share=st.integers(1, 4))
    def report(self, n, share):
        self.told(self.scheduler.report(f"n{n}", held(*range(n % share, self.next, share))))

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.5, 6.0]))
    def time_passes(self, seconds):
        self.clock.now += seconds
        self.told(self.scheduler.tick())

    @rule(n=st.integers(0, 9))
    def stall(self, n):
        self.told(self.scheduler.chords(f"n{n}", "b", 0)[1])

    @rule()
    def withdraw(self):
        self.told(self.scheduler.retire("b"))
        self.next = 0

    @invariant()
    def every_unheld_segment_is_some_connected_nodes_duty_or_waits_for_room(self):
        if not hasattr(self, "scheduler"):
            return
        scheduler = self.scheduler
        for index in range(self.next):
            segment = ("b", index)
            live = set(scheduler.duties.live(segment))
            assert live <= self.connected
            holds = any(scheduler.member(n) and scheduler.member(n).holds(*segment) for n in scheduler.members)
            assert bool(live) + (segment in scheduler.duties.waiting) + holds == 1
        if scheduler.duties.waiting and any(n in self.connected for n in scheduler.members):
            assert sum(scheduler.member(n).load for n in scheduler.members if scheduler.member(n)) >= 4

    @invariant()
    def what_connected_nodes_were_told_is_the_ring(self):
        if not hasattr(self, "scheduler"):
            return
        line = list(self.scheduler.members)
        for i, node in enumerate(line):
            if node in self.connected:
                around = {line[i - 1], line[(i + 1) % len(line)]} - {node}
                assert set(self.known[node].neighbours) == {address(n) for n in around}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_everything_gets_in_whatever_the_order_of_reports(count, chance):
    clock = Clock()
    scheduler = Scheduler(blobs={"b"}, clock=clock, pick=chance)
    todo = {}
    for i in range(count):
        todo |= {s: n for n, s in entries(scheduler.join(f"n{i}", [address(f"n{i}")]))}
    for index in range(100):
        todo |= {s: n for n, s in entries(scheduler.publish("b", index, SIZE))}
    brought = set()
    while todo:
        segment = chance.choice(sorted(todo))
        node = todo.pop(segment)
        brought.add(segment)
        todo |= {s: n for n, s in entries(scheduler.report(node, held(segment[1])))}
    assert len(brought) == 100
