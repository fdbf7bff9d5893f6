"""Brings each blob from its origin to this machine once, however many tasks want it, and publishes it segment by segment.

    want ──▶ opening (one thread, in order) ──▶ intake (the pool of connections) ──▶ settling ──▶ store
                   ╲ a pack's files first ╱                  adopted segments: from nodes ──╱

Only so many blobs are open at once, small files before all others: a data set of ten thousand files shall not need ten
thousand descriptors, and the files a loader opens first are small. Reading order: `publication`, `intake`, `inbound`,
`packing`, this.
"""

import threading
from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import attrs
import structlog

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.errors import DflyError, OutputError
from dfly.layout import SMALL, Layout
from dfly.origin.pauses import Pauses
from dfly.packs import Freight, Pack
from dfly.seed.inbound import Inbound
from dfly.seed.intake import Intake
from dfly.seed.mending import Suspect
from dfly.seed.mirroring import MirrorListener, Verdict
from dfly.seed.operators.upkeep import Upkeep
from dfly.seed.packing import Packing
from dfly.seed.publication import BlobState, Publication
from dfly.seed.repair import Repairs
from dfly.store.blobs import BlobStore, Committed
from dfly.values import Entry

#: How many blobs may be open at once before a small file of a pack (0), or another blob (1), has to wait.
_ROOM = {0: 64, 1: 32}
_HASH_LENGTH = 20

_log = structlog.get_logger()


@attrs.define(eq=False)
class _Line:
    """One inbound blob, and the parts of packs that wait for it: (pack, part)."""

    inbound: Inbound
    backend: Backend
    packs: list[tuple[Packing, int]] = attrs.field(factory=list)
    #: idle (never started, or failed), waiting, open, parked, done
    phase: str = "idle"
    #: Wanted by itself, not only as a part of packs.
    wanted: bool = False


