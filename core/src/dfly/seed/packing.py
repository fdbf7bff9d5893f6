"""A pack on its way: its small files come one by one, each a blob of the store, and fill the pack's segments.

Because each file is a blob of its own, it is verified by its own digest, and the pack of another revision fetches only what
changed. A segment is written when all files that reach into it are there, and published at once. Those that nodes hold are not
filled here: they come from the nodes, and then every file is checked where it lies.
"""

import hashlib
import heapq
import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from dfly.backend import Backend
from dfly.errors import Cancelled, DflyError, IntegrityError
from dfly.packs import Pack
from dfly.seed.partials import cannot_go_on, hash_all, publish_had
from dfly.seed.publication import Publication, as_dfly
from dfly.store.blobs import BlobStore, Committed
from dfly.store.hashing import new_hash, pick
from dfly.store.partial import Partial
from dfly.values import Entry

_log = structlog.get_logger()


class FetchPart(Protocol):
    """Fetches one small file into the store, and says so to `pack.arrived(part, …)`."""

    def __call__(self, pack: "Packing", part: int, blob: str, entry: Entry, backend: Backend) -> None: ...  # noqa: D102


class Packing:
    """One try at the pack `publication.blob`. `later`, `ended` and `stopped` are as for an `Inbound`, and so is `held_back`."""

    def __init__(
        self,
        pack: Pack,
        publication: Publication,
        *,
        backend: Backend,
        store: BlobStore,
        fetch_part: FetchPart,
        later: Callable[[Callable[[], None]], None],
        ended: Callable[["Packing", DflyError | None], None],
        stopped: threading.Event,
        held_back: bool = False,
    ) -> None:
        self.publication = publication
        self.backend = backend
        self.held_back = held_back
        self._parts = [(blob, *place) for blob, place in zip(pack.blobs, pack.ranges(), strict=True)]
        self._starts = [start for _, _, start, _ in self._parts]
        self._stops = [stop for _, _, _, stop in self._parts]
        self._size = pack.size
        self._store, self._fetch_part = store, fetch_part
        self._later, self._ended, self._stopped = later, ended, stopped
        self._partial: Partial | None = None
        self._steering = threading.Lock()
        self._ready: set[int] = set()
        self._asked: set[int] = set()
        #: The files that each segment under way still lacks, and the segments that lack none, lowest first.
        self._lacks: dict[int, set[int]] = {}
        self._full: list[int] = []
        self._filling, self._ending = threading.Lock(), threading.Lock()
        self._over = self._finishing = self._from_nodes = False

    @property
    def blob(self) -> str:
        """The pack's id."""
        return self.publication.blob

    @property
    def open_at(self) -> str | None:
        """The file that bytes may be written to now."""
        partial = self._partial
        return partial.path if partial is not None and partial.fd >= 0 else None

    def start(self) -> None:
        """Open what there is of it, publish that, and ask for the files of the rest."""
        self._guarded(self._start)

    def go_on(self) -> None:
        """Do what can be done now; to be called when something has changed."""
        self._guarded(self._go_on)

    def arrived(self, part: int, error: DflyError | None) -> None:
        """A file is in the store, or cannot be had."""
        if error is not None:
            self._later(lambda: self._fail(error))
            return
        with self._steering:
            self._ready.add(part)
            for segment in self._touched(part):
                lacks = self._lacks.get(segment)
                if lacks is not None and part in lacks:
                    lacks.discard(part)
                    if not lacks:
                        heapq.heappush(self._full, segment)
            fillable = bool(self._full)
        if fillable:
            self._later(lambda: self._guarded(self._fill))

    def received(self, index: int, hashes: bytes) -> None:
        """A node's bytes of a segment are in the file, and are those that were published."""
        self._guarded(lambda: self._received(index, hashes))

    def close(self) -> None:
        """Stop, keeping the segments that are full."""
        self._over = True
        with self._filling:
            partial, self._partial = self._partial, None
            if partial is not None:
                partial.close()

    def _start(self) -> None:
        held = self._store.committed(self.blob)
        if held is not None:
            self._finish(held)
            return
        self._partial = opened = self._store.open_partial(
            self.blob,
            size=self._size,
            validator=self.blob,
            on_segment=lambda index, hashes: self.publication.segment(index, hashes, size=self._size),
        )
        self.publication.place(opened.path, self._size)
        publish_had(opened, self.publication)
        self._go_on()

    def _go_on(self) -> None:
        partial = self._partial
        if partial is None or self._over:
            return
        if not self.held_back:
            for part in self._claim(partial):
                blob, entry, _, _ = self._parts[part]
                self._fetch_part(self, part, blob, entry, self.backend)
        self._fill()

    def _claim(self, partial: Partial) -> list[int]:
        """Begin with every segment that is missing and that no node holds; the files to ask for, in order."""
        with self._steering:
            wanted: set[int] = set()
            for segment in partial.missing_segments():
                if segment in self._lacks or self.publication.is_adopted(segment):
                    continue
                reaching = self._reaching(segment)
                self._lacks[segment] = lacks = set(reaching) - self._ready
                if not lacks:
                    heapq.heappush(self._full, segment)
                wanted |= lacks
            fresh = sorted(wanted - self._asked)
            self._asked |= wanted
        return fresh

    def _reaching(self, segment: int) -> range:
        """The files that have bytes in this segment."""
        assert self._partial is not None
        start, stop = self._partial.layout.segment_range(segment)
        return range(bisect_right(self._stops, start), bisect_left(self._starts, stop))

    def _touched(self, part: int) -> range:
        partial = self._partial
        return partial.layout.segments_touched(self._starts[part], self._stops[part]) if partial else range(0)

    def _received(self, index: int, hashes: bytes) -> None:
        partial = self._partial
        if partial is not None and not self._over:
            self._from_nodes = True
            partial.segment_arrived(index, hashes)
            self.publication.segment(index, hashes, size=self._size)
            self._fill()

    def _fill(self) -> None:
        # asked again after the lock is free: a file that came meanwhile found it taken and left it to us
        while self._fillable and self._filling.acquire(blocking=False):
            try:
                while self._fillable:
                    self._work()
            finally:
                self._filling.release()

    @property
    def _fillable(self) -> bool:
        partial = self._partial
        return not self._over and partial is not None and (bool(self._full) or partial.complete)

    def _work(self) -> None:
        """Write one segment, or finish. The caller holds the lock."""
        partial = self._partial
        assert partial is not None
        if self._stopped.is_set():
            raise Cancelled
        with self._steering:
            segment = heapq.heappop(self._full) if self._full else None
        if segment is not None:
            before = self.publication.attempt
            self._write(partial, segment)
            if self.publication.attempt != before:
                self._later(self.go_on)  # nodes hold other bytes than these: nothing of theirs counts any more
        elif self._right(partial):
            hash_all(partial, self._stopped)
            self._finish(self._store.commit(self.blob))

    def _write(self, partial: Partial, segment: int) -> None:
        start, stop = partial.layout.segment_range(segment)
        with partial.writer(start, stop) as writer:
            for part in self._reaching(segment):
                blob, entry, at, _ = self._parts[part]
                writer.write(self._read(blob, entry)[max(0, start - at) : stop - at])

    def _right(self, partial: Partial) -> bool:
        """Whether every file in the complete pack is right; where nodes sent wrong ones, all is fetched anew."""
        wrong = next(filter(None, (self._wrong(partial, part) for part in range(len(self._parts)))), None)
        if not self._from_nodes or wrong is None:
            return True
        _log.warning("pack.withdrawn", blob=self.blob, attempt=self.publication.attempt, file=wrong)
        self._from_nodes = False
        self.publication.withdraw()
        partial.reset()
        with self._steering:
            self._lacks.clear()
            self._full.clear()
        self._later(self.go_on)
        return False

    def _wrong(self, partial: Partial, part: int) -> str:
        _, entry, start, stop = self._parts[part]
        expected = pick(entry.digests)
        if not self._from_nodes or expected is None:
            return ""
        actual = new_hash(expected.algorithm, stop - start)
        actual.update(os.pread(partial.fd, stop - start, start))
        return "" if actual.hexdigest() == expected.value else entry.path

    def _finish(self, held: Committed) -> None:
        self._over = True
        self.publication.finish(held.path, held.size, held.sha256)
        self._ended(self, None)

    def _read(self, blob: str, entry: Entry) -> bytes:
        """A file from the store; one that the disk has spoiled since is put aside, and fetched when it is asked for again."""
        held = self._store.committed(blob)
        if held is None:
            raise DflyError(f"{entry.path} was removed while it was being packed", hint="try again")
        data = Path(held.path).read_bytes()
        actual = hashlib.sha256(data).hexdigest()
        if actual != held.sha256:
            self._store.quarantine(blob)
            hint = f"the disk under {self._store.directory} changed it; check that disk, and try again"
            raise IntegrityError(entry.path, algorithm="sha256", expected=held.sha256, actual=actual, hint=hint)
        return data

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Cancelled:
            self.close()
        except BaseException as error:  # noqa: BLE001 - it belongs to the pack, not to this thread
            self._fail(as_dfly(error, f"pack of {len(self._parts)} files"))

    def _fail(self, error: DflyError) -> None:
        """Give up, once. What is packed is right, so it stays where it can."""
        with self._ending:
            if self._over:
                return
            self._over = True
        void = cannot_go_on(self._partial)
        with self.publication.failing(error, void=void):
            try:
                self.close()
                if void:
                    self._store.remove(self.blob)
            except DflyError as trouble:
                _log.warning("pack.not_closed", blob=self.blob, cause=trouble.message)
            self._ended(self, error)
