"""Whom a node trusts: wrong pieces and silence, counted by host over all torrents."""

import pytest

from dfly.node.reporting import Reports
from dfly.node.trust import ANSWERS, PIECES, Trust
from dfly.swarm import Flooded, PeerBanned, SegmentKey

HOST = "10.0.0.7"
NAMED = (HOST, 6881)


class Session:
    """What libtorrent would say is owed."""

    def __init__(self):
        self.denied = []
        self.hung_up = []
        self.owing = {}

    def deny(self, hosts):
        self.denied += hosts

    def hang_up(self, hosts):
        self.hung_up += hosts

    def owed(self, key):
        return self.owing.get(key, {})


@pytest.fixture
def session():
    return Session()


@pytest.fixture
def said():
    return []


@pytest.fixture
def reports():
    return Reports("me")


@pytest.fixture
def trust(session, reports, said):
    made = Trust(swarm=session, reports=reports, emit=lambda event: said.append(event.message))
    made.named([NAMED, ("10.0.0.8", 6881)])
    return made


def key(index=0):
    return SegmentKey("b", index)


def test_one_wrong_piece_is_a_doubt_under_the_name_that_the_scheduler_knows(trust, reports, session):
    trust.banned(PeerBanned(key(3), (HOST, 50123), piece=50), "model")
    assert reports.doubts == {("b", 3, *NAMED)}
    assert (session.denied, reports.bad_peers) == ([], set())


def test_the_same_piece_again_and_again_is_one_piece_and_in_the_end_enough(trust, session):
    for _ in range(ANSWERS - 1):
        trust.banned(PeerBanned(key(), (HOST, 50123), piece=5), "model")
    assert session.denied == []
    trust.banned(PeerBanned(key(), (HOST, 50123), piece=5), "model")
    assert session.denied == [HOST]


def test_different_wrong_pieces_shut_a_host_out_over_all_torrents_and_ports(trust, session, reports, said):
    for index in range(PIECES):
        trust.banned(PeerBanned(key(index), (HOST, 50000 + index), piece=16 * index), "model")
    assert session.denied == [HOST]
    assert reports.bad_peers == {NAMED}
    assert trust.usable([NAMED, ("10.0.0.8", 6881)]) == [("10.0.0.8", 6881)]
    assert HOST in said[-1]


def test_who_only_had_a_part_in_wrong_pieces_is_not_shut_out_for_it(trust, session):
    for index in range(PIECES + 1):
        trust.banned(PeerBanned(key(index), NAMED, piece=16 * index, certain=False), "model")
    assert session.denied == []


def test_a_web_seed_is_reported_and_not_denied_and_only_where_it_is_certain(trust, session, reports):
    seed = ("10.0.0.1", 65001)
    trust.banned(PeerBanned(key(1), seed, piece=17, web_seed=True, certain=False), "model")
    assert reports.bad_segments == set()
    trust.banned(PeerBanned(key(1), seed, piece=17, web_seed=True), "model")
    assert reports.bad_segments == {("b", 1)}
    assert session.denied == []


def test_a_host_that_floods_is_reported(trust, reports):
    trust.flooded(Flooded(HOST, 1000))
    assert reports.bad_peers == {NAMED}


def look(trust, now, *, progressed):
    trust.look([key()], [key()], now, progressed=progressed)


def test_a_peer_that_owes_and_sends_nothing_is_passed_over_until_it_is_named_anew(trust, session, reports):
    session.owing[key()] = {(HOST, 50123): (4, 0)}
    for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0):
        look(trust, now, progressed=now)
    assert reports.silent_peers == {NAMED}
    assert session.hung_up == [HOST]
    trust.named([])
    assert trust.usable([NAMED]) == []
    trust.named([NAMED])
    assert trust.usable([NAMED]) == [NAMED]


def test_a_peer_that_sends_however_slowly_is_not_silent(trust, session, reports):
    for now in range(10):
        session.owing[key()] = {(HOST, 50123): (4, now)}
        look(trust, float(now), progressed=float(now))
    assert reports.silent_peers == set()


def test_nobody_is_called_silent_while_nothing_comes_from_anybody(trust, session, reports):
    session.owing[key()] = {(HOST, 50123): (4, 0)}
    for now in range(10):
        look(trust, float(now), progressed=0.0)
    assert reports.silent_peers == set()
