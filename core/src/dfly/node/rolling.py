"""A node in the swarm: rolls through the segments of a task's blobs as the seed peer publishes them.

One thread, the caller's, owns all state here: the event stream, libtorrent's alerts and the workers that hash and verify put
their news into one inbox, and `bring` takes it out. So there are no locks, and a segment's life reads top to bottom:

    announced ──(window, or entry duty)──▶ ongoing ──(readable)──▶ held ──(all journalled)──▶ settled
                                             │  no byte for a while: chords, then the web seed, then SwarmError
    a withdrawn blob goes back to the start with the next attempt
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, Self

import attrs

from dfly import wire
from dfly.errors import AccessDenied, Cancelled, DflyError, NotFound, OutputError, SwarmError
from dfly.events import BytesArrived, Listener, SegmentFinished, Stalled, Warned
from dfly.node.arrival import Arrival
from dfly.node.control import Whereabouts, revive
from dfly.node.flow import Flow
from dfly.node.listening import Alone, EventStream, Moved, StreamLost
from dfly.node.reporting import Reports
from dfly.node.succession import Succession
from dfly.node.trust import Trust
from dfly.node.window import MOST, NARROWEST, Ongoing, Window
from dfly.swarm import Flooded, PeerBanned, SegmentKey, SegmentReadable, Session, StorageFailed, WebSeedFailed

TICK = 0.25
#: A segment that has stood still for so long (seconds) is watched for peers that were asked and are silent.
WATCHED = 0.5
#: Seconds without a word from the seed peer, which gives a sign of life more often, after which our own link was cut.
DEAF = 8.0
#: A disk that has changed what it held this often is given up.
MOST_DAMAGES = 5
#: Segments that come from the web seed at once before a stalled one may, too.
MOST_HELPED = 8
#: Records in one message to a successor.
CARRY_AT_ONCE = 500


@attrs.frozen
class _Done:
    """A worker's result, to be handled by the owner of the state."""

    handle: Callable[[Any], None]
    result: "Future[Any]"


