"""Holders of a segment are found by chance, among those that are there; a node that stalls is sent to somebody far."""

import random

import pytest

from dfly.seed.topology.chords import Chords
from dfly.seed.topology.finding import Finding
from dfly.seed.topology.members import Member
from dfly.seed.topology.ring import Ring


@pytest.fixture
def finding():
    """`finding(n)`: in a ring of so many, `n0` … in its order."""

    def build(count):
        ring = Ring()
        for n in range(count):
            ring.add(f"n{n}", "")
        members = {
            node: Member(node=node, addresses=((f"10.0.0.{n}", 1),), location="", last_seen=0.0, seated=True)
            for n, node in enumerate(ring, 1)
        }
        return Finding(members=members, ring=ring, chords=Chords(), pick=random.Random(7))

    return build


def nodes(found):
    return {member.node for member in found}


def hold(finding, *chosen):
    for node in chosen:
        finding.members[node].held = {"b": 1}


def test_of_many_holders_some_are_found_and_not_always_the_same(finding):
    ring = finding(40)
    hold(ring, *ring.members)
    found = [frozenset(nodes(ring.holders("b", 0, most=3))) for _ in range(20)]
    assert {len(each) for each in found} == {3}
    assert len(set(found)) > 1


def test_who_is_away_or_cannot_be_dialled_is_no_holder(finding):
    ring = finding(4)
    one, two, three, four = ring.members.values()
    hold(ring, *ring.members)
    one.connected, two.seated, three.addresses = False, False, ()
    assert ring.holders("b", 0, most=9) == [four]


def test_a_node_is_sent_to_a_far_holder_however_many_hold_nothing(finding):
    ring = finding(200)
    node = next(iter(ring.members))
    far = next(n for n in ring.members if n != node and n not in ring.ring.neighbours(node))
    hold(ring, far, *ring.ring.neighbours(node))
    assert nodes(ring.far(node, "b", 0)) == {far}


def test_without_a_far_holder_it_is_sent_to_anybody_far(finding):
    ring = finding(8)
    node = next(iter(ring.members))
    found = nodes(ring.far(node, "b", 0))
    assert len(found) == 2
    assert found.isdisjoint({node, *ring.ring.neighbours(node)})


def test_of_those_it_knows_already_it_gets_only_one_again(finding):
    ring = finding(8)
    node = next(iter(ring.members))
    far = [n for n in ring.members if n != node and n not in ring.ring.neighbours(node)]
    for known in far[:3]:
        ring.chords.link(node, known)
    found = nodes(ring.far(node, "b", 0))
    assert len(found & set(far[:3])) == 1
    assert len(found) == 2


def test_nobody_is_sent_to_whom_it_was_parted_from(finding):
    ring = finding(5)
    node = next(iter(ring.members))
    far = [n for n in ring.members if n != node and n not in ring.ring.neighbours(node)]
    ring.ring.part(node, far[0])
    assert far[0] not in nodes(ring.far(node, "b", 0))
