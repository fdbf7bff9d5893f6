"""What a node tells is told until it was heard, urgent news sooner, and all of it again to who knows nothing."""

import pytest

from dfly.node.reporting import Reports, interval

A, B = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_what_was_answered_is_not_told_again_and_what_came_meanwhile_is():
    reports = Reports("me")
    reports.hold("blob", 0)
    told = reports.make(1.0)
    reports.hold("blob", 1)
    reports.answered(told)
    assert told.held == {"blob": (0,)}
    assert reports.make(2.0).held == {"blob": (1,)}


def test_what_was_not_answered_is_told_with_the_next():
    reports = Reports("me")
    reports.hold("blob", 3)
    reports.make(1.0)
    reports.hold("blob", 2)
    assert reports.make(2.0).held == {"blob": (2, 3)}


def test_what_was_withdrawn_is_not_told_and_does_not_come_back_with_an_answer():
    reports = Reports("me")
    reports.hold("blob", 0)
    told = reports.make(1.0)
    reports.forget("blob")
    reports.answered(told)
    assert reports.make(2.0).held == {}
    reports.hold("blob", 0)
    assert reports.make(3.0).held == {"blob": (0,)}


def test_it_reports_once_a_second_and_sooner_where_somebody_waits():
    reports = Reports("me", last=10.0)
    reports.hold("blob", 0)
    assert not reports.due(10.5)
    assert reports.due(11.0)
    reports.hold("blob", 1, urgent=True)
    assert not reports.due(10.05)
    assert reports.due(10.2)
    reports.make(10.2)
    assert not reports.due(10.5)


@pytest.mark.parametrize(("members", "seconds"), [(1, 1.0), (2000, 1.0), (5000, 2.5), (100_000, 4.0)])
def test_in_a_large_ring_it_reports_less_often(members, seconds):
    assert interval(members) == seconds
    reports = Reports("me", last=10.0)
    assert not reports.due(10.0 + seconds - 0.1, members=members)
    assert reports.due(10.0 + seconds, members=members)
    reports.hold("blob", 0, urgent=True)
    assert reports.due(10.2, members=members)


def test_two_reports_are_never_under_way_at_once():
    reports = Reports("me")
    reports.under_way = True
    reports.hold("blob", 0, urgent=True)
    assert not reports.due(1e9)


def test_a_seed_peer_that_knows_nothing_hears_all_of_it_at_once():
    reports = Reports("me", declined=("other",), last=10.0)
    first = reports.make(10.0)
    assert first.declined == ("other",)
    reports.answered(first)
    assert reports.make(11.0).declined == ()
    reports.retell([("blob", 0), ("blob", 1)])
    assert reports.due(11.1)
    again = reports.make(11.1)
    assert again.held == {"blob": (0, 1)}
    assert again.declined == ("other",)


def test_bytes_are_added_up_by_source():
    reports = Reports("me")
    reports.count("peer", 3)
    reports.count("seed-peer", 4)
    reports.count("peer", 5)
    assert reports.make(1.0).sources == {"peer": 8, "seed-peer": 4}


def test_an_accusation_is_told():
    reports = Reports("me")
    reports.bad_peers |= {B, A}
    assert reports.make(1.0).bad_peers == (A, B)
