"""Takes segments from nodes that hold them, where an earlier seed peer published them and this one has not got them.

A successor is asked for everything sooner or later: by nodes that join late, and for the digest of the whole blob. What nodes
hold it takes from them like any other node, with a session that is opened when the first segment is to be pulled: a seed peer
that never takes over never loads libtorrent. A thread of its own, because adding a torrent and hashing what came both block.

Nodes wait for what the origin sends, and nobody waits for this: while origins are asked it takes one segment after the other, and
no more of the line than they leave (`leftover`).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import structlog

from dfly.errors import OutputError, SwarmError
from dfly.layout import Layout
from dfly.seed.leftover import Leftover
from dfly.seed.mirroring import Mirror
from dfly.swarm.events import Address, Key, PeerBanned, SegmentKey, SegmentReadable, StorageFailed
from dfly.wire import Segment

if TYPE_CHECKING:
    from dfly.swarm import Swarm

#: Segments that are pulled at once, and while an origin is asked.
WINDOW, BESIDE_ORIGIN = 16, 1
#: Seconds without a byte after which a segment is asked of other holders, and how often that is done.
STUCK, TRIES = 5.0, 2
_LOOK = 0.25

_log = structlog.get_logger(__name__)

OpenSwarm = Callable[[Callable[[Any], None]], "Swarm"]


class Pulls(Protocol):
    """Takes segments from nodes."""

    @property
    def room(self) -> int:
        """How many more segments it takes now."""

    @property
    def pulled_bytes(self) -> int:
        """Bytes that were taken from nodes so far."""

    def pull(self, segment: Segment, peers: Sequence[Address]) -> None:
        """Take an adopted segment from nodes that hold it; nothing where that is under way."""

    def drop(self, blob: str) -> None:
        """A blob was withdrawn: stop."""


class NoPuller:
    """For a seed peer that leaves with nodes what they hold."""

    room = pulled_bytes = 0

    def __init__(self, mirror: Mirror, give_up: Callable[[str, int], None]) -> None:
        pass

    def pull(self, segment: Segment, peers: Sequence[Address]) -> None:
        """See Pulls."""

    def drop(self, blob: str) -> None:
        """See Pulls."""


@attrs.define(kw_only=True, eq=False)
class _Pull:
    """A segment under way; `added` once its torrent is in the session, `since` its last try began (monotonic seconds)."""

    segment: Segment
    peers: tuple[Address, ...]
    since: float
    added: bool = False
    tries: int = 1


@attrs.frozen
class _Withdrawn:
    blob: str


_CLOSE = object()


class Puller:
    """See the module. `give_up(blob, index)` is called from the thread for what cannot be had from nodes. Close it first."""

    def __init__(self, mirror: Mirror, give_up: Callable[[str, int], None], *, open_swarm: OpenSwarm) -> None:
        self._mirror, self._give_up, self._open_swarm = mirror, give_up, open_swarm
        self._inbox: SimpleQueue[Any] = SimpleQueue()
        self._pulls: dict[SegmentKey, _Pull] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._swarm: Swarm | None = None
        self._leftover = Leftover()
        self.pulled_bytes = 0

    @property
    def room(self) -> int:
        """See Pulls."""
        return WINDOW - len(self._pulls)

    def pull(self, segment: Segment, peers: Sequence[Address]) -> None:
        """See Pulls."""
        key = SegmentKey(segment.blob, segment.index)
        with self._lock:
            known = self._pulls.get(key)
            if known is not None:
                known.peers = tuple(peers)
                return
            self._pulls[key] = _Pull(segment=segment, peers=tuple(peers), since=time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="dfly-pull", daemon=True)
                self._thread.start()
        self._inbox.put(None)

    def drop(self, blob: str) -> None:
        """See Pulls."""
        self._inbox.put(_Withdrawn(blob))

    def close(self) -> None:
        """Leave all swarms. Nothing is written afterwards."""
        self._inbox.put(_CLOSE)
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with contextlib.closing(self._open_swarm(self._inbox.put)) as swarm:
                self._swarm = swarm
                while self._turn():
                    pass
        except (SwarmError, ImportError) as error:
            _log.warning("pull.impossible", cause=str(error))
            self._refuse_all()
        except Exception:  # noqa: BLE001 - what is adopted and never comes would be waited for without end
            _log.exception("pull.failed")
            self._refuse_all()

    def _refuse_all(self) -> None:
        while True:
            for key in list(self._pulls):
                self._end(key)
                self._give_up(key.blob, key.index)
            if self._inbox.get() is _CLOSE:
                return

    def _turn(self) -> bool:
        try:
            news = self._inbox.get(timeout=_LOOK if self._pulls else None)
            while True:
                if news is _CLOSE:
                    return False
                self._handle(news)
                news = self._inbox.get_nowait()
        except Empty:
            pass
        self._leftover.look(asking=self._mirror.asking, arrived=self._mirror.hub_bytes)
        for key, pull in list(self._pulls.items()):
            self._look(key, pull)
        return True

    def _handle(self, news: Any) -> None:
        if isinstance(news, _Withdrawn):
            for key in [key for key in list(self._pulls) if key.blob == news.blob]:
                self._end(key)
        elif isinstance(news, SegmentReadable):
            pull = self._pulls.get(news.key)
            if pull is not None and pull.added:
                self._leave(news.key, pull)
                start, stop = Layout(pull.segment.size).segment_range(news.key.index)
                self.pulled_bytes += stop - start
                self._mirror.received(news.key.blob, news.key.index, pull.segment.hashes)
                self._end(news.key)
        elif isinstance(news, PeerBanned):
            _log.warning("pull.wrong_bytes", address=news.address[0], blob=news.key.blob)
        elif isinstance(news, StorageFailed) and isinstance(news.key, SegmentKey):
            self._no_storage(news.key, news.reason)

    def _look(self, key: SegmentKey, pull: _Pull) -> None:
        segment, now = pull.segment, time.monotonic()
        layout = Layout(segment.size)
        if self._mirror.published(key.blob, *layout.segment_range(key.index)):
            self._end(key)
        elif not pull.added:
            self._begin(key, pull, layout)
        elif min(now - pull.since, self._idle(key)) > STUCK:
            if pull.tries >= TRIES:
                _log.info("pull.stuck", blob=key.blob, segment=key.index, holders=len(pull.peers))
                self._abandon(key)
            else:
                self._leave(key, pull)
                pull.tries += 1

    def _begin(self, key: SegmentKey, pull: _Pull, layout: Layout) -> None:
        start, stop = layout.segment_range(key.index)
        under_way = sum(other.added for other in list(self._pulls.values()))
        if self._mirror.asking and under_way >= BESIDE_ORIGIN:
            return
        path = self._mirror.receive(key.blob)
        if path is not None and self._leftover.take(stop - start):
            assert self._swarm is not None
            hashes = pull.segment.hashes
            try:
                self._swarm.add_segment(key.blob, layout, key.index, hashes, path=path, peers=pull.peers)
            except OutputError as error:
                self._no_storage(key, str(error))
                return
            pull.added, pull.since = True, time.monotonic()

    def _idle(self, key: Key) -> float:
        assert self._swarm is not None
        return self._swarm.traffic(key).idle

    def _no_storage(self, key: SegmentKey, cause: str) -> None:
        _log.warning("pull.no_storage", blob=key.blob, cause=cause)
        self._abandon(key)

    def _abandon(self, key: SegmentKey) -> None:
        self._end(key)
        self._give_up(key.blob, key.index)

    def _leave(self, key: SegmentKey, pull: _Pull) -> None:
        if pull.added and self._swarm is not None:
            pull.added = False
            with contextlib.suppress(KeyError):
                self._swarm.remove(key)

    def _end(self, key: SegmentKey) -> None:
        with self._lock:
            pull = self._pulls.pop(key, None)
        if pull is not None:
            self._leave(key, pull)
