"""A node in the swarm: rolls through the segments of a task's blobs as the seed peer publishes them.

One thread, the caller's, owns all state here: the event stream, libtorrent's alerts and the workers that hash and verify put
their news into one inbox, and `bring` takes it out. So there are no locks.

    event stream ─┐                     ┌─▶ heeding    what the seed peer says
    libtorrent ───┼─▶ inbox ─▶ rolling ─┼─▶ wanting    which blobs
    workers ──────┘                     ├─▶ segments   the life of each segment
                                        ├─▶ keeping    which of them are served
                                        ├─▶ helping    what stands still gets chords, the web seed, an error
                                        └─▶ circle     who is near, and the way to the seed peer
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Self

import attrs

from dfly import wire
from dfly.errors import Cancelled, DflyError
from dfly.events import Listener
from dfly.node.arrival import Arrival
from dfly.node.circle import Circle
from dfly.node.control import Whereabouts
from dfly.node.flow import Flow
from dfly.node.heeding import Heeding
from dfly.node.helping import Hearing, Help
from dfly.node.keeping import Keeping
from dfly.node.listening import EventStream
from dfly.node.outsiders import Outsiders
from dfly.node.readers import Readers
from dfly.node.reporting import Reports
from dfly.node.segments import Segments
from dfly.node.succession import Succession
from dfly.node.trust import Trust
from dfly.node.wanting import Wanting
from dfly.node.window import Window
from dfly.node.workers import Done, Workers
from dfly.swarm import Flooded, PeerBanned, SegmentKey, SegmentReadable, Session, StorageFailed, WebSeedFailed

TICK = 0.25


@attrs.frozen
class _Also:
    arrivals: Mapping[str, Arrival]


@attrs.frozen
class _Look:
    pass


@attrs.frozen
class _GivenUp:
    blobs: frozenset[str]


class Rolling:
    """Brings `arrivals` (by blob id) through the swarm of `task`, but not those in `declined`, which are here in another way.

    A context manager; `bring`, then `linger`. One that `grows` remembers what it hears of other blobs, which may be wanted later.
    `readers` are those who do not wait for the whole. In a `lazy` task the seed peer fetches only what it hears is wanted.

    `sources` are the bytes that this node has of the task already, by source, and are counted on.
    `inbox` is where `swarm` puts its events; `patience` is how many seconds may pass without a
    byte while the seed peer is away or does not send what it has published.
    """

    def __init__(
        self,
        arrivals: Mapping[str, Arrival],
        *,
        succession: Succession,
        me: Whereabouts,
        swarm: Session,
        inbox: "SimpleQueue[Any]",
        emit: Listener,
        stop: threading.Event,
        patience: float,
        declined: Collection[str] = (),
        grows: bool = False,
        lazy: bool = False,
        sources: dict[str, int] | None = None,
        readers: Readers | None = None,
    ) -> None:
        self._flows = {blob: Flow(arrival, readers=readers) for blob, arrival in arrivals.items()}
        self._swarm, self._inbox = swarm, inbox
        self._emit, self._stop = emit, stop
        self._stream = EventStream(succession=succession, me=me, put=inbox.put)
        self._workers = Workers(inbox.put)
        self._reports = Reports(me.node, declined=tuple(sorted(declined)), sources={} if sources is None else sources)
        if grows or lazy:
            self._reports.want(arrivals)
        self._trust = Trust(swarm=swarm, reports=self._reports, emit=emit)
        #: Whom it deals with at present.
        self.circle = Circle(swarm=swarm, trust=self._trust, seat=succession.seat)
        self._hearing = Hearing()
        window = Window(patience=patience / 5, latency=patience / 15)
        self._segments = Segments(
            flows=self._flows,
            swarm=swarm,
            circle=self.circle,
            reports=self._reports,
            workers=self._workers,
            window=window,
            emit=emit,
        )
        self._help = Help(
            flows=self._flows,
            segments=self._segments,
            swarm=swarm,
            circle=self.circle,
            trust=self._trust,
            reports=self._reports,
            workers=self._workers,
            window=window,
            hearing=self._hearing,
            emit=emit,
            patience=patience,
        )
        self._outsiders = Outsiders(session=swarm)
        self._wanting = Wanting(
            flows=self._flows,
            segments=self._segments,
            reports=self._reports,
            readers=readers,
            unheard={} if grows else None,
        )
        self._keeping = Keeping(flows=self._flows, segments=self._segments, circle=self.circle)
        self._heeding = Heeding(
            flows=self._flows,
            swarm=swarm,
            circle=self.circle,
            segments=self._segments,
            keeping=self._keeping,
            wanting=self._wanting,
            outsiders=self._outsiders,
            hearing=self._hearing,
            reports=self._reports,
            workers=self._workers,
            emit=emit,
        )
        self._looked, self._busy = 0.0, False
        self._handlers: dict[type, Callable[[Any], None]] = {
            SegmentReadable: self._segments.readable,
            PeerBanned: self._on_banned,
            Flooded: self._trust.flooded,
            WebSeedFailed: self._on_web_seed_failed,
            StorageFailed: self._on_storage_failed,
            Done: Done.handle,
            _Also: self._on_also,
            _GivenUp: lambda news: self._wanting.give_up(news.blobs),
            _Look: lambda _: None,
        }

    def __enter__(self) -> Self:
        self._stream.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.leave()
        self._outsiders.close()
        for flow in self._flows.values():
            self._segments.drop(flow)
        self._workers.close()

    def also(self, arrivals: Mapping[str, Arrival]) -> None:
        """Bring these as well, those that were given up before among them. From any thread."""
        self._inbox.put(_Also(dict(arrivals)))

    def give_up(self, blobs: Iterable[str]) -> None:
        """Ask for these no more; what is there stays open. From any thread."""
        self._inbox.put(_GivenUp(frozenset(blobs)))

    def look(self) -> None:
        """Something has changed for those who read. From any thread."""
        self._inbox.put(_Look())

    def bring(self, *, until: Callable[[], bool] = lambda: True) -> None:
        """Return when every arrival is settled, and `until` says so.

        Raises what the seed peer or the disk raised, Cancelled, and SwarmError where the swarm cannot serve any more; the
        arrivals keep what they have.
        """
        while any(not flow.arrival.settled for flow in self._flows.values()) or not until():
            self._turn()

    def linger(self, seconds: float) -> None:
        """Serve on until both neighbours have everything, at most `seconds`; then say goodbye.

        Raises nothing: what happens from here on, a Ctrl-C too, cannot make the files less complete.
        """
        until = time.monotonic() + seconds
        with contextlib.suppress(DflyError):
            self._report(done=True)
            while (
                not self._heeding.released
                and self.circle.ring.neighbours
                and not self._hearing.away
                and time.monotonic() < until
            ):
                self._turn()
        # a seed peer that is gone needs no goodbye
        with contextlib.suppress(DflyError):
            self.circle.seat.seed_peer.report(
                self.circle.seat.task, self._reports.make(time.monotonic(), done=True, goodbye=True)
            )
        self._stream.leave()

    def _turn(self) -> None:
        if self._stop.is_set():
            raise Cancelled
        try:
            self._handle(self._inbox.get(timeout=0 if self._busy else TICK))
            while True:
                self._handle(self._inbox.get_nowait())
        except Empty:
            pass
        self._wanting.mind_readers()
        self._segments.fill()
        self._busy = self._keeping.turn()
        now = time.monotonic()
        if now - self._looked >= TICK:
            self._looked = now
            self._help.look(now)
            self._outsiders.look()
        if self._reports.due(now, members=self.circle.ring.members):
            self._report(done=all(flow.arrival.settled for flow in self._flows.values()))

    def _handle(self, news: Any) -> None:
        handler = self._handlers.get(type(news))
        if handler is not None:
            handler(news)
        else:
            self._heeding.heed(news)

    def _on_also(self, news: "_Also") -> None:
        for told in self._wanting.add(news.arrivals):
            self._handle(told)

    def counts(self) -> tuple[int, int]:
        """How many segments it has, and how many of those its neighbours can take now. From any thread."""
        flows = tuple(self._flows.values())
        held = sum(len(flow.held) for flow in flows)
        return held, held - sum(len(flow.resting) for flow in flows)

    def known_segments(self) -> list[wire.Segment]:
        """Every segment that a seed peer has announced to this node. May be called from any thread."""
        return [record for flow in self._flows.values() for record in flow.records(held_only=False)]

    # The swarm's events

    def _on_banned(self, banned: PeerBanned) -> None:
        flow = self._flows.get(banned.key.blob)
        if flow is not None:
            self._trust.banned(banned, flow.arrival.label)

    def _on_web_seed_failed(self, failed: WebSeedFailed) -> None:
        """One bad answer ends a web seed for libtorrent: it is asked again, and again where the segment has stalled."""
        flow = self._flows.get(failed.key.blob)
        if not isinstance(failed.key, SegmentKey) or flow is None or failed.key.index not in flow.ongoing:
            return
        ongoing = flow.ongoing[failed.key.index]
        ongoing.refused(time.monotonic())
        if ongoing.refusals == 1:
            self._segments.use_web_seed(flow, failed.key.index)

    def _on_storage_failed(self, failed: StorageFailed) -> None:
        self._outsiders.drop(failed.key.blob)
        flow = self._flows.get(failed.key.blob)
        if flow is None or flow.arrival.settled or flow.settling or flow.held_up:
            return  # the files are in place, or the bytes are just being judged or thrown away
        raise failed.as_error()

    def _report(self, *, done: bool) -> None:
        told = self._reports.make(time.monotonic(), done=done)
        self._reports.under_way = True

        def send() -> bool:
            try:
                self.circle.seat.seed_peer.report(self.circle.seat.task, told)
            except DflyError:
                return False  # it is told again with the next one
            return True

        def answered(ok: Any) -> None:
            self._reports.under_way = False
            if ok:
                self._reports.answered(told)

        self._workers.talk(answered, send)
