"""One task: a selection of a snapshot, with its ring, its event stream, and what was told of its freight.

Everything here runs in the event loop.
"""

import asyncio
from collections.abc import Iterator, Sequence

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed.guests import Guests
from dfly.seed.joining import Join
from dfly.seed.mirroring import BlobState
from dfly.seed.progress import Carried, Progress
from dfly.seed.seals import Seals
from dfly.seed.stock.outsiders import Outsiders
from dfly.seed.stream import Broadcast, Listener
from dfly.seed.topology.scheduler import Scheduler
from dfly.seed.topology.telling import Outbox
from dfly.seed.watching.counts import Counts
from dfly.seed.watching.fetching import Fetching
from dfly.values import bare_task
from dfly.wire import Address, Advice, Blob, Failed, Report, Segment

_log = structlog.get_logger(__name__)

#: What one report may ask at most.
_MOST_STALLS, _MOST_ACCUSED = 4, 8


@attrs.define(kw_only=True, eq=False)
class Task:
    """One selection of one snapshot. `answer` is the Resolved message, encoded once, up to what is each caller's own.

    While it is `held_back_until` that time (of the scheduler's clock), no origin is asked: nodes are to say first what they hold.
    `public`: its source may be shown to whoever may see this seed peer. `counts` are those of all tasks.
    """

    id: str
    source: str
    answer: bytes = attrs.field(repr=False)
    freight: Freight = attrs.field(repr=False)
    scheduler: Scheduler
    seals: Seals
    broadcast: Broadcast = attrs.field(factory=Broadcast)
    guests: Guests = attrs.field(factory=Guests)
    outsiders: Outsiders = attrs.field(factory=Outsiders)
    public: bool = False
    counts: Counts = attrs.field(factory=Counts, repr=False)
    fetching: Fetching = attrs.field(factory=Fetching, repr=False)
    last_used: float = 0.0
    #: Whether only what nodes accept is to be fetched; that so far; and who fetches it.
    lazy: bool = False
    accepted: set[str] = attrs.field(factory=set)
    backend: Backend | None = attrs.field(default=None, repr=False)
    held_back_until: float | None = None
    #: Whether another seed peer's nodes have brought it here, and whether they are all gone again.
    adopted: bool = False
    abandoned: bool = False
    #: How many wait until all of it is here, whatever nodes hold or lack.
    wanted_here: int = 0
    #: Set once what the mirror had before has been told.
    begun: asyncio.Event = attrs.field(factory=asyncio.Event)
    _blobs: dict[str, Progress] = attrs.field(init=False)
    _carrying: dict[str, None] = attrs.field(factory=dict)
    _awaited: dict[str, asyncio.Event] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._blobs = {blob: Progress() for blob in self.scheduler.blobs}

    @property
    def name(self) -> str:
        """What may be shown and logged: the id without its seal, which opens the stream of a private source."""
        return bare_task(self.id)

    def published(self, blob: str) -> frozenset[int]:
        """The segments that were told of."""
        return frozenset(self._blobs[blob].segments)

    def is_complete(self, blob: str) -> bool:
        """Whether all of a blob was told to be here."""
        return self._blobs[blob].complete

    @property
    def due(self) -> Freight:
        """What is to be fetched of the freight."""
        if not self.lazy:
            return self.freight
        pack = self.freight.pack
        blobs = {blob: entry for blob, entry in self.freight.blobs.items() if blob in self.accepted}
        return attrs.evolve(self.freight, pack=pack if pack and pack.blob in self.accepted else None, blobs=blobs)

    def begin_with(self, blob: str, state: BlobState) -> None:
        """Tell what was there before the task was. Of a complete blob one line says it all."""
        if state.size is None:
            return
        if state.complete:
            self.blob_complete(blob, state.size, state.sha256, state.attempt)
            return
        for index, hashes in sorted(state.segments.items()):
            self.segment_published(blob, index, state.size, hashes, state.attempt)

    def join(self, join: Join) -> None:
        """A node's event stream is open."""
        self.post(self.scheduler.join(join.node, join.addresses, join.location, control=join.control))
        self.outsiders.rejoined(join.node)
        awaited = self._awaited.pop(join.node, None)
        if awaited is not None:
            awaited.set()

    async def await_member(self, node: str, patience: float) -> bool:
        """Whether a node's stream is open, or is being opened: it may speak before its other connection has got here."""
        if self.scheduler.member(node) is not None:
            return True
        opened = self._awaited.setdefault(node, asyncio.Event())
        try:
            async with asyncio.timeout(patience):
                await opened.wait()
        except TimeoutError:
            self._awaited.pop(node, None)
            return False
        return True

    def drop(self, listener: Listener) -> None:
        """An event stream has ended."""
        if self.broadcast.drop(listener):
            self.post(self.scheduler.leave(listener.node))

    def report(self, report: Report) -> Advice:
        """What a node tells, and what it is told to try."""
        member = self.scheduler.member(report.node)
        if member is not None:
            self.counts.reported(member, report, self.scheduler.clock())
        self.post(self.scheduler.report(report.node, report))
        chords: dict[Address, None] = {}
        for blob, index in report.stalled[:_MOST_STALLS]:
            addresses, outbox = self.scheduler.chords(report.node, blob, index)
            chords.update(dict.fromkeys(addresses))
            self.post(outbox)
        self._judge(report)
        self.outsiders.opened(report.node, report.opened)
        return Advice(chords=tuple(chords))

    def _judge(self, report: Report) -> None:
        """Act on what a node says against others."""
        scheduler, told = self.scheduler, {"task": self.name, "node": report.node}
        for address in report.bad_peers[:_MOST_ACCUSED]:
            before = scheduler.is_expelled(address)
            outbox = scheduler.accuse(report.node, address)
            if outbox:
                _log.warning("peer.accused", **told, address=_shown(address))
            if scheduler.is_expelled(address) and not before:
                _log.warning("peer.expelled", **told, address=_shown(address))
            self.post(outbox)
        for address in report.silent_peers[:_MOST_ACCUSED]:
            outbox = scheduler.silent(report.node, address)
            if outbox:
                _log.warning("peer.silent", **told, address=_shown(address), benched=scheduler.is_benched(address))
            self.post(outbox)
        for blob, index, host, port in report.doubts[:_MOST_ACCUSED]:
            outbox = scheduler.doubt(report.node, (host, port), blob, index)
            if outbox:
                _log.warning("segment.doubted", **told, address=_shown((host, port)), blob=blob, segment=index)
            self.post(outbox)

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        """Tell of a segment, once."""
        known = self._of_attempt(blob, attempt)
        if known is None or known.complete:
            return
        self.fetching.segment(blob)
        if index not in known.segments:
            line = Segment(blob=blob, index=index, size=size, hashes=hashes, attempt=attempt)
            self._enter(known, blob, index, size)
            self.broadcast.log.append(attrs.evolve(line, mac=self.seals.mac(line)))
        elif known.put_down(index):
            self._enter(known, blob, index, size)

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        """Tell that a blob is complete, once; its segments may not have been told one by one."""
        known = self._of_attempt(blob, attempt)
        if known is None or known.complete:
            return
        known.complete = True
        self.fetching.complete(blob, size)
        segments = Layout(size).segments
        for index in range(segments):
            if known.put_down(index) or index not in known.segments:
                self._enter(known, blob, index, size)
        self.post(self.scheduler.complete(blob, segments))
        self.broadcast.log.append(Blob(blob=blob, state="complete", size=size, attempt=attempt, sha256=sha256))

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        """Tell everybody to forget what `attempt` published."""
        if attempt >= self._blobs[blob].attempt:
            self.fetching.withdrawn(blob)
            self._blobs[blob] = Progress(attempt=attempt + 1)
            self.post(self.scheduler.retire(blob))
            self.broadcast.log.append(Blob(blob=blob, state="withdrawn", attempt=attempt))

    def blob_failed(self, blob: str, error: DflyError) -> None:
        """Tell that a blob cannot be had."""
        self.fetching.failed(blob, error)
        line = Failed(blob=blob, error=type(error).__name__, message=error.message, hint=error.hint)
        self.broadcast.log.append(line)

    def post(self, outbox: Outbox) -> None:
        """Put messages into the streams of those concerned."""
        for node, messages in outbox.items():
            self.broadcast.tell(node, messages)

    def _of_attempt(self, blob: str, attempt: int) -> Progress | None:
        """What was told of this attempt; None for one that is over. A new one voids the last, whether or not that was said."""
        known = self._blobs[blob]
        if attempt > known.attempt and (known.segments or known.complete):
            self.blob_withdrawn(blob, attempt - 1)
            known = self._blobs[blob]
        known.attempt = max(known.attempt, attempt)
        return known if attempt == known.attempt else None

    def _enter(self, known: Progress, blob: str, index: int, size: int) -> None:
        known.segments.add(index)
        start, stop = Layout(size).segment_range(index)
        self.post(self.scheduler.publish(blob, index, stop - start))

    # What nodes carry over from an earlier seed peer

    def carry(self, node: str, segments: Sequence[Segment]) -> None:
        """Tell of segments that `node` holds ("": whoever will say so), and that the mirror has adopted."""
        held: dict[str, list[int]] = {}
        for segment in segments:
            known = self._of_attempt(segment.blob, segment.attempt)
            if known is None:
                continue
            held.setdefault(segment.blob, []).append(segment.index)
            if segment.index in known.carried:
                known.carry(segment)
            elif segment.index not in known.segments and not known.complete:
                known.carry(segment)
                self._carrying[segment.blob] = None
                self.broadcast.log.append(attrs.evolve(segment, mac=self.seals.mac(segment)))
        if node:
            self.post(self.scheduler.hold(node, held))

    def carried(self) -> Iterator[Carried]:
        """All that is told on the word of nodes, in order."""
        for blob in tuple(self._carrying):
            yield from tuple(self._blobs[blob].carried.values())

    def orphans(self, now: float, *, patience: float) -> Iterator[Carried]:
        """Those that no node has held for `patience` seconds, and that are not being fetched for that yet."""
        for blob in tuple(self._carrying):
            known = self._blobs[blob]
            if not known.carried:
                del self._carrying[blob]
            for index, since in known.lonely(self.scheduler.held(blob), now).items():
                if now - since >= patience and not known.carried[index].reclaimed:
                    yield known.carried[index]

    def reclaim(self, blob: str, index: int) -> None:
        """The mirror is to fetch a carried segment."""
        carried = self._blobs[blob].carried.get(index)
        if carried is not None:
            carried.reclaimed = True

    def marked(self, blob: str, size: int, hashes: bytes) -> bytes:
        """`hashes` of a complete blob, 20 bytes a piece, and then the 16 bytes of each segment's MAC, where all have one."""
        progress = self._blobs[blob]
        # every node asks, and each gets the same
        if progress.macs is None or progress.macs[0] != progress.attempt:
            progress.macs = progress.attempt, self._macs(blob, size, hashes, progress.attempt)
        return hashes + progress.macs[1]

    def _macs(self, blob: str, size: int, hashes: bytes, attempt: int) -> bytes:
        layout, macs = Layout(size), []
        for index in range(layout.segments):
            pieces = layout.segment_pieces(index)
            own = hashes[20 * pieces.start : 20 * pieces.stop]
            macs.append(self.seals.mac(Segment(blob=blob, index=index, size=size, hashes=own, attempt=attempt)))
        return bytes.fromhex("".join(macs)) if all(macs) else b""


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"
