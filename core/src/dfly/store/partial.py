"""A blob that is arriving: one sparse file, written at the offset by many threads, that a killed process finds again.

    <directory>/data       the bytes; locked while open; its path stays the same, because libtorrent reopens it by path
    <directory>/journal    the segments that are there; a blob of one segment gets it only when it is closed

What is journalled is never fetched twice, digests are computed while bytes arrive, and the file appears at its final
path in one step. Reading order: `span` (who writes), `arrived` (what is there), `prefix` (digests), `resuming` (the journal).
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from dfly.boot import boot_id
from dfly.errors import OutputError
from dfly.layout import Layout
from dfly.store.arrived import Arrived
from dfly.store.directory import empty, link_over, remove_if_empty
from dfly.store.journal import Header
from dfly.store.lock import Lock
from dfly.store.prefix import Prefix
from dfly.store.resuming import Resuming
from dfly.store.span import PieceWriter, SpanWriter, StreamWriter, write_at
from dfly.store.survivors import piece_hashes

#: A finished stretch pays for hashing at most this many times its length: it catches up, and no connection starves.
_HASH_AHEAD = 4
_ALL_KEPT = "all bytes have arrived and are kept for the next run"

OnSegment = Callable[[int, bytes], None]


def _ignore(segment: int, hashes: bytes) -> None:
    pass


def _no_news() -> None:
    pass


class Partial:
    """See `Partial.open`. Thread-safe; but `commit`, `discard`, `reset` and `close` want all writers to have stopped.

    Methods that touch the disk raise OutputError, which says what is kept.
    """

    def __init__(
        self,
        *,
        lock: Lock,
        size: int | None,
        resuming: Resuming,
        algorithms: Sequence[str],
        hash_pieces: bool,
        on_segment: OnSegment,
    ) -> None:
        self.path, self.size = lock.path, size
        #: How often all of it was forgotten: what was read of an earlier attempt is worth nothing.
        self.attempt = 0
        #: Called in the writing thread when more can be read, or nothing any more; must not block.
        self.on_news: Callable[[], None] = _no_news
        self._directory = os.path.dirname(lock.path)
        self._lock = lock
        self._resuming = resuming
        self._hash_pieces = hash_pieces
        self._on_segment = on_segment
        self._arrived = Arrived(Layout(size or 0))
        self._prefix = Prefix(fd=lock.fd, algorithms=algorithms, size=size)
        for record in resuming.records:
            self._arrived.add_segment(record.segment, record.pieces)
        for piece in resuming.loose:
            if piece.sha1 or not hash_pieces:
                self._arrived.add_piece(piece.piece, piece.sha1)
        self.had = self._arrived.piece_bytes
        if not resuming.records and not resuming.loose:
            self._start_over()

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        blob: str,
        size: int | None,
        validator: str | None,
        algorithms: Sequence[str] = ("sha256",),
        hash_pieces: bool = False,
        on_segment: OnSegment = _ignore,
        wait: float = 0.0,
        cancel: threading.Event | None = None,
        boot: str | None = None,
    ) -> Self:
        """Make the partial in `directory`, or go on with the one there if `blob`, `size` and `validator` are the same.

        `size` None: unknown; one stream, not resumable. `algorithms` are computed along the way, with `hash_pieces`
        also each piece's SHA-1. `on_segment(index, sha1s)` is called in the writing thread once it is journalled.

        Raises InUse where another process still has it after `wait` seconds, Cancelled once `cancel` is set.
        After a wait, look first whether the other process has brought the file to its final path.
        """
        lock = Lock(os.path.join(directory, "data"))
        try:
            lock.acquire(wait=wait, cancel=cancel)
            header = None if size is None else Header(blob=blob, size=size, validator=validator)
            journal = os.path.join(directory, "journal")
            return cls(
                lock=lock,
                size=size,
                resuming=Resuming(journal, fd=lock.fd, header=header, boot=boot or boot_id()),
                algorithms=algorithms,
                hash_pieces=hash_pieces,
                on_segment=on_segment,
            )
        except BaseException as error:
            lock.release()
            if isinstance(error, OSError):
                raise OutputError.from_os(error, directory, kept="what had arrived is kept") from error
            raise

    @property
    def fd(self) -> int:
        """The open data file; -1 once closed."""
        return self._lock.fd

    @property
    def layout(self) -> Layout:
        """How the blob is cut; that of an empty one until the size is known."""
        return self._arrived.layout

    @property
    def complete(self) -> bool:
        """Whether every byte is there."""
        return self.size is not None and self._arrived.complete

    @property
    def has(self) -> int:
        """Bytes of the pieces that are there. Whoever goes on with the same file `had` as many."""
        return self._arrived.piece_bytes

    @property
    def worth_keeping(self) -> bool:
        """Whether another run could go on with what is there; not with a part of a blob that has no journal."""
        return bool(self.has) and (self.complete or self._resuming.begun)

    def has_piece(self, piece: int) -> bool:
        """Whether this piece is there."""
        return self._arrived.has_piece(piece)

    def there(self, offset: int) -> int:
        """The end of the bytes that are there without a gap from `offset` on; `offset` where that byte is not."""
        return self._arrived.there(offset)

    def missing_segments(self) -> list[int]:
        """The segments still to fetch, in order."""
        return self._arrived.missing_segments()

    def missing_spans(self, segments: Iterator[int] | list[int], *, pieces: int) -> Iterator[tuple[int, int]]:
        """As `Layout.spans`, less the pieces that are there."""
        return self._arrived.missing_spans(segments, pieces=pieces)

    def segment_hashes(self, segment: int) -> bytes | None:
        """The SHA-1s of the segment's pieces, joined; None where it is not there or piece hashes are not wanted."""
        if not self._arrived.has_segment(segment):
            return None
        hashes = self._arrived.segment_hashes(segment)
        if not hashes and self._hash_pieces:  # from an earlier run that wanted none
            with self._telling():
                hashes = piece_hashes(self.fd, self.layout, segment)
            self._arrived.add_hashes(segment, hashes)
        return hashes or None

    def writer(self, start: int, stop: int | None) -> SpanWriter:
        """Take the bytes `[start, stop)`, whole pieces. `stop` None, with `start` 0, where the size is unknown.

        Raises ValueError for any other range.
        """
        if stop is None:
            if start or self._resuming.possible:
                raise ValueError("only a blob of unknown size is one stream from its start")
            self.reset()
            return StreamWriter(write=self._stream, ended=self._ended)
        return PieceWriter(
            start,
            stop,
            arrived=self._arrived,
            write=self._write,
            finished=self._piece_finished,
            hash_pieces=self._hash_pieces,
        )

    def segment_arrived(self, segment: int, hashes: bytes) -> None:
        """Another writer (libtorrent) has put and flushed these bytes, whose piece SHA-1s are `hashes`: journal them.

        Also carries the digests on, so call it where some hashing may take place.
        """
        if self._arrived.add_segment(segment, hashes):
            self.on_news()
            self._journalled(segment, hashes)
            self._hash(self.layout.segment_length)

    def digest(self, algorithm: str) -> str:
        """The hex digest of the whole blob, reading what is not covered yet. Raises ValueError unless `complete`."""
        self._require_complete()
        with self._telling():
            return self._prefix.finish(self.layout.size, algorithm)

    def hash_on(self, most: int) -> bool:
        """Carry the digests on by at most `most` bytes of what is there without a gap; True when they cover all of it.

        For who must be able to stop: `digest` goes to the end, however long that takes.
        """
        with self._telling():
            self._prefix.advance(lambda: self._arrived.prefix, most=most)
        return self._prefix.done >= self._arrived.prefix

    def hash_again(self) -> None:
        """Have the digests read the file from its start once more: what they have read may have been mended since."""
        self._prefix.restart()

    def seal(self) -> None:
        """Finish in place: the data stays where it is, read-only from now on. Closes this partial; the journal stays.

        Raises ValueError unless `complete`. Who seals says somewhere else that the blob is complete.
        """
        self._require_complete()
        with self._telling():
            os.fchmod(self.fd, 0o444)
        self._shut()

    def commit(self, final: str) -> None:
        """Move the data to `final`, on the same file system, in one step, and remove the rest. Closes this partial.

        Raises ValueError unless `complete`. After an OutputError it is still open and nothing is lost.
        """
        self._require_complete()
        try:
            os.replace(self.path, final)
        except OSError as error:
            raise OutputError.from_os(error, final, kept=_ALL_KEPT) from error
        # from here on a waiting process may make its own data and journal here; only ours may be removed
        self._resuming.remove()
        self._shut()

    def expose(self, final: str) -> None:
        """Make `final` a second name of the data, in one step, and go on: the swarm still reads it at `path`.

        Raises ValueError unless `complete`. Until `discard`, who writes into `final` writes into the data.
        """
        self._require_complete()
        try:
            link_over(self.path, final)
        except OSError as error:
            raise OutputError.from_os(error, final, kept=_ALL_KEPT) from error

    def discard(self) -> None:
        """Remove everything. Closes this partial."""
        with self._telling():
            empty(self._directory)
        self._shut()

    def reset(self) -> None:
        """Forget all segments and digests and start over in the same place, as after a wrong digest."""
        with self._telling():
            self._resuming.restart()
            if not self._resuming.possible:
                self.size = None
            self._start_over()
            # last: nobody takes what was read of the one before for a part of this one
            self.attempt += 1
        self.on_news()

    def close(self) -> None:
        """Stop, keeping what another run can go on with. Harmless if done twice."""
        if self.fd >= 0 and not self._resuming.possible:
            self.discard()
        if self.fd < 0:
            return
        try:
            if self.size and self.complete:
                self._resuming.add_whole(self._arrived.segment_hashes(0))
        except OSError as error:
            raise OutputError.from_os(error, self.path) from error
        finally:
            self._shut()

    def _require_complete(self) -> None:
        if not self.complete:
            raise ValueError("the blob is not complete")

    def _write(self, data: memoryview, offset: int) -> None:
        with self._telling():
            write_at(self.fd, data, offset)

    def _piece_finished(self, piece: int, sha1: bytes) -> None:
        last = self._arrived.add_piece(piece, sha1)
        self.on_news()
        if last:
            segment = self.layout.segment_of(piece * self.layout.piece_length)
            hashes = self._arrived.segment_hashes(segment)
            self._journalled(segment, hashes)
            self._on_segment(segment, hashes)
        else:
            with self._telling():
                self._resuming.add_piece(piece, sha1)
        self._hash(self.layout.piece_length)

    def _journalled(self, segment: int, hashes: bytes) -> None:
        with self._telling():
            self._resuming.add(segment, hashes, length=self.layout.segment_length)
            if not self._arrived.complete:  # else the next thing is the commit, which outlives a kill by itself
                self._resuming.sync_if_due()

    def _hash(self, arrived: int) -> None:
        with self._telling():
            self._prefix.advance(lambda: self._arrived.prefix, most=_HASH_AHEAD * arrived)

    def _stream(self, data: memoryview, offset: int) -> None:
        self._write(data, offset)
        self._prefix.feed(data)

    def _ended(self, size: int) -> None:
        with self._telling():
            os.ftruncate(self.fd, size)
        self.size = size
        self._arrived = Arrived(Layout(size))
        for segment in range(self.layout.segments):
            self._arrived.add_segment(segment)
            self._on_segment(segment, self.segment_hashes(segment) or b"")

    def _start_over(self) -> None:
        # ext4 takes cutting to nothing for a rewrite, and flushes the whole file at its close
        if os.fstat(self.fd).st_size:
            os.ftruncate(self.fd, 0)
        os.ftruncate(self.fd, self.size or 0)
        self._arrived = Arrived(Layout(self.size or 0))
        self._prefix.restart()

    def _shut(self) -> None:
        self._resuming.close()
        with self._telling():
            self._lock.release()
        remove_if_empty(self._directory)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = f"{self.has} bytes have arrived and are kept for the next run" if self.worth_keeping else ""
            raise OutputError.from_os(error, self.path, kept=kept) from error
