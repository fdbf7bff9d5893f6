"""How much an announce can bring about: at the seed peer, and at a node."""

import asyncio
import contextlib

import attrs
import pytest

from dfly import wire
from dfly.errors import SwarmError
from dfly.layout import Layout
from dfly.node import outsiders as at_node
from dfly.node.reporting import Reports
from dfly.seed.stock import outsiders as at_seed
from dfly.seed.stock.outsiders import Outsiders, Wanted
from dfly.seed.topology.members import Member
from dfly.swarm import WholeKey

LAYOUT = Layout(5)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def wanted(host="127.0.0.1", blob="b", torrent="00"):
    return Wanted(torrent=torrent, blob=blob, name="f", host=host)


def members(count):
    return {
        f"n{i}": Member(node=f"n{i}", addresses=(("127.0.0.1", 2000 + i),), location="", last_seen=0.0)
        for i in range(count)
    }


class Nodes:
    """Hear what is told; those in `willing` say at once that they have let in whom they were told of."""

    def __init__(self, outsiders, willing):
        self.outsiders, self.willing, self.told = outsiders, willing, []

    def tell(self, node, messages):
        self.told += [(node, message) for message in messages]
        if node in self.willing:
            asyncio.get_running_loop().call_soon(self.outsiders.opened, node, [m.number for m in messages])


def test_only_nodes_that_have_let_the_client_in_are_named(clock):
    outsiders = Outsiders(clock=clock, patience=0.05)
    nodes = Nodes(outsiders, {"n0", "n2"})

    async def announced():
        outsiders.admit(wanted(), 7000)
        return await outsiders.open(wanted(), members(3), nodes.tell)

    assert sorted(asyncio.run(announced())) == [("127.0.0.1", 2000), ("127.0.0.1", 2002)]
    assert {node for node, _ in nodes.told} == {"n0", "n1", "n2"}
    assert {message.host for _, message in nodes.told} == {"127.0.0.1"}


def test_nodes_are_told_once_in_half_a_lifetime_however_often_a_client_announces(clock):
    outsiders = Outsiders(clock=clock)
    nodes = Nodes(outsiders, {"n0"})

    async def announced(*ports):
        for port in ports:
            outsiders.admit(wanted(), port)
            assert await outsiders.open(wanted(), members(1), nodes.tell) == [("127.0.0.1", 2000)]

    asyncio.run(announced(7000, 7000, 7001, 7000))
    assert len(nodes.told) == 1
    clock.now += at_seed.LIFETIME / 2
    asyncio.run(announced(7000, 7000))
    assert len(nodes.told) == 2


def test_a_node_that_has_left_is_not_named_and_others_are_asked(clock):
    outsiders = Outsiders(clock=clock)
    nodes = Nodes(outsiders, {"n0", "n1"})

    async def announced():
        outsiders.admit(wanted(), 7000)
        await outsiders.open(wanted(), {"n0": members(2)["n0"]}, nodes.tell)
        clock.now += at_seed.AGAIN
        return await outsiders.open(wanted(), {"n1": members(2)["n1"]}, nodes.tell)

    assert asyncio.run(announced()) == [("127.0.0.1", 2001)]


def test_a_node_that_begins_anew_is_asked_anew(clock):
    outsiders = Outsiders(clock=clock)
    nodes = Nodes(outsiders, {"n0"})

    async def announced():
        outsiders.admit(wanted(), 7000)
        return await outsiders.open(wanted(), members(1), nodes.tell)

    for count in (1, 2):
        assert asyncio.run(announced()) == asyncio.run(announced()) == [("127.0.0.1", 2000)]
        assert len(nodes.told) == count
        outsiders.rejoined("n0")


def test_only_so_many_nodes_hear_of_one_client(clock):
    outsiders = Outsiders(clock=clock)
    nodes = Nodes(outsiders, set(members(100)))

    async def announced():
        outsiders.admit(wanted(), 7000)
        return await outsiders.open(wanted(), members(100), nodes.tell)

    assert len(asyncio.run(announced())) == len(nodes.told) == at_seed.MOST_NODES


def test_a_number_that_was_not_told_to_a_node_is_not_its_to_say(clock):
    outsiders = Outsiders(clock=clock, patience=0.02)

    async def announced():
        outsiders.admit(wanted(), 7000)
        asking = asyncio.ensure_future(outsiders.open(wanted(), members(1), lambda *_: None))
        await asyncio.sleep(0)
        outsiders.opened("another", list(range(1000)))
        return await asking

    assert asyncio.run(announced()) == []


