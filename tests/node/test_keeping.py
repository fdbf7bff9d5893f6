"""Which held segments a node has torrents of, in a real session: told by the seed peer, a few at a turn."""

import hashlib
import os
import random
from itertools import pairwise
from queue import SimpleQueue

import pytest

from dfly.events import ignore
from dfly.layout import SMALLEST_PIECE, Layout
from dfly.node import keeping
from dfly.node.arrival import Arrival
from dfly.node.circle import Circle
from dfly.node.flow import Flow
from dfly.node.keeping import Keeping
from dfly.node.reporting import Reports
from dfly.node.segments import Segments
from dfly.node.trust import Trust
from dfly.node.window import Window
from dfly.output.plan import Target
from dfly.swarm import SegmentReadable, Swarm, SwarmSettings
from dfly.values import Digest, Entry
from dfly.wire import Needs, Ring

DATA = random.Random(17).randbytes(2 * Layout(1).segment_length + 2 * SMALLEST_PIECE)
LAYOUT = Layout(len(DATA))
SHA256 = hashlib.sha256(DATA).hexdigest()
ALL = range(LAYOUT.segments)
LONG_ENOUGH = 30.0


def hashes(index):
    spans = [LAYOUT.piece_range(piece) for piece in LAYOUT.segment_pieces(index)]
    return b"".join(hashlib.sha1(DATA[start:stop]).digest() for start, stop in spans)


class Node:
    """A node that holds `blobs` whole, which are not judged yet."""

    def __init__(self, folder, blobs=("one",)):
        self.swarm = Swarm(SwarmSettings(interfaces=("127.0.0.1",)), on_event=lambda event: None)
        reports = Reports("me")
        self.circle = Circle(swarm=self.swarm, trust=Trust(swarm=self.swarm, reports=reports, emit=ignore), seat=None)
        self.flows = {blob: self._flow(blob, folder) for blob in blobs}
        self.segments = Segments(
            flows=self.flows,
            swarm=self.swarm,
            circle=self.circle,
            reports=reports,
            workers=None,
            window=Window(),
            emit=ignore,
        )
        self.keeping = Keeping(flows=self.flows, segments=self.segments, circle=self.circle)
        for flow in self.flows.values():
            for index in ALL:
                self.segments.serve(flow, index)

    def _flow(self, blob, folder):
        path = str(folder / blob)
        digests = (Digest("sha256", SHA256),)
        entry = Entry(
            path=blob, size=len(DATA), url=f"g://{blob}", identity=f"g://{blob}", digests=digests, validator="1"
        )
        arrival = Arrival(
            blob=blob, entry=entry, targets=[Target(entry, path)], root=str(folder), emit=ignore, swarmed=True
        )
        flow = Flow(arrival)
        for index in ALL:
            flow.announce(index, len(DATA), hashes(index))
        partial = flow.gathered().partial
        os.pwrite(partial.fd, DATA, 0)
        for index in ALL:
            partial.segment_arrived(index, hashes(index))
            flow.held.add(index)
            flow.journalled.add(index)
        return flow

    def settle(self):
        for flow in self.flows.values():
            assert flow.arrival.settle(sha256=SHA256)

    def let_go(self):
        self.settle()
        self.keeping.told(Needs(over=tuple(self.flows)))
        self.turn()
        assert self.served() == []

    def turn(self):
        while self.keeping.turn():
            pass

    def served(self):
        return sorted((key.blob, key.index) for key in self.swarm.stats().torrents)

    def close(self):
        self.swarm.close()
        for flow in self.flows.values():
            flow.arrival.close()


class Newcomer:
    """A session with a torrent of each segment, which dials nobody."""

    def __init__(self, folder):
        self.events = SimpleQueue()
        self.swarm = Swarm(SwarmSettings(interfaces=("127.0.0.1",)), on_event=self.events.put)
        self.swarm.allow(["127.0.0.1"])
        self.address = ("127.0.0.1", self.swarm.port)
        for index in ALL:
            self.swarm.add_segment("one", LAYOUT, index, hashes(index), path=str(folder / "newcomer"))

    def until_it_has_all(self):
        lacking = set(ALL)
        while lacking:
            event = self.events.get(timeout=LONG_ENOUGH)
            if isinstance(event, SegmentReadable):
                lacking.discard(event.key.index)


@pytest.fixture
def node(tmp_path):
    made = []

    def make(**given):
        made.append(Node(tmp_path, **given))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def newcomer(tmp_path):
    made = Newcomer(tmp_path)
    yield made
    made.swarm.close()


def whole(blob):
    return [(blob, index) for index in ALL]


def test_a_blob_is_let_go_of_once_it_was_found_right(node):
    here = node()
    here.keeping.told(Needs(over=("one",)))
    here.turn()
    assert here.served() == whole("one")
    here.settle()
    here.turn()
    assert here.served() == []
    assert here.flows["one"].held == set(ALL)


def test_what_others_need_stays(node):
    here = node(blobs=("one", "two"))
    here.settle()
    here.keeping.told(Needs(over=("two", "unknown")))
    here.turn()
    assert here.served() == whole("one")


def test_a_newcomer_is_dialled_and_gets_all_and_what_it_got_stays_counted(node, newcomer):
    here = node()
    here.let_go()
    here.circle.joined(Ring(neighbours=(newcomer.address,)))
    here.keeping.told(Needs(again=("one",)))
    here.turn()
    newcomer.until_it_has_all()
    here.keeping.told(Needs(over=("one",)))
    here.turn()
    assert here.served() == []
    assert here.swarm.stats().uploaded >= len(DATA)


def test_another_node_at_the_address_of_one_that_had_all_is_dialled_too(node, newcomer):
    here = node()
    here.circle.joined(Ring(neighbours=(newcomer.address,)))
    here.let_go()
    here.keeping.told(Needs(again=("one",)))
    here.turn()
    newcomer.until_it_has_all()


def test_a_few_at_a_turn_and_the_first_blobs_first(node, monkeypatch):
    monkeypatch.setattr(keeping, "AT_ONCE", 2)
    here = node(blobs=("one", "two"))
    here.let_go()
    here.keeping.told(Needs(again=("two", "one")))
    seen = []
    while here.keeping.turn():
        seen.append(here.served())
    assert seen[0] == whole("one")[:2]
    assert all(len(after) - len(before) <= 2 for before, after in pairwise(seen))
    assert here.served() == [*whole("one"), *whole("two")]


def test_to_another_seed_peer_everything_is_served_again(node):
    here = node(blobs=("one", "two"))
    here.let_go()
    here.keeping.serve_all()
    here.turn()
    assert here.served() == [*whole("one"), *whole("two")]


def test_who_is_let_go_of_and_needed_at_one_turn_is_not_touched(node):
    here = node()
    here.settle()
    here.keeping.told(Needs(over=("one",)))
    here.keeping.told(Needs(again=("one",)))
    here.turn()
    assert here.served() == whole("one")


def test_a_segment_that_the_disk_has_changed_is_not_served_again(node):
    here = node()
    here.let_go()
    here.segments.fetch_again(here.flows["one"], {1: set()})
    here.keeping.serve_all()
    here.turn()
    assert here.served() == [("one", 0), ("one", 2)]


def test_a_blob_is_left_whether_or_not_it_was_let_go_of(node):
    here = node(blobs=("one", "two"))
    here.settle()
    here.keeping.told(Needs(over=("one",)))
    here.turn()
    for flow in here.flows.values():
        here.segments.drop(flow)
    assert here.served() == []
