"""One blob on its way from its origin to the store.

    waiting ──start──▶ open ──fetch──▶ settle ──right──▶ committed
       ▲                │ ▲  ▲           │
       │                │ │  └─once──── wrong ──twice──▶ failed ──wanted again──▶ waiting
       │                │ └── a node's bytes came
       └──something to do── parked: nodes hold all that is missing

`start` and `settle` run in the mirror's own threads, the bytes come in the pool's. Whoever wants the blob may bring another
way to the same content: where one caller's token is refused, the next caller's way is tried.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import structlog

from dfly.backend import Backend
from dfly.errors import AccessDenied, Cancelled, Changed, DflyError, IntegrityError, NotFound
from dfly.seed.intake import Intake, Order, Span
from dfly.seed.mending import Suspect, mend, wrong_pieces
from dfly.seed.partials import cannot_go_on, publish_had, wrong_digest
from dfly.seed.publication import Publication, as_dfly
from dfly.store.blobs import BlobStore
from dfly.store.hashing import pick
from dfly.store.partial import Partial
from dfly.values import Entry, bare_url

_log = structlog.get_logger()


class Ended(Protocol):
    """Told when a blob is committed (`error` None) or given up."""

    def __call__(self, inbound: "Inbound", error: DflyError | None) -> None: ...  # noqa: D102


class Inbound:
    """The blob `publication.blob`, whose content is that of `entry`.

    `later(step)` runs a step in another thread, `ended` is told once for each `start` that was not `parked`; `stopped` ends
    long steps. While it is `held_back` nothing is asked of the origin; while it is `receiving` it stays open for nodes' bytes.
    """

    def __init__(
        self,
        entry: Entry,
        publication: Publication,
        *,
        priority: int,
        store: BlobStore,
        intake: Intake,
        later: Callable[[Callable[[], None]], None],
        ended: Ended,
        parked: Callable[["Inbound"], None],
        stopped: threading.Event,
    ) -> None:
        self.entry = entry
        self.publication = publication
        self.priority = priority
        self.held_back = self.receiving = False
        #: Segments that somebody waits for: they are fetched before others.
        self.first: tuple[int, ...] = ()
        self._order: Order | None = None
        self._store, self._intake = store, intake
        self._later, self._ended, self._parked, self._stopped = later, ended, parked, stopped
        self._ways: deque[tuple[Entry, Backend]] = deque()
        self._partial: Partial | None = None
        self._refetched = self._mended = False
        self._steering = threading.Lock()
        self._busy = False

    @property
    def blob(self) -> str:
        """The blob's id."""
        return self.publication.blob

    @property
    def open_at(self) -> str | None:
        """The file that bytes may be written to now."""
        partial = self._partial
        return partial.path if partial is not None and partial.fd >= 0 else None

    @property
    def backends(self) -> list[Backend]:
        """All that the origin may still be asked with."""
        return [backend for _, backend in tuple(self._ways)]

    def add_way(self, entry: Entry, backend: Backend) -> None:
        """Another entry with the same content, and who reads it."""
        if not any(known.url == entry.url and its is backend for known, its in self._ways):
            self._ways.append((entry, backend))

    def start(self) -> None:
        """Open what there is of it, publish that, and order the rest."""
        self._guarded(self._start)

    def go_on(self) -> None:
        """Do what can be done now; to be called when something has changed."""
        self._guarded(self._go_on)

    def hurry(self, segments: Sequence[int]) -> None:
        """Somebody waits for these segments. From any thread."""
        self.first = tuple(segments)
        if self._order is not None:
            self._intake.hurry(self._order)

    def receive(self) -> str | None:
        """The file that a node's bytes may be written to, which stays open for them; None while it is not. From any thread."""
        with self._steering:
            self.receiving = True
            return self.open_at

    def received(self, index: int, hashes: bytes) -> None:
        """A node's bytes of a segment are in the file, and right."""
        self._guarded(lambda: self._received(index, hashes))

    def close(self) -> None:
        """Stop, keeping what has arrived; its writers have stopped."""
        partial, self._partial = self._partial, None
        if partial is not None:
            partial.close()

    def _start(self) -> None:
        held = self._store.committed(self.blob)
        if held is not None:
            self.publication.finish(held.path, held.size, held.sha256)
            self._end(None)
            return
        expected = pick(self.entry.digests)
        self._partial = opened = self._store.open_partial(
            self.blob,
            size=self.entry.size,
            validator=self.entry.validator,
            algorithms=(expected.algorithm,) if expected else (),
            on_segment=self._segment,
        )
        self.publication.place(opened.path, opened.size)
        publish_had(opened, self.publication)
        self._go_on()

    def _go_on(self) -> None:
        with self._steering:
            partial = self._partial
            if partial is None or self._busy:
                return
            unclaimed = partial.size is None or any(True for _ in self._unclaimed(partial))
            parking = not partial.complete and not unclaimed and not self.receiving and not self.held_back
            self._busy = partial.complete or (unclaimed and not self.held_back)
            if parking:
                self._partial = None
        if parking:
            partial.close()
            self._parked(self)
        elif self._busy and partial.complete:
            self._later(self._settle)
        elif self._busy:
            self._fetch(partial)

    def _unclaimed(self, partial: Partial) -> Iterator[int]:
        """Segments that are neither here nor with nodes, in order."""
        return (index for index in partial.missing_segments() if not self.publication.is_adopted(index))

    def _received(self, index: int, hashes: bytes) -> None:
        partial = self._partial
        if partial is not None:
            partial.segment_arrived(index, hashes)
            self._segment(index, hashes)
            self._go_on()

    def _segment(self, index: int, hashes: bytes) -> None:
        partial = self._partial
        assert partial is not None
        assert partial.size is not None
        self.publication.segment(index, hashes, size=partial.size)

    def _fetch(self, partial: Partial) -> None:
        entry, backend = self._ways[0]
        self._order = Order(
            entry=entry,
            backend=backend,
            spans=self._spans(partial),
            whole=(0, partial.size),
            writer=partial.writer,
            finished=self._fetched,
            priority=self.priority,
        )
        self._intake.bring(self._order)
        if self.first:
            self._intake.hurry(self._order)

    def _spans(self, partial: Partial) -> Iterator[Span]:
        if partial.size is None:
            yield 0, None
            return
        asked: set[int] = set()
        piece_length = partial.layout.piece_length
        # looked at anew for each segment: nodes tell what they hold or wait for, and go away, while the rest is being fetched
        while (index := self._next(partial, asked)) is not None:
            if self.held_back:
                return
            asked.add(index)
            yield from partial.missing_spans([index], pieces=self._intake.pieces_at_once(piece_length))

    def _next(self, partial: Partial, asked: set[int]) -> int | None:
        """The segment to ask the origin for now: one that somebody waits for, else the first that is missing."""
        fresh = [index for index in self._unclaimed(partial) if index not in asked]
        return next((index for index in self.first if index in fresh), fresh[0] if fresh else None)

    def _fetched(self, error: BaseException | None) -> None:
        self._busy = False
        if error is None:
            self._guarded(self._go_on)
        else:
            self._guarded(lambda: self._go_another_way(error))

    def _go_another_way(self, error: BaseException) -> None:
        if not isinstance(error, (AccessDenied, NotFound, Changed)) or len(self._ways) < 2 or self._partial is None:
            raise error
        _log.info("blob.other_way", blob=self.blob, refused=bare_url(self._ways[0][0].url), cause=type(error).__name__)
        self._ways.popleft()
        self._go_on()

    def _settle(self) -> None:
        self._guarded(self._judge)

    def _judge(self) -> None:
        partial = self._partial
        if partial is None:
            return
        wrong = wrong_digest(partial, self.entry, self._stopped)
        if wrong is None:
            held = self._store.commit(self.blob, sources=(bare_url(self._ways[0][0].url),))
            self.publication.finish(held.path, held.size, held.sha256)
            self._end(None)
        elif not self._mended and (damaged := self._damaged(partial)):
            self._mended = True
            self._mend(damaged)
        elif not self._refetched:
            self._refetched = True
            _log.warning("blob.withdrawn", blob=self.blob, attempt=self.publication.attempt, cause=wrong.message)
            self.publication.withdraw()
            partial.reset()
            self._fetch(partial)
        else:
            raise wrong

    def _damaged(self, partial: Partial) -> dict[Suspect, list[int]]:
        """The segments, and their pieces, of which the disk gives other bytes than it took, by the hashes made on their way."""
        entry, backend = self._ways[0]
        suspects = [
            Suspect(publication=self.publication, index=index, hashes=hashes, entry=entry, backend=backend)
            for index in range(partial.layout.segments)
            if (hashes := partial.segment_hashes(index))
        ]
        return {suspect: wrong for suspect in suspects if (wrong := wrong_pieces(suspect))}

    def _mend(self, damaged: Mapping[Suspect, Sequence[int]]) -> None:
        """Fetch anew what the disk has changed, and judge again."""

        def finished(error: BaseException | None) -> None:
            for suspect in damaged:
                self.publication.show(suspect.index)
            if error is not None:
                _log.warning("blob.not_mended", blob=self.blob, cause=type(error).__name__)
            self._later(self._settle)

        mend(damaged, intake=self._intake, priority=self.priority, finished=finished)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Cancelled:
            self.close()
        except BaseException as error:  # noqa: BLE001 - it belongs to the blob, not to this thread
            self._fail(as_dfly(error, self.entry.path))

    def _fail(self, error: DflyError) -> None:
        void = isinstance(error, IntegrityError) or cannot_go_on(self._partial)
        with self.publication.failing(error, void=void):
            try:
                self.close()
                if void:
                    self._store.remove(self.blob)
            except DflyError as trouble:
                _log.warning("blob.not_closed", blob=self.blob, cause=trouble.message)
            self._end(error)

    def _end(self, error: DflyError | None) -> None:
        self._ways.clear()
        self._busy = self._refetched = self._mended = self.receiving = self.held_back = False
        self._order, self.first = None, ()
        if error is None:
            self._partial = None
        self._ended(self, error)
