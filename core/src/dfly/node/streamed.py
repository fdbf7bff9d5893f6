"""A file elsewhere, read like any other in Python: seek where you like, and only what is read travels.

    read ──▶ BufferedReader ──▶ Streamed ──windows──▶ Source (`dfly.node.opening` chooses it)

Bytes come in windows. Who jumps gets a small one, so that a footer costs a footer; who reads on gets ever larger ones, and the
next is on its way while this one is read. The windows together never take more than `MEMORY`, or two of the source's units
where those are larger.
"""

import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Protocol

from dfly.errors import Cancelled, IntegrityError, OriginUnavailable
from dfly.layout import KIB, MIB
from dfly.store.hashing import Hash, new_hash, pick
from dfly.values import Digest, Entry

#: Bytes of a window after a jump, and of one at most.
SMALLEST, LARGEST = 64 * KIB, 8 * MIB
#: Bytes that all windows of a file may take.
MEMORY = 4 * LARGEST
#: Seconds between looks whether the reader has given up.
_LOOK = 0.1


class Source(Protocol):
    """Where the bytes of one file come from. `read` is called from several threads at once."""

    @property
    def unit(self) -> int:
        """Bytes: what is read starts and ends at multiples of it."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""

    @property
    def way(self) -> str:
        """Who sends now: one of `dfly.events.SOURCES`."""

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield exactly the bytes `[start, stop)`. Raises a DflyError."""

    def close(self) -> None:
        """End what is under way."""


class RemoteFile(io.BufferedReader):
    """What `dfly.open` returns: a read-only binary file that fetches what is read. Close it, or use it in a `with` statement.

    `entry` says which file it is, pinned; `way` who sends the bytes now: "seed-peer", "daemon" or "hub". Several threads may
    use it, one read at a time. A read raises what fetching meets, as a `dfly.DflyError`; the next read tries again.
    """

    def __init__(self, entry: Entry, source: Source, *, stop: threading.Event, closed: Callable[[], None]) -> None:
        super().__init__(Streamed(entry, source, stop=stop, closed=closed), buffer_size=SMALLEST)
        self.entry, self.size, self._source = entry, source.size, source

    @property
    def way(self) -> str:
        """Who sends the bytes now."""
        return self._source.way

    @property
    def name(self) -> str:
        """The file's own pinned URL."""
        return self.entry.url

    def __repr__(self) -> str:
        return f"<dfly.RemoteFile {self.entry.url} ({self.size} bytes)>"


