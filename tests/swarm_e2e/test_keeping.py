"""A node has torrents of what somebody near it may need, and of nothing else; and it has them again for a newcomer."""

import hashlib

import pytest

from dfly.testing.torrents import watched_torrents

from .files import SEGMENT, size_of, some_bytes, tree

SEGMENTS = 6
EARLY, LATE = some_bytes(SEGMENTS * SEGMENT, seed=1), some_bytes(2 * SEGMENT, seed=2)
FILES = {"a.bin": EARLY, "b.bin": LATE}
BLOB = f"sha256-{hashlib.sha256(EARLY).hexdigest()}"


@pytest.fixture
def torrents():
    with watched_torrents() as watched:
        yield watched


@pytest.fixture
def held(origin):
    """An origin that sends all of a.bin, and of b.bin nothing that is enough to be published."""
    made = origin(FILES)
    made.hold("b.bin", 1)
    return made


def settled(torrents, *nodes):
    """Until these have a.bin, and nobody has a torrent of it."""
    for node in nodes:
        node.until("file.finished")
    torrents.until(lambda: torrents.of(BLOB) == 0)


def all_done(held, cluster):
    held.let_go()
    for node in cluster.nodes:
        if not node.cancel.is_set():
            node.done()
            assert tree(node.output) == FILES
    assert held.total == size_of(FILES)


def test_nodes_let_go_of_a_file_that_their_neighbours_have(held, swarm, torrents):
    cluster = swarm(held)
    settled(torrents, *cluster.several(3, "memory://model"))
    assert torrents.added >= 3 * SEGMENTS
    all_done(held, cluster)


def test_a_node_keeps_what_a_neighbour_lacks(held, swarm, torrents):
    cluster = swarm(held)
    with cluster.mute("memory://model") as say:
        node = cluster.node("memory://model")
        node.until("file.finished")
        assert torrents.of(BLOB) == SEGMENTS
        say(held={BLOB: tuple(range(SEGMENTS))})
        torrents.until(lambda: torrents.of(BLOB) == 0)


def test_a_newcomer_gets_from_nodes_what_they_had_let_go_of(held, swarm, torrents):
    cluster = swarm(held)
    first = cluster.several(2, "memory://model")
    settled(torrents, *first)
    before = cluster.sent()
    newcomer = cluster.node("memory://model")
    settled(torrents, newcomer)
    assert cluster.sent() - before <= SEGMENT
    all_done(held, cluster)
    assert newcomer.done().sources["peer"] >= len(EARLY) - SEGMENT


def test_who_takes_the_place_of_a_neighbour_gets_all_of_it(held, swarm, torrents):
    cluster = swarm(held)
    stays, goes = cluster.several(2, "memory://model")
    settled(torrents, stays, goes)
    goes.cancel.set()
    goes.error()
    before = cluster.sent()
    settled(torrents, cluster.node("memory://model"))
    assert cluster.sent() - before <= SEGMENT
    all_done(held, cluster)


def test_a_newcomer_is_served_by_a_node_that_was_alone(held, swarm, torrents):
    cluster = swarm(held)
    settled(torrents, cluster.node("memory://model"))
    before = cluster.sent()
    settled(torrents, *cluster.several(2, "memory://model"))
    assert cluster.sent() - before <= 2 * SEGMENT
    all_done(held, cluster)
