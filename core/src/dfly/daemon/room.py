"""Room for blobs that are to arrive, made before a task's first byte: how much is lacking, and who gives it.

Both limits count, the cache's own and what the file system has free, of which some is promised to blobs that are on their way.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import attrs
import structlog

from dfly.daemon.books import Books
from dfly.daemon.eviction import choose
from dfly.daemon.turns import Turns
from dfly.errors import OutputError
from dfly.output.preflight import readable
from dfly.store.blobs import BlobStore

_log = structlog.get_logger(__name__)

#: Bytes of a file system that are left to others.
_SPARE = 1 << 20


@attrs.define(kw_only=True, eq=False)
class Room:
    """Room in `store`, which holds at most `limit` bytes (None: as the disk takes).

    `changed` is over the lock that keeps `books` and `turns`; `give_up(blob)` removes one, with the lock held.
    """

    store: BlobStore
    limit: int | None
    books: Books
    turns: Turns
    changed: threading.Condition
    give_up: Callable[[str], None]

    @contextmanager
    def taken(self, sizes: Mapping[str, int]) -> Iterator[None]:
        """Room for blobs that are to arrive, of so many bytes each, for as long as they do.

        Raises OutputError where there is none, before anything was given up in vain.
        """
        who = object()
        with self.changed:
            self._make(sizes)
            self.books.expect(sizes, who=who)
        try:
            yield
        finally:
            with self.changed:
                for blob in sizes:
                    if self.books.expect_no_more(blob, who=who):
                        self.books.note(blob, self._allocated(blob))

    def _make(self, sizes: Mapping[str, int]) -> None:
        while True:
            new = sum(size - min(size, self.books.counted(blob)) for blob, size in sizes.items())
            excess = 0 if self.limit is None else self.books.total + new - self.limit
            unwritten = sum(max(0, size - self._written(blob)) for blob, size in self.books.expected.items())
            free = self._free() - _SPARE - unwritten
            excess = max(excess, new - free)
            kept = [each for each in self.books.kept(but=sizes) if self.store.arriving(each.blob) is None]
            freed = self._freed_by(choose(kept, excess=excess))
            if excess > freed:
                self._refuse(new, excess - freed, free=free)
            chosen = choose((each for each in kept if each.blob not in self.turns), excess=excess)
            if excess <= self._freed_by(chosen):
                break
            self.changed.wait()  # one that the disk is busy with has to go
        for blob in chosen:
            _log.info("blob.evicted", blob=blob, bytes=self.books.bytes(blob))
            self.give_up(blob)

    def _written(self, blob: str) -> int:
        # of thousands of small files that are to come, next to none is on the disk
        return self.books.bytes(blob) if self.store.arriving(blob) is None else self._allocated(blob)

    def _allocated(self, blob: str) -> int:
        return self.store.folder(blob).allocated()

    def _freed_by(self, blobs: Iterable[str]) -> int:
        return sum(self.books.bytes(blob) for blob in blobs)

    def _refuse(self, new: int, lacking: int, *, free: int) -> None:
        where = self.store.directory
        if self.limit is not None and self.books.total + new - self.limit >= lacking > new - free:
            raise OutputError(
                f"the cache in {where} is full: {readable(new)} are needed, {readable(self.limit)} may be kept, "
                "and all that is there is in use or pinned",
                hint="raise --cache-size of dfdaemon, unpin something, or go without it (--no-daemon)",
            )
        raise OutputError(
            f"the disk is full: {readable(new)} are needed in {where} and {readable(max(free, 0))} are free",
            hint=f"free {readable(lacking)} more, or go without the daemon's cache (--no-daemon)",
        )

    def _free(self) -> int:
        system = os.statvfs(self.store.directory)
        return system.f_bavail * system.f_frsize
