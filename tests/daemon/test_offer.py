"""What a daemon has torrents of, in a real session: what somebody near needs, a few at a turn, and nothing after a while."""

import contextlib
import hashlib
import math
import time
from itertools import pairwise
from queue import SimpleQueue

import attrs
import pytest

from dfly.daemon import offer as module
from dfly.daemon.held import Held
from dfly.daemon.offer import IDLE, Offer
from dfly.daemon.session import SharedSession
from dfly.layout import SMALLEST_PIECE, Layout
from dfly.store.blobs import Committed
from dfly.swarm import Swarm, SwarmSettings

DATA = bytes(3 * Layout(1).segment_length + SMALLEST_PIECE)
LAYOUT = Layout(len(DATA))
PEER = ("127.0.0.1", 9)


@attrs.define
class Uses:
    """Stands where the cache is asked to give nothing up."""

    now: int = 0

    @contextlib.contextmanager
    def in_use(self, blobs):
        self.now += 1
        yield
        self.now -= 1


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(DATA)
    spans = map(LAYOUT.piece_range, range(LAYOUT.pieces))
    hashes = b"".join(hashlib.sha1(DATA[start:stop]).digest() for start, stop in spans)
    one = Committed(blob="one", path=str(path), size=len(DATA), sha256="", hashes=hashes)
    return {"one": Held(committed=one), "two": Held(committed=attrs.evolve(one, blob="two"))}


@pytest.fixture
def uses():
    return Uses()


@pytest.fixture
def session():
    shared = SharedSession(lambda on_event: Swarm(SwarmSettings(interfaces=("127.0.0.1",)), on_event=on_event))
    yield shared
    shared.close()


@pytest.fixture
def offer(held, session, uses):
    return Offer(held, share=session.share(SimpleQueue().put), cache=uses)


def turned(offer, now=None):
    """How many are offered after each turn, until nothing is left to do."""
    now, seen = time.monotonic() if now is None else now, []
    while offer.turn(now):
        seen.append(len(offer))
    return [*seen, len(offer)]


def torrents(session):
    return [(key.blob, key.index) for key in session.stats().torrents]


def whole(blob):
    return [(blob, index) for index in range(LAYOUT.segments)]


def test_nothing_is_offered_before_there_is_somebody(offer, uses):
    assert turned(offer) == [0]
    assert uses.now == 0


def test_a_few_are_offered_at_a_turn_and_the_first_blobs_first(offer, session, uses, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    offer.make(peers=[PEER], new=[PEER])
    seen = turned(offer)
    assert all(after - before <= 3 for before, after in pairwise([0, *seen]))
    assert torrents(session) == [*whole("one"), *whole("two")]
    assert uses.now == 1


def test_what_nobody_near_needs_is_not_offered(offer, session):
    offer.needs(over=["one"], again=[], peers=[])
    offer.make(peers=[PEER], new=[PEER])
    turned(offer)
    assert torrents(session) == whole("two")


def test_what_everybody_near_has_got_is_taken_back_and_offered_again_to_who_lacks_it(offer, session):
    offer.make(peers=[PEER], new=[PEER])
    turned(offer)
    offer.needs(over=["two", "unknown"], again=[], peers=[PEER])
    turned(offer)
    assert torrents(session) == whole("one")
    offer.needs(over=["one"], again=["two", "unknown"], peers=[PEER])
    turned(offer)
    assert torrents(session) == whole("two")


def test_what_was_taken_back_is_offered_again_to_a_neighbour_that_needs_it_after_all(offer, session):
    offer.make(peers=[PEER], new=[PEER])
    offer.needs(over=["one", "two"], again=[], peers=[PEER])
    offer.take_back()
    turned(offer)
    offer.needs(over=[], again=["one"], peers=[PEER])
    turned(offer)
    assert torrents(session) == whole("one")


def test_another_seed_peer_knows_nothing_of_needs(offer, session):
    offer.needs(over=["one", "two"], again=[], peers=[])
    offer.all_needed()
    offer.make(peers=[PEER])
    turned(offer)
    assert len(torrents(session)) == 2 * LAYOUT.segments


def test_the_cache_keeps_what_is_offered_until_the_last_of_it_is_taken_back(offer, session, uses, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    offer.make(peers=[PEER])
    turned(offer)
    offer.take_back()
    offer.turn(time.monotonic())
    assert (len(offer), uses.now) == (2 * LAYOUT.segments - 3, 1)
    assert turned(offer)[-1] == 0
    assert (torrents(session), uses.now) == ([], 0)


def test_what_nobody_takes_is_taken_back_after_a_while(offer, uses):
    offer.make(peers=[PEER])
    now = time.monotonic()
    turned(offer, now)
    assert turned(offer, now + IDLE - 1)[-1] == 2 * LAYOUT.segments
    # the first look is what the second is held against
    turned(offer, now + 2 * IDLE)
    assert turned(offer, now + 4 * IDLE)[-1] == 0
    assert uses.now == 0


def test_at_the_end_all_is_taken_back_at_once(offer, session, uses):
    offer.make(peers=[PEER])
    turned(offer)
    offer.close()
    assert (torrents(session), uses.now, offer.turn(math.inf)) == ([], 0, False)
