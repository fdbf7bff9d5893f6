"""A node in the swarm: rolls through the segments of a task's blobs as the seed peer publishes them.

One thread, the caller's, owns all state here: the event stream, libtorrent's alerts and the workers that hash and verify put
their news into one inbox, and `bring` takes it out. So there are no locks.

    event stream ─┐
    libtorrent ───┼─▶ inbox ─▶ rolling ─┬─▶ segments   the life of each segment
    workers ──────┘                     ├─▶ helping    what stands still gets chords, the web seed, an error
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
from dfly.errors import AccessDenied, Cancelled, DflyError
from dfly.events import Listener, Warned
from dfly.node.arrival import Arrival
from dfly.node.circle import Circle
from dfly.node.control import Whereabouts, revive
from dfly.node.flow import Flow
from dfly.node.helping import Hearing, Help
from dfly.node.listening import Alone, EventStream, Moved, StreamLost
from dfly.node.outsiders import Outsiders
from dfly.node.readers import Readers
from dfly.node.reporting import Reports
from dfly.node.segments import Segments
from dfly.node.succession import Succession
from dfly.node.trust import Trust
from dfly.node.window import Window
from dfly.node.workers import Done, Workers
from dfly.swarm import Flooded, PeerBanned, SegmentKey, SegmentReadable, Session, StorageFailed, WebSeedFailed

TICK = 0.25
#: Segments that the seed peer is asked to bring first, at most.
MOST_FIRST = 32


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
    `readers` are those who do not wait for the whole.

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
        sources: dict[str, int] | None = None,
        readers: Readers | None = None,
    ) -> None:
        self._readers = readers
        self._unheard: dict[str, list[wire.Segment | wire.Blob]] | None = {} if grows else None
        self._flows = {blob: Flow(arrival, readers=readers) for blob, arrival in arrivals.items()}
        self._swarm, self._inbox = swarm, inbox
        self._emit, self._stop = emit, stop
        self._stream = EventStream(succession=succession, me=me, put=inbox.put)
        self._workers = Workers(inbox.put)
        self._reports = Reports(me.node, declined=tuple(sorted(declined)), sources={} if sources is None else sources)
        if grows:
            self._reports.want(arrivals)
        self._trust = Trust(swarm=swarm, reports=self._reports, emit=emit)
        self._circle = Circle(swarm=swarm, trust=self._trust, seat=succession.seat)
        self._hearing = Hearing()
        window = Window(patience=patience / 5, latency=patience / 15)
        self._segments = Segments(
            flows=self._flows,
            swarm=swarm,
            circle=self._circle,
            reports=self._reports,
            workers=self._workers,
            window=window,
            emit=emit,
        )
        self._help = Help(
            flows=self._flows,
            segments=self._segments,
            swarm=swarm,
            circle=self._circle,
            trust=self._trust,
            reports=self._reports,
            workers=self._workers,
            window=window,
            hearing=self._hearing,
            emit=emit,
            patience=patience,
        )
        self._outsiders = Outsiders(session=swarm)
        self._looked = 0.0
        self._released = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            wire.Hello: self._on_hello,
            wire.Ring: self._on_ring,
            wire.Segment: self._on_segment,
            wire.Blob: self._on_blob,
            wire.EntryDuty: self._on_duty,
            wire.Failed: self._on_failed,
            wire.Released: self._on_released,
            wire.Doubted: self._on_doubted,
            wire.Outsider: self._on_outsider,
            wire.Heartbeat: self._on_heartbeat,
            StreamLost: self._on_stream_lost,
            Moved: self._on_moved,
            Alone: self._on_alone,
            SegmentReadable: self._segments.readable,
            PeerBanned: self._on_banned,
            Flooded: self._trust.flooded,
            WebSeedFailed: self._on_web_seed_failed,
            StorageFailed: self._on_storage_failed,
            Done: Done.handle,
            _Also: self._on_also,
            _GivenUp: self._on_given_up,
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
                not self._released
                and self._circle.ring.neighbours
                and not self._hearing.away
                and time.monotonic() < until
            ):
                self._turn()
        # a seed peer that is gone needs no goodbye
        with contextlib.suppress(DflyError):
            self._circle.seat.seed_peer.report(
                self._circle.seat.task, self._reports.make(time.monotonic(), done=True, goodbye=True)
            )
        self._stream.leave()

    def _turn(self) -> None:
        if self._stop.is_set():
            raise Cancelled
        try:
            self._handle(self._inbox.get(timeout=TICK))
            while True:
                self._handle(self._inbox.get_nowait())
        except Empty:
            pass
        self._mind_readers()
        self._segments.fill()
        now = time.monotonic()
        if now - self._looked >= TICK:
            self._looked = now
            self._help.look(now)
            self._outsiders.look()
        if self._reports.due(now):
            self._report(done=all(flow.arrival.settled for flow in self._flows.values()))

    def _handle(self, news: Any) -> None:
        if isinstance(news, wire.Message):
            self._hearing.word(time.monotonic())
        handler = self._handlers.get(type(news))
        if handler is not None:
            handler(news)

    # What is wanted

    def _on_also(self, news: "_Also") -> None:
        for blob, arrival in news.arrivals.items():
            if blob in self._flows:
                continue
            self._flows[blob] = Flow(arrival, readers=self._readers)
            self._reports.want([blob])
            for told in (self._unheard or {}).pop(blob, ()):
                self._handle(told)

    def _mind_readers(self) -> None:
        """What somebody waits to read comes before the rest: from the web seed, which is told what to bring first."""
        if self._readers is None:
            return
        self._segments.hurry()
        first = [(flow.blob, index) for flow in self._flows.values() for index in flow.awaited()]
        self._reports.hurry(first[:MOST_FIRST])

    def _on_given_up(self, news: "_GivenUp") -> None:
        for blob in news.blobs & self._flows.keys():
            flow = self._flows[blob]
            if flow.arrival.settled or flow.settling or self._unheard is None:
                continue  # it is here already
            del self._flows[blob]
            self._segments.drop(flow)
            flow.doubted = True  # what is still being hashed of it leads to nothing more
            self._reports.forget(blob)
            self._reports.decline(blob)
            told: list[wire.Segment | wire.Blob] = [*flow.records(held_only=False)]
            if flow.sha256:
                whole = wire.Blob(blob=blob, state="complete", size=flow.size, attempt=flow.attempt, sha256=flow.sha256)
                told.append(whole)
            self._unheard[blob] = told

    def _keep_for_later(self, told: wire.Segment | wire.Blob) -> None:
        if self._unheard is not None:
            self._unheard.setdefault(told.blob, []).append(told)

    # The seed peer's messages

    def _on_hello(self, hello: wire.Hello) -> None:
        self._hearing.away = self._hearing.alone = False
        self._reports.retell((flow.blob, index) for flow in self._flows.values() for index in flow.held)
        self._circle.greeted(hello)

    def _on_ring(self, ring: wire.Ring) -> None:
        new = self._circle.joined(ring)
        for flow in self._flows.values():
            for index in flow.ongoing:
                for peer in new:
                    self._swarm.add_peer(SegmentKey(flow.blob, index), peer)

    def _on_segment(self, segment: wire.Segment) -> None:
        flow = self._flows.get(segment.blob)
        if flow is None:
            self._keep_for_later(segment)
        if flow is None or segment.attempt < flow.attempt or flow.arrival.settled:
            return
        if segment.attempt > flow.attempt:
            self._segments.restart(flow, segment.attempt)
        self._segments.carried.discard(SegmentKey(segment.blob, segment.index))
        if flow.announce(segment.index, segment.size, segment.hashes, segment.mac):
            self._segments.serve(flow, segment.index)
            self._segments.settle_if_whole(flow)

    def _on_blob(self, blob: wire.Blob) -> None:
        flow = self._flows.get(blob.blob)
        if flow is None:
            self._keep_for_later(blob)
        if flow is None or blob.attempt < flow.attempt or flow.arrival.settled:
            return
        flow.doubted = False
        if blob.state == "withdrawn":
            self._emit(
                Warned(message=f"{flow.arrival.label}: the hub sent wrong bytes; the seed peer fetches it again")
            )
            self._segments.restart(flow, blob.attempt + 1)
            return
        if blob.attempt > flow.attempt:
            self._segments.restart(flow, blob.attempt)
        flow.sha256, flow.size = blob.sha256, blob.size
        self._segments.ask_for_hashes(flow)
        self._segments.settle_if_whole(flow)

    def _on_duty(self, duty: wire.EntryDuty) -> None:
        flow = self._flows.get(duty.blob)
        if flow is not None and flow.oblige(duty.index) and duty.index in flow.ongoing:
            self._segments.use_web_seed(flow, duty.index)

    def _on_failed(self, failed: wire.Failed) -> None:
        flow = self._flows.get(failed.blob)
        if not failed.blob or (flow is not None and not flow.arrival.settled):
            raise revive(failed.error, failed.message, failed.hint)

    def _on_released(self, _: wire.Released) -> None:
        self._released = True

    def _on_doubted(self, doubted: wire.Doubted) -> None:
        """Somebody got wrong bytes of a segment from here: look at what the disk gives."""
        flow = self._flows.get(doubted.blob)
        if flow is None or doubted.index not in flow.held or flow.layout is None:
            return
        whole, attempt = len(flow.layout.segment_pieces(doubted.index)), flow.attempt

        def looked(right: set[int]) -> None:
            if len(right) < whole and flow.attempt == attempt and doubted.index in flow.held:
                self._segments.fetch_again(flow, {doubted.index: right})

        self._workers.hash(looked, flow.right_pieces, doubted.index)

    def _on_outsider(self, outsider: wire.Outsider) -> None:
        """Somebody with a stock client wants a blob, which is theirs to have if all of it is here and was found right."""
        flow = self._flows.get(outsider.blob)
        if flow is None or not flow.whole or not flow.arrival.settled or flow.damages or flow.layout is None:
            return
        hashes = b"".join(flow.hashes[index] for index in range(flow.layout.segments))
        if self._outsiders.let_in(outsider, path=flow.gathered().partial.path, layout=flow.layout, hashes=hashes):
            self._reports.open(outsider.number)

    def _on_heartbeat(self, heartbeat: wire.Heartbeat) -> None:
        self._hearing.waiting_for = heartbeat.waiting_for

    def _on_stream_lost(self, lost: StreamLost) -> None:
        if isinstance(lost.error, AccessDenied):
            raise lost.error
        self._hearing.away = True

    def _on_moved(self, moved: Moved) -> None:
        """Another seed peer, or the same with no memory: what it once published is carried over to it."""
        before, self._circle.seat = self._circle.seat.seed_peer.url, moved.seat
        if not moved.restarted:
            here = moved.seat.seed_peer.url
            why = f"the seed peer {here} is back" if moved.home else f"the seed peer {before} is gone"
            self._emit(Warned(message=f"{why}; going on with {here}"))
        for flow in self._flows.values():
            if not flow.hashes:
                flow.attempt = 1  # a seed peer without memory counts from 1, and nothing here says otherwise
        self._segments.carried = {
            SegmentKey(flow.blob, index) for flow in self._flows.values() for index in flow.hashes
        }
        records = [record for flow in self._flows.values() for record in flow.records(held_only=True)]
        self._segments.carry_over(records)

    def _on_alone(self, _: Alone) -> None:
        self._hearing.alone = True

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
                self._circle.seat.seed_peer.report(self._circle.seat.task, told)
            except DflyError:
                return False  # it is told again with the next one
            return True

        def answered(ok: Any) -> None:
            self._reports.under_way = False
            if ok:
                self._reports.answered(told)

        self._workers.talk(answered, send)
