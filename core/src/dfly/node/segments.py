"""The life of a segment on a node, from its announcement to the file it becomes part of.

announced ──ask──▶ ongoing ──readable──▶ held, served ──journalled──▶ settled with its blob ──rest──▶ held, no torrent
    ▲                                      │ ▲                                                            │
    └── the disk changed it: fetch_again ◀─┘ └──────────────────────────wake──────────────────────────────┘

A withdrawn blob: restart.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs

from dfly import wire
from dfly.errors import NotFound, OutputError, SwarmError
from dfly.events import BytesArrived, Listener, SegmentFinished, Warned
from dfly.node.circle import Circle
from dfly.node.flow import Flow
from dfly.node.reporting import Reports
from dfly.node.window import MOST, NARROWEST, Ongoing, Window
from dfly.node.workers import Workers
from dfly.swarm import SegmentKey, SegmentReadable, Session

#: Records in one message to a successor.
CARRY_AT_ONCE = 500
#: A disk that has changed what it held this often is given up.
MOST_DAMAGES = 5


@attrs.define(kw_only=True, eq=False)
class Segments:
    """Acts on `flows` (by blob id). `progressed` is when a byte came last, in seconds of the monotonic clock."""

    flows: Mapping[str, Flow]
    swarm: Session
    circle: Circle
    reports: Reports
    workers: Workers
    window: Window
    emit: Listener
    #: Announced by an earlier seed peer and not yet by the present one: it has to hear from us what we hold of these.
    carried: set[SegmentKey] = attrs.field(factory=set)
    progressed: float = attrs.field(factory=time.monotonic)

    def fill(self) -> None:
        """Ask for what the window lets through; entry duties go first, because others wait for them, then what is read."""
        flying = sum(flow.flying for flow in self.flows.values())
        count = sum(len(flow.ongoing) for flow in self.flows.values())
        width = self.window.width
        orders = ((NARROWEST, Flow.take_duty), (width + NARROWEST, Flow.take_awaited), (width, Flow.take_waiting))
        for limit, take in orders:
            for flow in self.flows.values():
                # two at least, however long they are: one may be waiting for a slow peer
                while (flying < limit or count < 2) and count < MOST and (index := take(flow)) is not None:
                    self._ask(flow, index)
                    flying, count = flying + flow.length(index), count + 1

    def hurry(self) -> None:
        """Take what somebody waits to read, and what was asked for already, from the web seed as well."""
        for flow in self.flows.values():
            for index in flow.awaited():
                ongoing = flow.ongoing.get(index)
                # one that was refused is asked again when its time has come
                if ongoing is not None and not ongoing.web_seed and not ongoing.refusals:
                    self.use_web_seed(flow, index)

    def _ask(self, flow: Flow, index: int) -> None:
        # a reader who waits is helped at once, as an entry node is
        duty = index in flow.duties or index in flow.awaited()
        now = time.monotonic()
        had = frozenset(flow.pieces_here.pop(index, ()))
        flow.ongoing[index] = Ongoing(began=now, progressed=now, web_seed=duty, helped=now if duty else 0.0, had=had)
        web_seeds = (self.circle.web_seed(flow.blob),) if duty else ()
        self._add_torrent(flow, index, have=False, web_seeds=web_seeds, have_pieces=had)

    def serve(self, flow: Flow, index: int) -> None:
        """A segment that is here from an earlier run: nothing to ask for, something to give."""
        self.reports.hold(flow.blob, index)
        self._add_torrent(flow, index, have=True, web_seeds=())

    def rest(self, flow: Flow, index: int) -> None:
        """Leave the swarm of a held segment, which stays on the disk."""
        self.swarm.remove(SegmentKey(flow.blob, index))
        flow.resting.add(index)

    def wake(self, flow: Flow, index: int, peers: Sequence[wire.Address]) -> None:
        """Serve a resting segment again, and dial those `peers`."""
        flow.resting.discard(index)
        self._add_torrent(flow, index, have=True, web_seeds=(), peers=peers)

    def _leave(self, flow: Flow, index: int) -> None:
        """Have no torrent of a segment any more, if it has one."""
        if index in flow.resting:
            flow.resting.discard(index)
        else:
            self.swarm.remove(SegmentKey(flow.blob, index))

    def _add_with_web_seed(self, flow: Flow, index: int, *, have_pieces: Collection[int] = ()) -> None:
        web_seeds = (self.circle.web_seed(flow.blob),)
        self._add_torrent(flow, index, have=False, web_seeds=web_seeds, have_pieces=have_pieces)

    def _add_torrent(
        self,
        flow: Flow,
        index: int,
        *,
        have: bool,
        web_seeds: tuple[str, ...],
        have_pieces: Collection[int] = (),
        peers: Sequence[wire.Address] | None = None,
    ) -> None:
        assert flow.layout is not None
        try:
            self.swarm.add_segment(
                flow.blob,
                flow.layout,
                index,
                flow.hashes[index],
                path=flow.gathered().partial.path,
                peers=self.circle.peers() if peers is None else peers,
                web_seeds=web_seeds,
                have=have,
                have_pieces=have_pieces,
            )
        except OutputError:
            flow.ongoing.pop(index, None)  # the disk is full: it has no torrent to leave
            raise

    def readable(self, event: SegmentReadable) -> None:
        """All bytes of a segment are checked and in the file: it can be served."""
        key = event.key
        flow = self.flows.get(key.blob)
        if flow is None or key.index not in flow.ongoing:
            return
        now = time.monotonic()
        self.count(flow, key.index, now)
        ongoing = flow.ongoing.pop(key.index)
        self.window.finished(ongoing.began, now, flow.length(key.index), helped=ongoing.help > 0)
        flow.held.add(key.index)
        self.reports.hold(key.blob, key.index, urgent=key.index in flow.duties)
        if key in self.carried:
            self.carry_over(record for record in flow.records(held_only=True) if record.index == key.index)
        attempt = flow.attempt

        def journalled(_: None) -> None:
            if flow.attempt == attempt and key.index in flow.held:
                flow.journalled.add(key.index)
                self.emit(SegmentFinished(path=flow.arrival.label, index=key.index))
                self.settle_if_whole(flow)

        partial = flow.gathered().partial
        self.workers.hash(journalled, partial.segment_arrived, key.index, flow.hashes[key.index])

    def settle_if_whole(self, flow: Flow) -> None:
        """Verify a blob of which nothing is missing, and put its files in place."""
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
            self.progressed = time.monotonic()
            if flow.attempt != attempt:
                return
            if isinstance(outcome, dict):
                self.fetch_again(flow, outcome)
            elif not outcome:
                # every piece is the published one and the whole is wrong: the seed peer finds the same and withdraws it, and
                # until it has judged there is nothing better to ask for
                self.restart(flow, attempt, await_judgement=not flow.sha256)

        self.workers.hash(settled, settle)

    def fetch_again(self, flow: Flow, damaged: Mapping[int, set[int]]) -> None:
        """This disk gives other bytes than it took: serve none of these segments, and bring what is wrong in them once more."""
        flow.damages += 1
        numbers = ", ".join(map(str, damaged))
        if flow.damages > MOST_DAMAGES:
            raise OutputError(f"{flow.arrival.label}: the disk gives other bytes than it took (segments {numbers})")
        settled = flow.arrival.settled
        for index, right in damaged.items():
            self._leave(flow, index)
            flow.held.discard(index)
            if settled:
                continue  # the file is the user's by now, who may have changed it on purpose
            flow.journalled.discard(index)
            now = time.monotonic()
            flow.ongoing[index] = Ongoing(began=now, progressed=now, web_seed=True, helped=now)
            self._add_with_web_seed(flow, index, have_pieces=right)
        if settled:
            flow.arrival.spoiled()
        then = "no longer served" if settled else "fetched again"
        self.emit(Warned(message=f"{flow.arrival.label}: the disk changed segments {numbers}: {then}"))

    def restart(self, flow: Flow, attempt: int, *, await_judgement: bool = False) -> None:
        """Forget every byte of a blob and begin with `attempt`; with `await_judgement` only once the seed peer has spoken."""
        self.drop(flow)
        self.reports.forget(flow.blob)
        flow.restart(attempt)
        flow.emptying += 1
        flow.doubted = await_judgement

        def emptied(_: None) -> None:
            flow.emptying -= 1

        self.workers.hash(emptied, flow.empty)

    def drop(self, flow: Flow) -> None:
        """Leave the swarms of a blob."""
        for index in (*flow.ongoing, *flow.held):
            self._leave(flow, index)

    def count(self, flow: Flow, index: int, now: float) -> None:
        """Say how many bytes of an unfinished segment have come since the last look, and from whom."""
        ongoing = flow.ongoing[index]
        assert flow.layout is not None
        start, stop = flow.layout.segment_range(index)
        for source, arrived in self.swarm.arrived(SegmentKey(flow.blob, index)).items():
            # what came twice is written once
            left = stop - start - ongoing.counted - sum(ongoing.said.values())
            new = min(arrived - ongoing.said.get(source, 0), left)
            if new > 0:
                ongoing.said[source] = ongoing.said.get(source, 0) + new
                ongoing.progressed = self.progressed = now
                self.reports.count(source, new)
                self.emit(BytesArrived(path=flow.arrival.label, bytes=new, source=source))

    def use_web_seed(self, flow: Flow, index: int) -> None:
        """Take a segment from the seed peer as well."""
        ongoing: Ongoing = flow.ongoing[index]
        if not ongoing.web_seed:
            ongoing.web_seed, ongoing.again_at = True, None
            ongoing.helped = ongoing.helped or time.monotonic()
            key = SegmentKey(flow.blob, index)
            if any(self.swarm.arrived(key).values()):
                self.swarm.renew_web_seed(key, self.circle.web_seed(flow.blob))
            else:
                # a torrent that begins with its web seed asks it at once, others at libtorrent's next tick, a second later
                self.swarm.remove(key)
                self._add_with_web_seed(flow, index, have_pieces=ongoing.had)

    def begin_anew(self, flow: Flow, index: int) -> None:
        """Fetch a segment with a new torrent, from the web seed and everybody near: libtorrent never forgets whom it distrusts
        in an old one, and a wrong piece makes it distrust all who gave a part, the web seed too.
        """
        attempt = flow.attempt

        def looked(right: set[int]) -> None:
            ongoing = flow.ongoing.get(index)
            if ongoing is None or flow.attempt != attempt:
                return
            self.swarm.remove(SegmentKey(flow.blob, index))
            ongoing.counted, ongoing.said = ongoing.counted + sum(ongoing.said.values()), {}
            ongoing.web_seed, ongoing.again_at, ongoing.helped = True, None, time.monotonic()
            self._add_with_web_seed(flow, index, have_pieces=right)

        self.workers.hash(looked, flow.right_pieces, index)

    def carry_over(self, records: Iterable[wire.Segment]) -> None:
        """Tell a seed peer that did not publish them itself of segments that are held here."""
        listed, seat = list(records), self.circle.seat
        for at in range(0, len(listed), CARRY_AT_ONCE):
            have = wire.Have(node=self.reports.node, segments=tuple(listed[at : at + CARRY_AT_ONCE]))
            self.workers.talk(lambda _: None, seat.seed_peer.have, seat.task, have)

    def ask_for_hashes(self, flow: Flow) -> None:
        """Of a blob that is complete at the seed peer all segments are announced by one answer."""
        if not flow.hashes_missing or flow.asking:
            return
        flow.asking, attempt, seat = True, flow.attempt, self.circle.seat

        def ask() -> bytes | None:
            try:
                return seat.seed_peer.hashes(seat.task, flow.blob)
            except (SwarmError, NotFound):
                return None  # asked again at the next look, unless it was withdrawn

        def announce(told: bytes | None) -> None:
            flow.asking = False
            if told is not None and flow.attempt == attempt and not flow.arrival.settled:
                for index in flow.announce_all(flow.size, told):
                    self.serve(flow, index)
                self.settle_if_whole(flow)

        self.workers.talk(announce, ask)
