"""The blob store with a quota, and with a memory of what is in use: what the daemon keeps, gives up, and lends.

Bytes are counted as the disk counts them (allocated blocks), an arriving blob as large as it will be. `room` is made before a
task's first byte; what is pinned, lent a moment ago, being brought or being served to somebody who is not done is never given up.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import attrs
import structlog

from dfly.daemon.books import Books
from dfly.daemon.room import Room
from dfly.daemon.turns import Turns
from dfly.errors import DflyError, OutputError
from dfly.output.receipt import record
from dfly.store.blobs import BlobStore, Committed
from dfly.store.partial import OnSegment, Partial

_log = structlog.get_logger(__name__)

#: Seconds after which what is left of a task that nobody came back for is of no use.
STALE = 7 * 86400.0


class Cache:
    """What is in `store` (which the caller closes), at most `limit` bytes of it (None: as the disk takes). Thread-safe.

    Methods raise OutputError from the disk.
    """

    def __init__(self, store: BlobStore, *, limit: int | None = None, clock: Callable[[], float] = time.time) -> None:
        self._store, self._limit, self._clock = store, limit, clock
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._books = Books(clock=clock)
        self._turns = Turns(self._changed)
        self._room = Room(
            store=store,
            limit=limit,
            books=self._books,
            turns=self._turns,
            changed=self._changed,
            give_up=self.remove,
        )
        #: Told of each blob that is no longer here: given up, or put aside.
        self.on_gone: list[Callable[[str], None]] = []
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="dfly-sync")
        self._take_stock()

    # What is here

    def __contains__(self, blob: object) -> bool:
        with self._lock:
            return blob in self._books and blob in self._store

    def blobs(self) -> list[str]:
        """All committed blobs."""
        with self._lock:
            return [blob for blob in self._books if blob in self._store]

    @property
    def limit(self) -> int | None:
        """Bytes that may be kept."""
        return self._limit

    @property
    def used_bytes(self) -> int:
        """Bytes on the disk, arriving blobs counted whole."""
        with self._lock:
            return self._books.total

    def usable(self, blob: str) -> Committed | None:
        """The blob if it is here and still what it was. One that somebody wrote to is read once; a wrong one is put aside."""
        if blob not in self._store:
            return None
        held = self._store.committed(blob)
        if held is None:
            self._forget(blob)
            return None
        if self._store.altered(blob) and not self.intact(blob):
            return None
        return held

    def intact(self, blob: str) -> bool:
        """Read a committed blob and hold it against its digest; a damaged one is put aside. Takes as long as reading takes."""
        if self._store.intact(blob):
            return True
        if blob in self._store:
            _log.warning("blob.damaged", blob=blob)
            self.put_aside(blob)
        return False

    def put_aside(self, blob: str) -> str:
        """Serve a blob no more, whatever it is; `dfly.daemon.stored` saves what can be saved. Returns where it is now."""
        self._forget(blob)
        with self._turns.at(blob):
            return self._store.quarantine(blob)

    def path(self, blob: str) -> str:
        """Where the data of a blob is, or will be."""
        return self._store.path(blob)

    def lend(self, blob: str) -> int:
        """An open, read-only descriptor of a committed blob; the caller closes it."""
        with self._lock:
            self._touch(blob)
            self._books.lend(blob)
        try:
            return os.open(self._store.path(blob), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise OutputError.from_os(error, self._store.path(blob)) from error

    # What arrives

    def partial(
        self, blob: str, *, size: int | None, validator: str | None, algorithms: Sequence[str], on_segment: OnSegment
    ) -> Partial:
        """Begin a blob, or go on with it. Ended by `commit` or `release`."""
        with self._turns.at(blob):
            return self._store.open_partial(
                blob, size=size, validator=validator, algorithms=algorithms, on_segment=on_segment
            )

    def arriving(self, blob: str) -> Partial | None:
        """What there is of a blob that is being brought now, to be read only; None where it is not."""
        return self._store.arriving(blob)

    def commit(self, blob: str, *, sources: Sequence[str]) -> Committed:
        """Keep the complete partial of `blob`, whose digest the caller has checked."""
        # a hard link to it is the same file: its receipt is what spares the next dfget to hash it
        record(self._store.path(blob), blob)
        return self._noted(self._store.commit(blob, sources=sources))

    def put(self, blob: str, data: bytes | bytearray, *, sources: Sequence[str]) -> None:
        """Keep a small blob, whose digest the caller has checked. What is here, or arrives another way, stays as it is."""
        with self._turns.at(blob):
            # two packs may bring it at once, or one does while it arrives as a file of its own; and it may have been lent
            if self._store.arriving(blob) is not None or self._store.committed(blob) is not None:
                return
            held = self._store.put(blob, data, sources=sources)
        self._noted(held)

    def release(self, blob: str) -> None:
        """No more bytes of this blob will come for now; what there is stays."""
        self._store.release(blob)
        with self._changed:
            self._note_bytes(blob)
            if blob in self._books:
                self._books.used(blob)
            self._changed.notify_all()

    def damaged(self, blob: str) -> str | None:
        """The folder of a blob that was put aside, with `data` and `pieces` as they were. Raises ValueError for what is no id."""
        return self._store.quarantined(blob)

    def drop_damaged(self, blob: str) -> None:
        """What was put aside is of no more use."""
        self._store.forget_quarantined(blob)

    def remove(self, blob: str) -> None:
        """Give a blob up, arriving or committed."""
        with self._turns.at(blob):
            self._forget(blob)
            self._store.remove(blob)

    def busy(self, blobs: Iterable[str]) -> list[str]:
        """Those that somebody is using, or was a moment ago."""
        with self._lock:
            return [blob for blob in blobs if self._busy(blob)]

    def give_up(self, blobs: Iterable[str], *, lent: bool = False) -> list[str]:
        """Remove what nobody uses, pinned or not; returns what stays. `lent`: also what was lent a moment ago."""
        staying = []
        for blob in blobs:
            # with the lock held: nobody begins to use it meanwhile
            with self._lock:
                self._turns.wait(blob)
                if self._busy(blob, lent=not lent):
                    staying.append(blob)
                else:
                    self.remove(blob)
        return staying

    # Room

    @contextmanager
    def in_use(self, blobs: Iterable[str]) -> Iterator[None]:
        """Give none of these up meanwhile."""
        held = list(blobs)
        with self._lock:
            self._books.begin(held)
            for blob in held:
                self._touch(blob)
        try:
            yield
        finally:
            with self._lock:
                self._books.end(held)

    def room_for(self, sizes: Mapping[str, int]) -> AbstractContextManager[None]:
        """Room for blobs that are to arrive, of so many bytes each, for as long as they do.

        Raises OutputError where there is none, before anything was given up in vain.
        """
        return self._room.taken(sizes)

    def pin(self, blobs: Iterable[str]) -> None:
        """These, and only these, are never given up."""
        with self._lock:
            self._books.pin(blobs)

    def wait(self, ready: Callable[[], bool], *, seconds: float) -> bool:
        """Wait until `ready()`, asked whenever a blob has come or been let go. False after `seconds`."""
        with self._changed:
            return self._changed.wait_for(ready, timeout=seconds)

    def close(self) -> None:
        """Let the disk catch up."""
        self._syncing.shutdown(wait=True, cancel_futures=True)

    def _busy(self, blob: str, *, lent: bool = True) -> bool:
        return self._books.busy(blob, lent=lent) or self._store.arriving(blob) is not None

    # What the books are told

    def _take_stock(self) -> None:
        """What an earlier run left. What belonged to one task only, or was never finished for long, goes."""
        now = self._clock()
        for blob in [*self._store, *self._store.unfinished()]:
            committed = blob in self._store
            used = self._store.folder(blob).used()
            if blob.startswith("alone-") or (not committed and now - used > STALE):
                self._store.remove(blob)
                continue
            self._books.used(blob, used)
            self._note_bytes(blob)

    def _noted(self, held: Committed) -> Committed:
        with self._changed:
            self._books.arrived(held.blob)
            self._note_bytes(held.blob)
            self._books.used(held.blob)
            self._changed.notify_all()
        with contextlib.suppress(RuntimeError):  # closing
            self._syncing.submit(self._sync, held.blob)
        self.drop_damaged(held.blob)
        return held

    def _sync(self, blob: str) -> None:
        try:
            with self._turns.at(blob):
                if blob in self._store and not blob.startswith("alone-"):
                    self._store.sync(blob)
        except DflyError as error:
            _log.warning("blob.unsynced", blob=blob, cause=error.message)

    def _note_bytes(self, blob: str) -> None:
        self._books.note(blob, self._allocated(blob))

    def _allocated(self, blob: str) -> int:
        return self._store.folder(blob).allocated()

    def _touch(self, blob: str) -> None:
        if blob in self._books:
            self._books.used(blob)
            self._store.folder(blob).touch()

    def _forget(self, blob: str) -> None:
        with self._lock:
            self._books.forget(blob)
        for tell in self.on_gone:
            tell(blob)


@attrs.frozen
class Stock:
    """What a status page says of the cache."""

    blobs: int
    bytes: int
    limit: int | None

    @classmethod
    def of(cls, cache: Cache) -> "Stock":
        """As it is now."""
        return cls(len(cache.blobs()), cache.used_bytes, cache.limit)
