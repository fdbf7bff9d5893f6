"""Brings each blob from its origin to this machine once, however many tasks want it, and publishes it segment by segment.

    want ──▶ queue (opened in a thread, in order) ──▶ intake (the pool of connections) ──▶ settling ──▶ store
                ╲ a pack's files first ╱                  adopted segments: from nodes ──╱

A blob in the queue is an `Inbound`, a pack a `Packing`: what is said here of a blob goes to whichever of them it is.
Reading order: `publication`, `intake`, `inbound`, `packing`, `queue`, `packings`, this.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import structlog

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.errors import DflyError, OutputError
from dfly.layout import SMALL, Layout
from dfly.origin.pauses import Pauses
from dfly.packs import Freight
from dfly.seed.inbound import Inbound
from dfly.seed.intake import Intake
from dfly.seed.mending import Suspect
from dfly.seed.mirroring import MirrorListener, Verdict
from dfly.seed.operators.upkeep import Upkeep
from dfly.seed.packing import Packing
from dfly.seed.packings import Packings
from dfly.seed.publication import BlobState, Publication
from dfly.seed.queue import Queue
from dfly.seed.repair import Repairs
from dfly.store.blobs import BlobStore, Committed
from dfly.values import bare_task

_log = structlog.get_logger()


class Mirror:
    """Fetches into `store` (which the caller closes) and tells `listener`, from its threads, each thing once.

    A listener must not block. Who comes later asks `state`; who registers first and then asks misses nothing.
    """

    def __init__(
        self, *, store: BlobStore, listener: MirrorListener, settings: Fetch, patience: Patience, pauses: Pauses
    ) -> None:
        self._store = store
        self._intake = Intake(settings=settings, patience=patience, pauses=pauses, waiting_for=listener.waiting_for)
        self._stopped = threading.Event()
        self._opening = ThreadPoolExecutor(1, "dfly-mirror-open")
        self._settling = ThreadPoolExecutor(2, "dfly-mirror-settle")
        self._syncing = ThreadPoolExecutor(1, "dfly-mirror-sync")
        self._lock = threading.Lock()
        opening, settling = partial(self._later, self._opening), partial(self._later, self._settling)
        self._queue = Queue(
            lock=self._lock,
            store=store,
            intake=self._intake,
            listener=listener,
            opening=opening,
            settling=settling,
            whole=self._sync_later,
            stopped=self._stopped,
        )
        self._packings = Packings(
            lock=self._lock,
            queue=self._queue,
            store=store,
            listener=listener,
            opening=opening,
            settling=settling,
            whole=self._sync_later,
            stopped=self._stopped,
        )
        self._repairs = Repairs(intake=self._intake, later=settling, lost=self._lost)
        self._upkeep = Upkeep(
            store,
            publication=self._publication,
            recheck=self._recheck,
            lost=self._lost,
            busy=self.busy,
            stopped=self._stopped,
        )

    @property
    def store(self) -> BlobStore:
        """Where the blobs are kept, for whoever brings one in another way: one that is committed is not fetched."""
        return self._store

    @property
    def hub_bytes(self) -> int:
        """Bytes of content that origins have sent so far."""
        return self._intake.hub_bytes

    @property
    def asking(self) -> bool:
        """Whether an origin is being asked for content now."""
        return self._intake.asking

    def want(self, freight: Freight, backend: Backend, *, task: str, held_back: bool = False) -> None:
        """Fetch what is not there: the pack first, then the blobs in order. Returns at once; asking again costs nothing.

        What failed before is tried again, and `backend` is one more way to what another task wants too. `held_back`: publish
        what is there, and ask no origin for what has not begun before `let_go`.
        """
        if self._stopped.is_set():
            return
        _log.debug(
            "mirror.wanted",
            task=bare_task(task),
            blobs=len(freight.blobs),
            packed=bool(freight.pack),
            held_back=held_back,
        )
        if freight.pack:
            self._packings.bring(freight.pack, backend, held_back=held_back)
        for blob, entry in freight.blobs.items():
            self._queue.bring(blob, entry, backend, held_back=held_back).speak()

    def hold_back(self, freight: Freight) -> None:
        """Ask no origin for more of this before `let_go`.

        Spans that have begun come to their end, and packs, which are small, go on.
        """
        for blob in freight.blobs:
            arriving = self._queue.arriving(blob)
            if arriving is not None:
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
        self._queue.hurry(blob, segments)

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
        if not isinstance(arriving, Inbound):
            return arriving.open_at if arriving is not None else None
        path = arriving.receive()
        if path is None:
            self._wake(blob)
        return path

    def received(self, blob: str, index: int, hashes: bytes) -> None:
        """An adopted segment was written there, and its pieces have these hashes. Takes a while: it is hashed on."""
        arriving = self._arriving(blob)
        if arriving is not None:
            arriving.received(index, hashes)

    def backends(self) -> Collection[Backend]:
        """Those that it may still fetch with."""
        return [*self._queue.backends(), *self._packings.backends()]

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
        return state.with_hashes(hashes) if hashes else state

    def recheck(self, blob: str, index: int) -> None:
        """Look whether a published segment is still right on the disk, and mend it if not. Returns at once."""
        publication = self._publication(blob)
        if publication is None or publication.size is None:
            return
        layout = Layout(publication.size)
        readable = index < layout.segments and publication.readable(*layout.segment_range(index))
        if readable and self._repairs.allowed(blob, index):
            self._later(self._settling, lambda: self._recheck(publication, index))

    def held(self) -> Iterator[str]:
        """All blobs that are here and whole, whoever wanted them. Asks the disk."""
        yield from self._store

    def busy(self, blob: str) -> bool:
        """Whether it is on its way, or waits for that."""
        return self._queue.busy(blob) or self._packings.arriving(blob) is not None

    def remove(self, blobs: Iterable[str]) -> list[str]:
        """Take blobs that nobody wants any more off the disk; returns those that were on their way, and stay."""
        staying = []
        # with the lock held: whoever wants one again begins a new one afterwards
        with self._lock:
            for blob in blobs:
                if self.busy(blob):
                    staying.append(blob)
                    continue
                self._queue.forget(blob)
                self._packings.forget(blob)
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
            unfinished.callback(self._queue.close)
            unfinished.callback(self._packings.close)

    def _arriving(self, blob: str) -> Inbound | Packing | None:
        return self._queue.arriving(blob) or self._packings.arriving(blob)

    def _publication(self, blob: str) -> Publication | None:
        return self._queue.publication(blob) or self._packings.publication(blob)

    def _wake(self, blob: str) -> None:
        """Something has changed for a blob."""
        self._queue.wake(blob)
        self._packings.wake(blob)

    def _recheck(self, publication: Publication, index: int) -> None:
        blob = publication.blob
        hashes, way = self.state(blob).segments.get(index), self._queue.way(blob)
        if hashes is None:
            self._lost(publication, OutputError(f"{publication.path}: damaged on the disk"))
        elif way is not None:
            entry, backend = way
            self._repairs.look(
                Suspect(publication=publication, index=index, hashes=hashes, entry=entry, backend=backend)
            )
        elif publication.complete:
            self._packings.bring_anew(blob)

    def _lost(self, publication: Publication, error: DflyError) -> None:
        """What was committed is damaged beyond repair: it is put aside, and fetched anew when it is asked for again."""
        if not publication.complete:
            _log.error("segment.lost", blob=publication.blob, cause=error.message)
            return
        with publication.failing(error, void=True):
            if publication.blob in self._store:
                self._store.quarantine(publication.blob)

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