class Streamed(io.RawIOBase):
    """The file itself, without a buffer for single lines. `stop` ends every wait; `closed` is called when it is closed.

    Where it is read from the first byte to the last, in order, the last ones come only if the whole has its digest.
    """

    def __init__(
        self, entry: Entry, source: Source, *, stop: threading.Event, closed: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._entry, self._source, self._size = entry, source, source.size
        self._stop, self._closed = stop, closed
        self._turn = threading.Lock()
        self._at = 0
        #: The end of the window that was asked for last, and how long the next one is.
        self._reached, self._ahead = -1, SMALLEST
        #: The one used last is last.
        self._windows: list[_Window] = []
        self._proof = _Proof.of(entry, self._size)

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next byte is read, in bytes from the start."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read on elsewhere; costs nothing. Raises ValueError for a place before the start."""
        self._check()
        origins = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}
        if whence not in origins:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        at = origins[whence] + offset
        if at < 0:
            raise ValueError(f"{at} is before the start of the file")
        self._at = at
        return at

    def readall(self) -> bytes:
        """All the rest, in memory."""
        rest = bytearray(max(0, self._size - self._at))
        view, got = memoryview(rest), 0
        while count := self.readinto(view[got:]):
            got += count
        view.release()
        return bytes(rest[:got])

    def readinto(self, buffer: "bytearray | memoryview[int]") -> int:  # type: ignore[override]
        """Fill `buffer` with as much as is there without another wait; 0 at the end. Raises a DflyError."""
        with self._turn:
            self._check()
            view = memoryview(buffer).cast("B")
            if not len(view) or self._at >= self._size:
                return 0
            window = self._window(self._at, len(view))
            content = self._content(window)
            offset = self._at - window.start
            count = min(len(view), window.stop - self._at)
            piece = memoryview(content)[offset : offset + count]
            if self._proof is not None:
                self._proof.take(self._at, piece)
            view[:count] = piece
            self._at += count
            return count

    def close(self) -> None:
        """End what is under way, and let go of the connections. Harmless if done twice."""
        if not self.closed:
            super().close()
            self._stop.set()
            self._source.close()
            self._windows.clear()
            self._closed()

    def _check(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")

    def _window(self, at: int, wanted: int) -> "_Window":
        """The window with the byte at `at`, on its way at least; the next one too where somebody reads on."""
        found = next((window for window in self._windows if window.start <= at < window.stop), None)
        if found is None:
            reads_on = at == self._reached
            self._ahead = min(2 * self._ahead, LARGEST) if reads_on else SMALLEST
            found = self._ask(at, max(self._ahead, min(wanted, LARGEST)))
        else:
            self._windows.remove(found)
            self._windows.append(found)
        if found.stop == self._reached < self._size and self._ahead > SMALLEST:
            self._ahead = min(2 * self._ahead, LARGEST)
            following = self._ask(self._reached, self._ahead)
            # the one that is read now is the last to go
            self._windows.remove(found)
            self._windows.insert(self._windows.index(following), found)
        return found

    def _ask(self, at: int, count: int) -> "_Window":
        unit = self._source.unit
        start, stop = at // unit * unit, min(self._size, -(-(at + count) // unit) * unit)
        window = _Window(start, stop, self._source)
        self._reached = stop
        self._windows.append(window)
        while len(self._windows) > 2 and sum(each.stop - each.start for each in self._windows) > MEMORY:
            del self._windows[0]
        return window

    def _content(self, window: "_Window") -> bytes:
        while not wait([window.content], timeout=_LOOK).done:
            if self._stop.is_set():
                raise Cancelled
        try:
            return window.content.result()
        except BaseException:
            # the next read tries again
            self._windows.remove(window)
            self._reached = -1
            raise


class _Window:
    """Bytes `[start, stop)`, on their way from the moment it is made. Nobody waits for its thread."""

    def __init__(self, start: int, stop: int, source: Source) -> None:
        self.start, self.stop = start, stop
        self.content: Future[bytes] = Future()
        self._source = source
        threading.Thread(target=self._fetch, name="dfly-window", daemon=True).start()

    def _fetch(self) -> None:
        try:
            self.content.set_result(self._all())
        except BaseException as error:  # noqa: BLE001 - it is raised where the bytes are awaited
            self.content.set_exception(error)

    def _all(self) -> bytes:
        content = b"".join(self._source.read(self.start, self.stop))
        if len(content) != self.stop - self.start:
            raise OriginUnavailable(f"{self.stop - self.start - len(content)} bytes short")
        return content


class _Proof:
    """The digest of what was read in order, from the first byte on. One that was jumped over proves nothing any more."""

    def __init__(self, path: str, digest: Digest, size: int, hashed: Hash) -> None:
        self._path, self._digest, self._size = path, digest, size
        self._hash, self._at = hashed, 0

    @classmethod
    def of(cls, entry: Entry, size: int) -> "_Proof | None":
        digest = pick(entry.digests)
        return None if digest is None else cls(entry.path, digest, size, new_hash(digest.algorithm, size))

    def take(self, at: int, piece: "memoryview[int]") -> None:
        """`piece` is about to be handed out. Raises IntegrityError for the last one of other bytes than were promised."""
        if at != self._at:
            return
        self._hash.update(piece)
        self._at += len(piece)
        if self._at == self._size and (actual := self._hash.hexdigest()) != self._digest.value:
            raise IntegrityError(
                self._path, algorithm=self._digest.algorithm, expected=self._digest.value, actual=actual
            )
