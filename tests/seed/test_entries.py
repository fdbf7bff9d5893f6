"""A published segment that nobody in the ring holds is somebody's duty, or waits; one that somebody holds is neither."""

import pytest

from dfly.seed.topology.entries import Entries
from dfly.seed.topology.holdings import mask_of
from dfly.seed.topology.members import Member
from tests.seed.clocks import Clock

SIZE = 1 << 20


@pytest.fixture
def entries():
    """`entries(*nodes)`: of members in the ring, all of whom keep up."""

    def build(*nodes):
        members = {
            node: Member(node=node, addresses=((f"10.0.0.{n}", 1),), location="", last_seen=0.0, seated=True)
            for n, node in enumerate(nodes, 1)
        }
        return Entries(members=members, clock=Clock())

    return build


def told(outbox):
    return {node: [(line.blob, line.index) for line in lines] for node, lines in outbox.items()}


def test_what_is_published_enters_through_somebody_at_once(entries):
    ring = entries("n1")
    assert told(ring.publish("b", 0, SIZE)) == {"n1": [("b", 0)]}
    assert ring.duties.live(("b", 0)) == ("n1",)


def test_what_is_published_before_anybody_is_there_waits(entries):
    ring = entries()
    assert ring.publish("b", 0, SIZE) == {}
    assert ring.duties.waiting == (("b", 0),)


def test_what_somebody_holds_already_needs_no_entry(entries):
    ring = entries("n1")
    ring.come("b", mask_of([0]))
    assert ring.publish("b", 0, SIZE) == {}
    assert ring.duties.waiting == ()


def test_it_enters_again_when_the_last_holder_has_gone_and_not_before(entries):
    ring = entries("n1", "n2")
    ring.publish("b", 0, SIZE)
    ring.come("b", mask_of([0]))
    ring.come("b", mask_of([0]))
    ring.gone("b", mask_of([0]))
    assert ring.give({}) == {}
    ring.gone("b", mask_of([0]))
    assert [line for lines in told(ring.give({})).values() for line in lines] == [("b", 0)]


def test_what_was_never_published_is_nobodys_duty(entries):
    ring = entries("n1")
    ring.come("b", mask_of([0]))
    ring.gone("b", mask_of([0]))
    assert ring.give({}) == {}
    assert ring.duties.waiting == ()


def test_a_withdrawn_blob_is_held_and_brought_in_by_nobody(entries):
    ring = entries("n1")
    ring.publish("b", 0, SIZE)
    ring.come("b", mask_of([1]))
    ring.retire("b")
    assert ring.held("b") == 0
    assert ring.duties.live(("b", 0)) == ()