def test_clients_of_a_blob_and_of_a_task_are_counted_until_their_time_is_over(clock):
    outsiders = Outsiders(clock=clock)
    for i in range(at_seed.MOST_OF_BLOB):
        outsiders.admit(wanted(f"127.0.0.{i}"), 7000)
    with pytest.raises(SwarmError):
        outsiders.admit(wanted("127.0.1.1"), 7000)
    outsiders.admit(wanted("127.0.0.3"), 7001)
    more = at_seed.MOST_OF_TASK - at_seed.MOST_OF_BLOB
    for i in range(more):
        outsiders.admit(wanted(f"127.0.2.{i}", blob=f"b{i}", torrent=f"{i}"), 7000)
    with pytest.raises(SwarmError):
        outsiders.admit(wanted("127.0.1.1", blob="another", torrent="ff"), 7000)
    outsiders.forget(wanted("127.0.2.0", blob="b0", torrent="0"), 7000)
    outsiders.admit(wanted("127.0.1.1", blob="another", torrent="ff"), 7000)
    clock.now += at_seed.LIFETIME
    outsiders.admit(wanted("127.0.1.1"), 7000)
    assert outsiders.others(wanted("127.0.1.2"), 7000) == [("127.0.1.1", 7000)]


class Session:
    """Remembers what a node does with its session."""

    def __init__(self):
        self.torrents, self.allowed, self.said = {}, [], []

    def add_whole(self, blob, layout, hashes, **how):
        self.torrents[WholeKey(blob, how["name"])] = how
        return WholeKey(blob, how["name"])

    def allow(self, addresses):
        self.allowed += addresses

    def remove(self, key):
        del self.torrents[key]


class Kept:
    def __init__(self):
        self.blobs = []

    @contextlib.contextmanager
    def __call__(self, blob):
        self.blobs.append(blob)
        yield
        self.blobs.remove(blob)


@pytest.fixture
def node(clock):
    session, kept = Session(), Kept()
    return at_node.Outsiders(session=session, keep=kept, clock=clock), session, kept


def told(host="10.0.0.1", blob="b", name="f", seconds=60.0):
    return wire.Outsider(number=1, blob=blob, name=name, host=host, seconds=seconds)


def let_in(outsiders, outsider):
    return outsiders.let_in(outsider, path="/nowhere/data", layout=LAYOUT, hashes=bytes(20))


def test_a_node_serves_without_writing_or_dialling_until_nobody_is_named_any_more(node, clock):
    outsiders, session, kept = node
    assert let_in(outsiders, told())
    assert let_in(outsiders, told(host="10.0.0.2", seconds=90.0))
    (how,) = session.torrents.values()
    assert how == {"path": "/nowhere/data", "name": "f", "seeding": True, "after_restart": True}
    assert (session.allowed, kept.blobs) == (["10.0.0.1", "10.0.0.2"], ["b"])
    clock.now = 61.0
    outsiders.look()
    assert session.torrents
    clock.now = 91.0
    outsiders.look()
    assert (session.torrents, kept.blobs, outsiders.served) == ({}, [], ())


def test_a_node_is_bounded_whatever_a_seed_peer_says(node, clock):
    outsiders, session, _ = node
    for i in range(at_node.MOST_HOSTS):
        assert let_in(outsiders, told(host=f"10.0.0.{i}"))
    assert not let_in(outsiders, told(host="10.0.1.1"))
    for i in range(at_node.MOST_TORRENTS - 1):
        assert let_in(outsiders, told(name=f"f{i}", seconds=1e9))
    assert not let_in(outsiders, told(name="another"))
    assert len(session.torrents) == at_node.MOST_TORRENTS
    clock.now = at_node.LONGEST
    outsiders.look()
    assert session.torrents == {}


def test_a_damaged_blob_is_served_to_nobody_under_any_name(node):
    outsiders, session, kept = node
    for name in ("f", "g"):
        let_in(outsiders, told(name=name))
    let_in(outsiders, told(blob="c"))
    outsiders.drop("b")
    assert list(session.torrents) == [WholeKey("c", "f")]
    outsiders.close()
    assert (session.torrents, kept.blobs) == ({}, [])


def test_what_was_opened_is_told_until_it_is_answered():
    reports = Reports("n")
    reports.open(7)
    assert reports.due(0.2)
    first = reports.make(0.2)
    assert reports.make(0.3).opened == (7,)
    reports.answered(first)
    assert reports.make(0.4).opened == ()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a\0", "x" * 256, "nul"])
def test_a_name_that_is_no_files_is_no_message(name):
    line = attrs.evolve(told(), name=name).encode()
    with pytest.raises(wire.WireError):
        wire.decode_message(line)
