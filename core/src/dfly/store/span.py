"""Writers that put a stretch of arriving bytes where it belongs and notice each piece that it completes.

A writer belongs to one thread, and no two write the same piece at once. A piece that is there is never written again:
what has been hashed stays what it was, even if a second origin answers with other bytes.
"""

import hashlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from dfly.store.arrived import Arrived

Write = Callable[[memoryview, int], None]


def write_at(fd: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset` of an open file. Raises OSError."""
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


class SpanWriter(Protocol):
    """Takes the bytes of a span in order. Raises OutputError from the disk."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Put the next bytes. Raises ValueError for bytes beyond the span."""

    def close(self) -> None:
        """No more bytes will come. Unfinished pieces stay missing; a stream of unknown size ends here and is whole."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close, except that a stream of unknown size that met an error is not taken for whole."""


class PieceWriter:
    """Writes `[start, stop)`, whole pieces of a blob of known size.

    `finished(piece, sha1)` is called as each piece completes, with an empty `sha1` unless `hash_pieces`.
    """

    def __init__(
        self,
        start: int,
        stop: int,
        *,
        arrived: Arrived,
        write: Write,
        finished: Callable[[int, bytes], None],
        hash_pieces: bool,
    ) -> None:
        layout = arrived.layout
        aligned = start % layout.piece_length == 0 and (stop % layout.piece_length == 0 or stop == layout.size)
        if not aligned or not 0 <= start <= stop <= layout.size:
            raise ValueError(f"{start}–{stop} are not whole pieces of {layout.piece_length} bytes")
        self._at, self._stop = start, stop
        self._arrived = arrived
        self._write, self._finished = write, finished
        self._hash_pieces = hash_pieces
        self._start_piece()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See SpanWriter."""
        view = memoryview(data).cast("B")
        if self._at + len(view) > self._stop:
            raise ValueError(f"{self._at + len(view) - self._stop} bytes more than the span holds")
        while view:
            part = view[: self._piece_stop - self._at]
            if not self._skip:
                self._write(part, self._at)
                if self._hash_pieces:
                    self._sha1.update(part)
            self._at += len(part)
            view = view[len(part) :]
            if self._at == self._piece_stop:
                self._end_piece()

    def close(self) -> None:
        """See SpanWriter; the pieces that are finished have been counted already."""

    def _start_piece(self) -> None:
        layout = self._arrived.layout
        self._piece = self._at // layout.piece_length
        self._piece_stop = min((self._piece + 1) * layout.piece_length, self._stop)
        self._skip = self._at < self._stop and self._arrived.has_piece(self._piece)
        self._sha1 = hashlib.sha1(usedforsecurity=False)

    def _end_piece(self) -> None:
        piece, sha1, skipped = self._piece, self._sha1, self._skip
        self._start_piece()
        if not skipped:
            self._finished(piece, sha1.digest() if self._hash_pieces else b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class StreamWriter:
    """Writes a blob of unknown size from its start; `ended(size)` is called when it closes."""

    def __init__(self, *, write: Write, ended: Callable[[int], None]) -> None:
        self._at = 0
        self._closed = False
        self._write, self._ended = write, ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See SpanWriter; there is no beyond."""
        view = memoryview(data).cast("B")
        self._write(view, self._at)
        self._at += len(view)

    def close(self) -> None:
        """The body has ended and is whole. After an error leave the writer alone instead; a new one starts over."""
        if not self._closed:
            self._closed = True
            self._ended(self._at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