class Mirror:
    """Fetches into `store` (which the caller closes) and tells `listener`, from its threads, each thing once.

    A listener must not block. Who comes later asks `state`; who registers first and then asks misses nothing.
    """

    def __init__(
        self, *, store: BlobStore, listener: MirrorListener, settings: Fetch, patience: Patience, pauses: Pauses
    ) -> None:
        self._store, self._listener = store, listener
        self._intake = Intake(settings=settings, patience=patience, pauses=pauses, waiting_for=listener.waiting_for)
        self._stopped = threading.Event()
        self._opening = ThreadPoolExecutor(1, "dfly-mirror-open")
        self._settling = ThreadPoolExecutor(2, "dfly-mirror-settle")
        self._syncing = ThreadPoolExecutor(1, "dfly-mirror-sync")
        self._lock = threading.Lock()
        self._blobs: dict[str, _Line] = {}
        self._packs: dict[str, Publication] = {}
        self._packing: dict[str, Packing] = {}
        self._packs_asked: dict[str, tuple[Pack, Backend]] = {}
        self._repairs = Repairs(intake=self._intake, later=self._settle_later, lost=self._lost)
        self._upkeep = Upkeep(
            store,
            publication=self._publication,
            recheck=self._recheck,
            lost=self._lost,
            busy=self.busy,
            stopped=self._stopped,
        )
        self._waiting: list[tuple[int, int, _Line]] = []
        #: Segments that are waited for of blobs that nobody wants yet.
        self._hurried: dict[str, tuple[int, ...]] = {}
        self._queued = self._open = 0

    @property
    def store(self) -> BlobStore:
        """Where the blobs are kept, for whoever brings one in another way: one that is committed is not fetched."""
        return self._store

    @property
    def hub_bytes(self) -> int:
        """Bytes of content that origins have sent so far."""
        return self._intake.hub_bytes

    def want(self, freight: Freight, backend: Backend, *, task: str, held_back: bool = False) -> None:
        """Fetch what is not there: the pack first, then the blobs in order. Returns at once; asking again costs nothing.

        What failed before is tried again, and `backend` is one more way to what another task wants too. `held_back`: publish
        what is there, and ask no origin for what has not begun before `let_go`.
        """
        if self._stopped.is_set():
            return
        _log.debug(
            "mirror.wanted",
            task=task.partition("-")[0],
            blobs=len(freight.blobs),
            packed=bool(freight.pack),
            held_back=held_back,
        )
        if freight.pack:
            self._want_pack(freight.pack, backend, held_back=held_back)
        for blob, entry in freight.blobs.items():
            line = self._fetch(blob, entry, backend, priority=1, held_back=held_back)
            line.inbound.publication.speak()

    def hold_back(self, freight: Freight) -> None:
        """Ask no origin for more of this before `let_go`.

        Spans that have begun come to their end, and packs, which are small, go on.
        """
        for blob in freight.blobs:
            arriving = self._arriving(blob)
            if isinstance(arriving, Inbound):
                arriving.held_back = True

    def let_go(self, freight: Freight) -> None:
        """Fetch now what was held back and was not adopted meanwhile."""
        for blob in freight.sizes():
            arriving = self._arriving(blob)
            if arriving is not None and arriving.held_back:
                arriving.held_back = False
                self._wake(blob)

    def hurry(self, blob: str, segments: Sequence[int]) -> None:
        """Somebody waits for these segments: fetch them before everything else, as soon as the blob is wanted."""
        with self._lock:
            line = self._blobs.get(blob)
            if line is None:
                self._hurried[blob] = tuple(segments)
            if line is None or line.phase == "done":
                return
            place = next((place for place in self._waiting if place[2] is line), None)
            if place is not None:
                self._waiting.remove(place)
                self._queued += 1
                insort(self._waiting, (place[0], -self._queued, line))
        line.inbound.hurry(segments)

    def adopt(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> bool:
        """Nodes hold this segment, which an earlier seed peer published: it need not be fetched. False where it is of no use."""
        publication = self._publication(blob)
        if publication is None:
            return False
        before = publication.attempt
        adopted = publication.adopt(index, hashes, size=size, attempt=attempt)
        if publication.attempt != before:
            self._wake(blob)  # what was adopted of an earlier attempt is not any more
        return adopted

    def reclaim(self, blob: str, index: int) -> None:
        """Nobody holds this adopted segment any more: fetch it after all."""
        publication = self._publication(blob)
        if publication is not None:
            publication.reclaim(index)
            self._wake(blob)

    def receive(self, blob: str) -> str | None:
        """The file into which adopted segments of `blob` may be written now; None: not yet, ask again."""
        arriving = self._arriving(blob)
        path = arriving.open_at if arriving is not None else None
        if path is None and isinstance(arriving, Inbound):
            arriving.receiving = True
            self._wake(blob)
        return path

    def received(self, blob: str, index: int, hashes: bytes) -> None:
        """An adopted segment was written there, and its pieces have these hashes. Takes a while: it is hashed on."""
        arriving = self._arriving(blob)
        if arriving is not None:
            arriving.received(index, hashes)

    def backends(self) -> Collection[Backend]:
        """Those that it may still fetch with."""
        with self._lock:
            lines, packs = list(self._blobs.values()), list(self._packing.values())
            asked = [backend for _, backend in self._packs_asked.values()]
        ways = [backend for line in lines for backend in (line.backend, *line.inbound.backends)]
        return [*ways, *asked, *(pack.backend for pack in packs)]

    def published(self, blob: str, start: int, stop: int) -> bool:
        """Whether all bytes of `[start, stop)` are written, hashed and may be read."""
        publication = self._publication(blob)
        return publication is not None and publication.readable(start, stop)

    def path(self, blob: str) -> str | None:
        """The file with the bytes, the same for life; None before the first."""
        publication = self._publication(blob)
        return publication.path if publication else None

    def size(self, blob: str) -> int | None:
        """Bytes of the whole blob, None while nobody knows."""
        publication = self._publication(blob)
        return publication.size if publication else None

    def hashes(self, blob: str) -> bytes | None:
        """20 bytes for each piece, once the blob is complete."""
        publication = self._publication(blob)
        if publication is None or not publication.complete:
            return None
        held = self._store.committed(blob)
        return held.hashes if held else None

    def committed(self, blob: str) -> Committed | None:
        """The blob where it is here and whole, whether or not anybody wants it at present. Asks the disk."""
        return self._store.committed(blob)

    def state(self, blob: str) -> BlobState:
        """How far a blob is; one that nobody wants has not begun."""
        publication = self._publication(blob)
        if publication is None:
            return BlobState()
        state = publication.state()
        hashes = self.hashes(blob) if state.complete else None
        return attrs.evolve(state, segments=_by_segment(hashes, state.size)) if hashes and state.size else state

    def recheck(self, blob: str, index: int) -> None:
        """Look whether a published segment is still right on the disk, and mend it if not. Returns at once."""
        publication = self._publication(blob)
        if publication is None or publication.size is None:
            return
        layout = Layout(publication.size)
        if not (index < layout.segments and publication.readable(*layout.segment_range(index))):
            return
        if self._repairs.allowed(blob, index):
            self._settle_later(lambda: self._recheck(publication, index))

    def held(self) -> Iterator[str]:
        """All blobs that are here and whole, whoever wanted them. Asks the disk."""
        yield from self._store

    def busy(self, blob: str) -> bool:
        """Whether it is on its way, or waits for that."""
        line = self._blobs.get(blob)
        return blob in self._packing or (line is not None and line.phase in ("waiting", "open"))

    def remove(self, blobs: Iterable[str]) -> list[str]:
        """Take blobs that nobody wants any more off the disk; returns those that were on their way, and stay."""
        staying = []
        # with the lock held: whoever wants one again begins a new one afterwards
        with self._lock:
            for blob in blobs:
                if self.busy(blob):
                    staying.append(blob)
                    continue
                for books in (self._blobs, self._packs, self._packs_asked):
                    books.pop(blob, None)
                self._store.remove(blob)
        return staying

    def verify(self, blob: str) -> Verdict | None:
        """Read a committed blob, hold it against its digest, and mend what is damaged; None where there is none."""
        return self._upkeep.verify(blob)

    def close(self) -> None:
        """Stop, keeping what has arrived. Returns within seconds; the listener hears nothing afterwards."""
        self._stopped.set()
        self._intake.close()
        for pool in (self._opening, self._settling, self._syncing):
            pool.shutdown(wait=True, cancel_futures=True)
        with ExitStack() as unfinished:
            for line in self._blobs.values():
                unfinished.callback(line.inbound.close)
            for pack in self._packing.values():
                unfinished.callback(pack.close)

    # Blobs

    def _fetch(
        self,
        blob: str,
        entry: Entry,
        backend: Backend,
        *,
        priority: int,
        waiter: tuple[Packing, int] | None = None,
        held_back: bool = False,
    ) -> _Line:
        lost = False
        with self._lock:
            line = self._blobs.get(blob) or self._new_line(blob, entry, backend, priority)
            if line.phase == "done" and blob not in self._store:
                line.phase, lost = "idle", True
            done = line.phase == "done"
            line.wanted |= waiter is None
            if line.phase == "idle":
                line.inbound.held_back = held_back
            if not done:
                line.inbound.add_way(entry, backend)
                if waiter:
                    line.packs.append(waiter)
        if lost:
            line.inbound.publication.withdraw()
        if not done:
            self._enqueue(line)
        elif waiter:
            pack, part = waiter
            pack.arrived(part, None)
        return line

    def _new_line(self, blob: str, entry: Entry, backend: Backend, priority: int) -> _Line:
        inbound = Inbound(
            entry,
            Publication(blob, self._listener, audible=False, size=entry.size),
            priority=priority,
            store=self._store,
            intake=self._intake,
            later=self._settle_later,
            ended=self._ended,
            parked=self._parked,
            stopped=self._stopped,
        )
        inbound.first = self._hurried.pop(blob, ())
        line = self._blobs[blob] = _Line(inbound, backend)
        return line

    def _enqueue(self, line: _Line) -> None:
        with self._lock:
            if line.phase != "idle":
                return
            line.phase = "waiting"
            self._queued += 1
            insort(self._waiting, (line.inbound.priority, self._queued, line))
        self._later(self._opening, self._open_next)

    def _open_next(self) -> None:
        """Start the first blob in line if there is room. In the opening thread."""
        with self._lock:
            if not self._waiting or self._open >= _ROOM[self._waiting[0][0]]:
                return
            _, _, line = self._waiting.pop(0)
            line.phase = "open"
            self._open += 1
        line.inbound.start()

    def _ended(self, inbound: Inbound, error: DflyError | None) -> None:
        with self._lock:
            self._open -= 1
            line = self._blobs[inbound.blob]
            packs, line.packs = line.packs, []
            line.phase = "idle" if error else "done"
            if not line.wanted:
                del self._blobs[inbound.blob]
        self._later(self._opening, self._open_next)
        if error is None:
            self._sync_later(inbound.publication)
        for pack, part in packs:
            pack.arrived(part, error)

    def _parked(self, inbound: Inbound) -> None:
        """A blob lacks only what nodes hold: make room for others until something changes."""
        with self._lock:
            self._open -= 1
            self._blobs[inbound.blob].phase = "parked"
        self._later(self._opening, self._open_next)
        if inbound.publication.needs_origin or inbound.receiving:
            self._wake(inbound.blob)

    def _wake(self, blob: str) -> None:
        """Something has changed for a blob."""
        packing = self._packing.get(blob)
        if packing is not None:
            self._later(self._opening, packing.go_on)
            return
        with self._lock:
            line = self._blobs.get(blob)
            if line is None or line.phase not in ("open", "parked"):
                return
            parked = line.phase == "parked"
            if parked:
                line.phase = "idle"
        if parked:
            self._enqueue(line)
        else:
            self._later(self._opening, line.inbound.go_on)

    def _recheck(self, publication: Publication, index: int) -> None:
        blob, state = publication.blob, self.state(publication.blob)
        hashes, line = state.segments.get(index), self._blobs.get(blob)
        if hashes is None:
            self._lost(publication, OutputError(f"{publication.path}: damaged on the disk"))
        elif line is not None:
            inbound = line.inbound
            self._repairs.look(
                Suspect(publication=publication, index=index, hashes=hashes, entry=inbound.entry, backend=line.backend)
            )
        elif blob in self._packs_asked and publication.complete:
            # its files are blobs of their own, each with its digest: it is packed anew from those
            self._store.quarantine(blob)
            pack, backend = self._packs_asked[blob]
            self._want_pack(pack, backend, held_back=False)

    def _lost(self, publication: Publication, error: DflyError) -> None:
        """What was committed is damaged beyond repair: it is put aside, and fetched anew when it is asked for again."""
        if not publication.complete:
            _log.error("segment.lost", blob=publication.blob, cause=error.message)
            return
        with publication.failing(error, void=True):
            if publication.blob in self._store:
                self._store.quarantine(publication.blob)

    # Packs

    def _want_pack(self, pack: Pack, backend: Backend, *, held_back: bool) -> None:
        with self._lock:
            if pack.blob in self._packing:
                return
            publication = self._packs.get(pack.blob) or Publication(
                pack.blob, self._listener, audible=True, size=pack.size
            )
            lost = publication.complete and pack.blob not in self._store
            if publication.complete and not lost:
                return
            self._packs[pack.blob] = publication
            self._packs_asked[pack.blob] = pack, backend
            packing = self._packing[pack.blob] = Packing(
                pack,
                publication,
                backend=backend,
                store=self._store,
                fetch_part=self._fetch_part,
                later=self._settle_later,
                ended=self._packed,
                stopped=self._stopped,
                held_back=held_back,
            )
        if lost:
            publication.withdraw()
        self._later(self._opening, packing.start)

    def _fetch_part(self, pack: Packing, part: int, blob: str, entry: Entry, backend: Backend) -> None:
        self._fetch(blob, entry, backend, priority=0, waiter=(pack, part))

    def _packed(self, pack: Packing, error: DflyError | None) -> None:
        with self._lock:
            del self._packing[pack.blob]
            if error is not None:
                self._leave_out(pack)
        if error is None:
            self._sync_later(pack.publication)

    def _leave_out(self, pack: Packing) -> None:
        """Let go of what has not begun and only this pack, which failed, waits for. The caller holds the lock."""
        staying = []
        for place in self._waiting:
            line = place[2]
            line.packs = [waiter for waiter in line.packs if waiter[0] is not pack]
            if line.packs or line.wanted:
                staying.append(place)
            else:
                del self._blobs[line.inbound.blob]
        self._waiting = staying

    # Threads

    def _settle_later(self, step: Callable[[], None]) -> None:
        self._later(self._settling, step)

    def _sync_later(self, publication: Publication) -> None:
        if (publication.size or 0) > SMALL:  # a smaller one is soon hashed again
            self._later(self._syncing, lambda: self._store.sync(publication.blob))

    def _later(self, pool: ThreadPoolExecutor, step: Callable[[], None]) -> None:
        if self._stopped.is_set():
            return
        try:
            pool.submit(step)
        except RuntimeError:  # closed a moment ago: what has arrived is kept
            _log.debug("mirror.closing")

    def _arriving(self, blob: str) -> Inbound | Packing | None:
        line = self._blobs.get(blob)
        if line is None:
            return self._packing.get(blob)
        return line.inbound if line.phase != "done" else None

    def _publication(self, blob: str) -> Publication | None:
        line = self._blobs.get(blob)
        if line is not None:
            return line.inbound.publication
        return self._packs.get(blob)


def _by_segment(hashes: bytes, size: int) -> dict[int, bytes]:
    layout = Layout(size)
    return {
        index: hashes[pieces.start * _HASH_LENGTH : pieces.stop * _HASH_LENGTH]
        for index, pieces in ((index, layout.segment_pieces(index)) for index in range(layout.segments))
    }
