"""A torrent that goes while bytes of it are hashed takes the process with it: it is paused first, and has some time."""

import time
from collections.abc import Callable

from tests.swarm.conftest import Node, blob_of

from dfly.layout import MIB
from dfly.swarm import SegmentKey, SegmentReadable, SwarmEvent
from dfly.swarm.leaving import PATIENCE, QUIET, Leaving
from dfly.swarm.torrents import Torrent
from dfly.swarm.traffic import Traffic

KEY = SegmentKey("sha256-1", 0)


class Handle:
    def __init__(self) -> None:
        self.pauses = 0

    def pause(self) -> None:
        self.pauses += 1


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def leaving_one() -> tuple[Leaving, Handle, Clock]:
    clock, handle = Clock(), Handle()
    leaving = Leaving(clock=clock)
    leaving.add(Torrent(key=KEY, handle=handle, fetching=True, urls=set(), peers=set()))
    return leaving, handle, clock


def test_a_torrent_is_paused_and_goes_some_time_after_it_has_stopped() -> None:
    leaving, handle, clock = leaving_one()
    assert (handle.pauses, list(leaving.gone())) == (1, [])
    clock.now += 1
    leaving.paused(Handle())
    assert list(leaving.gone()) == []
    leaving.paused(handle)
    assert list(leaving.gone()) == []
    assert leaving
    assert KEY in leaving
    clock.now += QUIET
    assert list(leaving.gone()) == [handle]
    assert not leaving
    assert KEY not in leaving
    assert list(leaving.gone()) == []


def test_a_torrent_that_never_says_that_it_has_stopped_goes_in_the_end() -> None:
    leaving, handle, clock = leaving_one()
    clock.now += PATIENCE
    assert list(leaving.gone()) == [handle]


def arriving(nodes: Callable[..., Node], *, rate: int) -> tuple[Node, Node, SegmentKey]:
    """Two nodes, one of which has a part of a segment that the other sends at so many bytes/s."""
    blob = blob_of(MIB)
    holder, node = nodes(upload_limit=rate), nodes()
    holder.hold(blob)
    holder.add(blob, 0, have=True)
    key = node.add(blob, 0, peers=[holder.address])
    deadline = time.monotonic() + 60
    while node.swarm.traffic(key).downloaded == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return holder, node, key


def test_one_that_has_left_may_come_again_at_once(nodes: Callable[..., Node]) -> None:
    blob = blob_of(MIB)
    holder, node, key = arriving(nodes, rate=MIB // 2)
    node.swarm.remove(key)
    assert key not in node.swarm
    assert node.swarm.keys() == []
    assert node.swarm.stats().from_peers > 0
    assert node.add(blob, 0, peers=[holder.address]) == key
    node.wait_segment(blob, 0)
    assert node.read(0, len(blob.data)) == blob.data


def test_what_was_heard_of_one_that_has_left_is_not_told_of_the_next(nodes: Callable[..., Node]) -> None:
    blob, told = blob_of(MIB), []
    holder, node = nodes(), nodes()
    holder.hold(blob)
    holder.add(blob, 0, have=True)

    def replace(event: SwarmEvent) -> None:
        told.append(event)
        if event == SegmentReadable(SegmentKey(blob.id, 0)):
            node.swarm.remove(event.key)
            node.add(blob, 0, have=True)
            # as if it were one of several that were heard at once
            node.swarm._tell([event])

    node.on_event = replace
    key = node.add(blob, 0, peers=[holder.address])
    node.wait_segment(blob, 0)
    assert told.count(SegmentReadable(key)) == 1
    assert key in node.swarm


def test_a_session_closes_in_the_middle(nodes: Callable[..., Node]) -> None:
    _, node, key = arriving(nodes, rate=MIB // 32)
    started = time.monotonic()
    node.swarm.close()
    assert time.monotonic() - started >= QUIET
    assert SegmentReadable(key) not in node.drain()


def test_only_what_may_be_hashed_just_now_has_to_wait() -> None:
    def torrent(*, fetching: bool = True, finished: bool = False, downloaded: int = 1) -> Torrent:
        made = Torrent(key=KEY, handle=Handle(), fetching=fetching, urls=set(), peers=set(), finished=finished)
        made.ledger._latest = Traffic(downloaded=downloaded)
        return made

    assert torrent().hashing
    assert not torrent(fetching=False).hashing
    assert not torrent(finished=True).hashing
    assert not torrent(downloaded=0).hashing