class Rolling:
    """Brings `arrivals` (by blob id) through the swarm of `task`, but not those in `declined`, which are here in another way.

    A context manager; `bring`, then `linger`.

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
    ) -> None:
        self._flows = {blob: Flow(arrival) for blob, arrival in arrivals.items()}
        self._seat = succession.seat
        self._swarm, self._inbox = swarm, inbox
        self._emit, self._stop = emit, stop
        self._patience = patience
        self._stream = EventStream(succession=succession, me=me, put=inbox.put)
        self._reports = Reports(me.node, declined=tuple(sorted(declined)))
        self._trust = Trust(swarm=swarm, reports=self._reports, emit=emit)
        self._window = Window(patience=patience / 5, latency=patience / 15)
        self._grant = ""
        self._ring = wire.Ring()
        self._chords: set[wire.Address] = set()
        self._seed_hosts: tuple[str, ...] = ()
        self._released = False
        self._away = self._alone = False
        # announced by an earlier seed peer and not yet by the present one: it has to hear from us what we hold of these
        self._carried: set[SegmentKey] = set()
        self._looked = self._progressed = self._said_stalled = time.monotonic()
        self._waiting_for = ""
        # when the seed peer was heard last, and since when without a gap
        self._heard = self._hearing_since = self._looked
        # one hasher, because a blob's digests advance in order; talkers, because a report must not wait for a hash
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="dfly-hash")
        self._talkers = ThreadPoolExecutor(2, thread_name_prefix="dfly-report")
        self._handlers: dict[type, Callable[[Any], None]] = {
            wire.Hello: self._on_hello,
            wire.Ring: self._on_ring,
            wire.Segment: self._on_segment,
            wire.Blob: self._on_blob,
            wire.EntryDuty: self._on_duty,
            wire.Failed: self._on_failed,
            wire.Released: self._on_released,
            wire.Doubted: self._on_doubted,
            wire.Heartbeat: self._on_heartbeat,
            StreamLost: self._on_stream_lost,
            Moved: self._on_moved,
            Alone: self._on_alone,
            SegmentReadable: self._on_readable,
            PeerBanned: self._on_banned,
            Flooded: self._trust.flooded,
            WebSeedFailed: self._on_web_seed_failed,
            StorageFailed: self._on_storage_failed,
            _Done: self._on_done,
        }

    def __enter__(self) -> Self:
        self._stream.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.leave()
        for flow in self._flows.values():
            self._drop_torrents(flow)
        self._hasher.shutdown(wait=True, cancel_futures=True)
        self._talkers.shutdown(wait=False, cancel_futures=True)

    def bring(self) -> None:
        """Return when every arrival is settled.

        Raises what the seed peer or the disk raised, Cancelled, and SwarmError where the swarm cannot serve any more; the
        arrivals keep what they have.
        """
        while any(not flow.arrival.settled for flow in self._flows.values()):
            self._turn()

    def linger(self, seconds: float) -> None:
        """Serve on until both neighbours have everything, at most `seconds`; then say goodbye.

        Raises nothing: what happens from here on, a Ctrl-C too, cannot make the files less complete.
        """
        until = time.monotonic() + seconds
        with contextlib.suppress(DflyError):
            self._report(done=True)
            while not self._released and self._ring.neighbours and not self._away and time.monotonic() < until:
                self._turn()
        # a seed peer that is gone needs no goodbye
        with contextlib.suppress(DflyError):
            self._seat.seed_peer.report(self._seat.task, self._reports.make(time.monotonic(), done=True, goodbye=True))
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
        self._fill()
        now = time.monotonic()
        if now - self._looked >= TICK:
            self._looked = now
            self._look(now)
        if self._reports.due(now):
            self._report(done=all(flow.arrival.settled for flow in self._flows.values()))

    def _handle(self, news: Any) -> None:
        if isinstance(news, wire.Message):
            now = time.monotonic()
            self._hearing_since = now if now - self._heard > DEAF else self._hearing_since
            self._heard = now
        handler = self._handlers.get(type(news))
        if handler is not None:
            handler(news)

    # The seed peer's messages

    def _on_hello(self, hello: wire.Hello) -> None:
        self._away = self._alone = False
        self._grant, self._seed_hosts = hello.grant, hello.seed_peers
        self._reports.retell((flow.blob, index) for flow in self._flows.values() for index in flow.held)
        self._admit()

    def _on_ring(self, ring: wire.Ring) -> None:
        new = [peer for peer in ring.neighbours if peer not in self._ring.neighbours]
        self._ring = ring
        self._trust.named((*ring.neighbours, *ring.admitted))
        self._admit()
        for flow in self._flows.values():
            for index in flow.ongoing:
                for peer in new:
                    self._swarm.add_peer(SegmentKey(flow.blob, index), peer)

    def _admit(self) -> None:
        peers = {*self._ring.neighbours, *self._ring.admitted, *self._chords}
        self._swarm.allow({host for host, _ in peers} | set(self._seed_hosts))

    def _on_segment(self, segment: wire.Segment) -> None:
        flow = self._flows.get(segment.blob)
        if flow is None or segment.attempt < flow.attempt or flow.arrival.settled:
            return
        if segment.attempt > flow.attempt:
            self._restart(flow, segment.attempt)
        self._carried.discard(SegmentKey(segment.blob, segment.index))
        if flow.announce(segment.index, segment.size, segment.hashes, segment.mac):
            self._serve(flow, segment.index)
            self._settle_if_whole(flow)

    def _on_blob(self, blob: wire.Blob) -> None:
        flow = self._flows.get(blob.blob)
        if flow is None or blob.attempt < flow.attempt or flow.arrival.settled:
            return
        flow.doubted = False
        if blob.state == "withdrawn":
            self._emit(
                Warned(message=f"{flow.arrival.label}: the hub sent wrong bytes; the seed peer fetches it again")
            )
            self._restart(flow, blob.attempt + 1)
            return
        if blob.attempt > flow.attempt:
            self._restart(flow, blob.attempt)
        flow.sha256, flow.size = blob.sha256, blob.size
        self._ask_for_hashes(flow)
        self._settle_if_whole(flow)

    def _ask_for_hashes(self, flow: Flow) -> None:
        """Of a blob that is complete at the seed peer all segments are announced by one answer."""
        if not flow.hashes_missing or flow.asking:
            return
        flow.asking, attempt, seat = True, flow.attempt, self._seat

        def ask() -> bytes | None:
            try:
                return seat.seed_peer.hashes(seat.task, flow.blob)
            except (SwarmError, NotFound):
                return None  # asked again at the next look, unless it was withdrawn

        def announce(told: bytes | None) -> None:
            flow.asking = False
            if told is not None and flow.attempt == attempt and not flow.arrival.settled:
                for index in flow.announce_all(flow.size, told):
                    self._serve(flow, index)
                self._settle_if_whole(flow)

        self._work(self._talkers, announce, ask)

    def _on_duty(self, duty: wire.EntryDuty) -> None:
        flow = self._flows.get(duty.blob)
        if flow is not None and flow.oblige(duty.index) and duty.index in flow.ongoing:
            self._use_web_seed(flow, duty.index)

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
                self._fetch_again(flow, {doubted.index: right})

        self._work(self._hasher, looked, flow.right_pieces, doubted.index)

    def _on_heartbeat(self, heartbeat: wire.Heartbeat) -> None:
        self._waiting_for = heartbeat.waiting_for

    def _on_stream_lost(self, lost: StreamLost) -> None:
        if isinstance(lost.error, AccessDenied):
            raise lost.error
        self._away = True

    def _on_moved(self, moved: Moved) -> None:
        """Another seed peer, or the same with no memory: what it once published is carried over to it."""
        before, self._seat = self._seat.seed_peer.url, moved.seat
        if not moved.restarted:
            here = moved.seat.seed_peer.url
            self._emit(Warned(message=f"the seed peer {before} is gone; going on with {here}"))
        for flow in self._flows.values():
            if not flow.hashes:
                flow.attempt = 1  # a seed peer without memory counts from 1, and nothing here says otherwise
        self._carried = {SegmentKey(flow.blob, index) for flow in self._flows.values() for index in flow.hashes}
        records = [record for flow in self._flows.values() for record in flow.records(held_only=True)]
        self._carry_over(records)

    def _carry_over(self, records: list[wire.Segment]) -> None:
        for at in range(0, len(records), CARRY_AT_ONCE):
            have = wire.Have(node=self._reports.node, segments=tuple(records[at : at + CARRY_AT_ONCE]))
            self._work(self._talkers, lambda _: None, self._seat.seed_peer.have, self._seat.task, have)

    def _on_alone(self, _: Alone) -> None:
        self._alone = True

    def known_segments(self) -> list[wire.Segment]:
        """Every segment that a seed peer has announced to this node. May be called from any thread."""
        return [record for flow in self._flows.values() for record in flow.records(held_only=False)]

    # The life of a segment

    def _fill(self) -> None:
        """Ask for what the window lets through; entry duties go first, because others wait for them."""
        flying = sum(flow.flying for flow in self._flows.values())
        count = sum(len(flow.ongoing) for flow in self._flows.values())
        for limit, take in ((NARROWEST, Flow.take_duty), (self._window.width, Flow.take_waiting)):
            for flow in self._flows.values():
                # two at least, however long they are: one may be waiting for a slow peer
                while (flying < limit or count < 2) and count < MOST and (index := take(flow)) is not None:
                    self._ask(flow, index)
                    flying, count = flying + flow.length(index), count + 1

    def _ask(self, flow: Flow, index: int) -> None:
        duty = index in flow.duties
        now = time.monotonic()
        flow.ongoing[index] = Ongoing(began=now, progressed=now, web_seed=duty)
        web_seeds = (self._web_seed(flow),) if duty else ()
        self._add_torrent(flow, index, have=False, web_seeds=web_seeds, have_pieces=flow.pieces_here.pop(index, ()))

    def _serve(self, flow: Flow, index: int) -> None:
        """A segment that is here from an earlier run: nothing to ask for, something to give."""
        self._reports.hold(flow.blob, index)
        self._add_torrent(flow, index, have=True, web_seeds=())

    def _add_torrent(
        self, flow: Flow, index: int, *, have: bool, web_seeds: tuple[str, ...], have_pieces: Collection[int] = ()
    ) -> None:
        assert flow.layout is not None
        self._swarm.add_segment(
            flow.blob,
            flow.layout,
            index,
            flow.hashes[index],
            path=flow.gathered().partial.path,
            peers=self._peers(),
            web_seeds=web_seeds,
            have=have,
            have_pieces=have_pieces,
        )

    def _peers(self) -> list[wire.Address]:
        """The neighbours; where one of them is of no use, a chord in its place."""
        neighbours = self._trust.usable(self._ring.neighbours)
        missing = len(self._ring.neighbours) - len(neighbours)
        return neighbours + self._trust.usable(self._ring.admitted)[:missing]

    def _web_seed(self, flow: Flow) -> str:
        return self._seat.seed_peer.web_seed(self._grant, flow.blob)

    def _on_readable(self, readable: SegmentReadable) -> None:
        key = readable.key
        flow = self._flows.get(key.blob)
        if flow is None or key.index not in flow.ongoing:
            return
        now = time.monotonic()
        self._count(flow, key.index, now)
        self._window.finished(flow.ongoing.pop(key.index).began, now, flow.length(key.index))
        flow.held.add(key.index)
        self._reports.hold(key.blob, key.index, urgent=key.index in flow.duties)
        if key in self._carried:
            self._carry_over([record for record in flow.records(held_only=True) if record.index == key.index])
        attempt = flow.attempt

        def journalled(_: None) -> None:
            if flow.attempt == attempt and key.index in flow.held:
                flow.journalled.add(key.index)
                self._emit(SegmentFinished(path=flow.arrival.label, index=key.index))
                self._settle_if_whole(flow)

        partial = flow.gathered().partial
        self._work(self._hasher, journalled, partial.segment_arrived, key.index, flow.hashes[key.index])

    def _settle_if_whole(self, flow: Flow) -> None:
        if not flow.ready_to_settle:
            return
        flow.settling, attempt = True, flow.attempt

        def settle() -> bool | dict[int, set[int]]:
            if not flow.arrival.agrees(sha256=flow.sha256):
                damaged = flow.damaged()
                flow.gathered().partial.hash_again()  # what it has read may have been mended since
                if damaged:
                    return damaged
            return flow.arrival.settle(sha256=flow.sha256)

        def settled(outcome: bool | dict[int, set[int]]) -> None:  # noqa: FBT001 - a worker's result
            flow.settling = False
            self._progressed = time.monotonic()
            if flow.attempt != attempt:
                return
            if isinstance(outcome, dict):
                self._fetch_again(flow, outcome)
            elif not outcome:
                # every piece is the published one and the whole is wrong: the seed peer finds the same and withdraws it, and
                # until it has judged there is nothing better to ask for
                self._restart(flow, attempt, await_judgement=not flow.sha256)

        self._work(self._hasher, settled, settle)

    def _fetch_again(self, flow: Flow, damaged: Mapping[int, set[int]]) -> None:
        """This disk gives other bytes than it took: serve none of these segments, and bring what is wrong in them once more."""
        flow.damages += 1
        numbers = ", ".join(map(str, damaged))
        if flow.damages > MOST_DAMAGES:
            raise OutputError(f"{flow.arrival.label}: the disk gives other bytes than it took (segments {numbers})")
        settled = flow.arrival.settled
        for index, right in damaged.items():
            self._swarm.remove(SegmentKey(flow.blob, index))
            flow.held.discard(index)
            if settled:
                continue  # the file is the user's by now, who may have changed it on purpose
            flow.journalled.discard(index)
            now = time.monotonic()
            flow.ongoing[index] = Ongoing(began=now, progressed=now, web_seed=True)
            self._add_torrent(flow, index, have=False, web_seeds=(self._web_seed(flow),), have_pieces=right)
        if settled:
            flow.arrival.spoiled()
        then = "no longer served" if settled else "fetched again"
        self._emit(Warned(message=f"{flow.arrival.label}: the disk changed segments {numbers}: {then}"))

    def _restart(self, flow: Flow, attempt: int, *, await_judgement: bool = False) -> None:
        self._drop_torrents(flow)
        self._reports.forget(flow.blob)
        flow.restart(attempt)
        flow.emptying += 1
        flow.doubted = await_judgement

        def emptied(_: None) -> None:
            flow.emptying -= 1

        self._work(self._hasher, emptied, flow.empty)

    def _drop_torrents(self, flow: Flow) -> None:
        for index in (*flow.ongoing, *flow.held):
            self._swarm.remove(SegmentKey(flow.blob, index))

    # Progress, and help where there is none

    def _look(self, now: float) -> None:
        stalled: list[tuple[Flow, int]] = []
        quiet_ones: list[SegmentKey] = []
        everything: list[SegmentKey] = []
        for flow in self._flows.values():
            for index, ongoing in flow.ongoing.items():
                self._count(flow, index, now)
                everything.append(SegmentKey(flow.blob, index))
                if now - ongoing.progressed > WATCHED:
                    quiet_ones.append(everything[-1])
                if self._window.stalled(ongoing, now):
                    ongoing.help += 1
                    stalled.append((flow, index))
            self._ask_for_hashes(flow)
        self._help(now)
        self._trust.look(quiet_ones, everything, now, progressed=self._progressed)
        if stalled:
            self._ask_for_chords(stalled)
        self._complain(now, now - self._progressed)

    def _help(self, now: float) -> None:
        """Give the web seed to segments for which chords were no help, and again to those that it has refused.

        Only to a few at once: if it is our own disk that stands still, all that comes has to wait in memory.
        """
        first = 2 if self._ring.neighbours else 1
        ongoing = [(flow, index, one) for flow in self._flows.values() for index, one in flow.ongoing.items()]
        room = MOST_HELPED - sum(one.web_seed for _, _, one in ongoing)
        for flow, index, one in ongoing:
            if one.again_at is not None:
                if now >= one.again_at:
                    self._use_web_seed(flow, index)
            elif one.help >= first and not one.web_seed and room > 0:
                self._use_web_seed(flow, index)
                room -= 1

    def _complain(self, now: float, quiet: float) -> None:
        """Say that nothing has come for `quiet` seconds, and in the end raise SwarmError."""
        if quiet > self._patience:
            self._give_up_where_nobody_sends(now)
        if self._alone and quiet > self._patience / 3:
            raise SwarmError(
                f"no seed peer answers, and no node has sent anything for {quiet:.0f} s",
                hint="what has arrived is kept; run the same command again to go on",
            )
        if min(quiet, now - self._said_stalled) > self._patience * 2 / 3:
            self._said_stalled = now
            cause = "the seed peer is away" if self._away else self._waiting_for or "no peer sends anything"
            waiting = next((flow for flow in self._flows.values() if not flow.arrival.settled), None)
            if waiting is not None:
                self._emit(Stalled(path=waiting.arrival.label, seconds=round(quiet, 1), cause=cause))

    def _give_up_where_nobody_sends(self, now: float) -> None:
        """Raise SwarmError where a segment that the seed peer has published does not come from it either.

        Not after a time without a network: connections take a while to find out that it is back.
        """
        if now - self._heard > DEAF or now - self._hearing_since <= self._patience:
            return
        for flow in self._flows.values():
            for index, ongoing in flow.ongoing.items():
                if ongoing.help > 1 and now - ongoing.progressed > self._patience:
                    url = self._seat.seed_peer.url
                    raise SwarmError(
                        f"{flow.arrival.label}: neither a node nor the seed peer {url} sends segment {index}",
                        hint="what has arrived is kept; run the same command again to go on",
                    )

    def _count(self, flow: Flow, index: int, now: float) -> None:
        """Say how many bytes of an unfinished segment have come since the last look, and from whom."""
        ongoing = flow.ongoing[index]
        assert flow.layout is not None
        start, stop = flow.layout.segment_range(index)
        for source, arrived in self._swarm.arrived(SegmentKey(flow.blob, index)).items():
            # what came twice is written once
            new = min(arrived - ongoing.said.get(source, 0), stop - start - sum(ongoing.said.values()))
            if new > 0:
                ongoing.said[source] = ongoing.said.get(source, 0) + new
                ongoing.progressed = self._progressed = now
                self._reports.count(source, new)
                self._emit(BytesArrived(path=flow.arrival.label, bytes=new, source=source))

    def _use_web_seed(self, flow: Flow, index: int) -> None:
        ongoing: Ongoing = flow.ongoing[index]
        if not ongoing.web_seed:
            ongoing.web_seed, ongoing.again_at = True, None
            key = SegmentKey(flow.blob, index)
            if any(self._swarm.arrived(key).values()):
                self._swarm.renew_web_seed(key, self._web_seed(flow))
            else:
                # a torrent that begins with its web seed asks it at once, others at libtorrent's next tick, a second later
                self._swarm.remove(key)
                self._add_torrent(flow, index, have=False, web_seeds=(self._web_seed(flow),))

    def _ask_for_chords(self, stalled: list[tuple[Flow, int]]) -> None:
        def got(advice: wire.Advice) -> None:
            self._chords.update(advice.chords)
            self._admit()
            for flow, index in stalled:
                if index not in flow.ongoing:
                    continue
                if not advice.chords:
                    flow.ongoing[index].help = max(flow.ongoing[index].help, 2)
                for peer in advice.chords:
                    self._swarm.add_peer(SegmentKey(flow.blob, index), peer)

        now = time.monotonic()
        told = self._reports.make(now, stalled=tuple((flow.blob, index) for flow, index in stalled[:100]))
        self._work(self._talkers, got, self._seat.seed_peer.report, self._seat.task, told)

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
            self._use_web_seed(flow, failed.key.index)

    def _on_storage_failed(self, failed: StorageFailed) -> None:
        flow = self._flows.get(failed.key.blob)
        if flow is None or flow.arrival.settled or flow.settling or flow.held_up:
            return  # the files are in place, or the bytes are just being judged or thrown away
        raise failed.as_error()

    # Workers

    def _report(self, *, done: bool) -> None:
        told = self._reports.make(time.monotonic(), done=done)
        self._reports.under_way = True

        def send() -> bool:
            try:
                self._seat.seed_peer.report(self._seat.task, told)
            except DflyError:
                return False  # it is told again with the next one
            return True

        def answered(ok: Any) -> None:
            self._reports.under_way = False
            if ok:
                self._reports.answered(told)

        self._work(self._talkers, answered, send)

    def _work(
        self, pool: ThreadPoolExecutor, handle: Callable[[Any], None], job: Callable[..., Any], *args: Any, **named: Any
    ) -> None:
        future = pool.submit(job, *args, **named)
        future.add_done_callback(lambda done: self._inbox.put(_Done(handle, done)))

    def _on_done(self, done: _Done) -> None:
        if done.result.cancelled():
            return
        error = done.result.exception()
        if isinstance(error, SwarmError):
            return  # the stream tells whether the seed peer is really away
        done.handle(done.result.result())
