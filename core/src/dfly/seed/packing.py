"""A pack on its way: its small files come one by one, each a blob of the store, and are written one after the other.

Because each file is a blob of its own, it is verified by its own digest, and the pack of another revision fetches only what
changed. The pack grows from its start as the run of finished files grows, so its segments are published as they fill.
"""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from dfly.backend import Backend
from dfly.errors import Cancelled, DflyError, IntegrityError
from dfly.packs import Pack
from dfly.seed.inbound import as_dfly, cannot_go_on, hash_all, publish_had
from dfly.seed.publication import Publication
from dfly.store.blobs import BlobStore, Committed
from dfly.store.partial import Partial
from dfly.store.span import SpanWriter
from dfly.values import Entry

_log = structlog.get_logger()


class FetchPart(Protocol):
    """Fetches one small file into the store, and says so to `pack.arrived(part, …)`."""

    def __call__(self, pack: "Packing", part: int, blob: str, entry: Entry, backend: Backend) -> None: ...  # noqa: D102


class Packing:
    """One try at the pack `publication.blob`. `later`, `ended` and `stopped` are as for an `Inbound`."""

    def __init__(
        self,
        pack: Pack,
        publication: Publication,
        *,
        store: BlobStore,
        fetch_part: FetchPart,
        later: Callable[[Callable[[], None]], None],
        ended: Callable[["Packing", DflyError | None], None],
        stopped: threading.Event,
    ) -> None:
        self.publication = publication
        self._parts = [(blob, entry, stop) for blob, (entry, _, stop) in zip(pack.blobs, pack.ranges(), strict=True)]
        self._size = pack.size
        self._store, self._fetch_part = store, fetch_part
        self._later, self._ended, self._stopped = later, ended, stopped
        self._partial: Partial | None = None
        self._writer: SpanWriter | None = None
        self._ready: set[int] = set()
        #: The part to write next, and where in the pack.
        self._next = self._at = 0
        self._filling, self._ending = threading.Lock(), threading.Lock()
        self._over = False

    @property
    def blob(self) -> str:
        """The pack's id."""
        return self.publication.blob

    def start(self, backend: Backend) -> None:
        """Open what there is of it, publish that, and ask for the files of the rest."""
        self._guarded(lambda: self._start(backend))

    def arrived(self, part: int, error: DflyError | None) -> None:
        """A file is in the store, or cannot be had."""
        if error is not None:
            self._later(lambda: self._fail(error))
            return
        self._ready.add(part)
        if part == self._next:
            self._later(lambda: self._guarded(self._fill))

    def close(self) -> None:
        """Stop, keeping the segments that are full."""
        self._over = True
        with self._filling:
            partial, self._partial = self._partial, None
            if partial is not None:
                partial.close()

    def _start(self, backend: Backend) -> None:
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
        missing = opened.missing_segments()
        self._at = opened.layout.segment_range(missing[0])[0] if missing else self._size
        self._writer = opened.writer(self._at, self._size)
        self._next = next((n for n, (_, _, stop) in enumerate(self._parts) if stop > self._at), len(self._parts))
        for part in range(self._next, len(self._parts)):
            blob, entry, _ = self._parts[part]
            self._fetch_part(self, part, blob, entry, backend)
        if not missing:
            self._later(lambda: self._guarded(self._fill))

    def _fill(self) -> None:
        # asked again after the lock is free: a file that came meanwhile found it taken and left it to us
        while self._fillable and self._filling.acquire(blocking=False):
            try:
                while self._fillable:
                    self._go_on()
            finally:
                self._filling.release()

    @property
    def _fillable(self) -> bool:
        return not self._over and (self._next in self._ready or self._next == len(self._parts))

    def _go_on(self) -> None:
        """Write one file, or finish. The caller holds the lock."""
        assert self._partial is not None
        assert self._writer is not None
        if self._stopped.is_set():
            raise Cancelled
        if self._next < len(self._parts):
            blob, entry, stop = self._parts[self._next]
            start = stop - (entry.size or 0)
            data = self._read(blob, entry)
            self._writer.write(data[max(0, self._at - start) :])
            self._at = stop
            self._next += 1
            return
        hash_all(self._partial, self._stopped)
        self._finish(self._store.commit(self.blob))

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
