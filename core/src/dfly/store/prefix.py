"""Digests of a blob, computed in order while its pieces arrive, nearly in order: done soon after the last byte is there.

There is no hashing thread: whoever has just finished a piece carries the digests on over the gapless beginning of the
file, unless somebody is doing so. It reads the bytes back from the page cache, where they still are.
"""

import threading
from collections.abc import Callable, Iterable

from dfly.store.hashing import Hash, new_hash, read_into


class Prefix:
    """Running digests over the first `done` bytes of the open file `fd`; thread-safe. Methods raise OSError.

    `size` is that of the blob; without it, git-sha1 cannot run along and is left out.
    """

    def __init__(self, *, fd: int, algorithms: Iterable[str], size: int | None) -> None:
        self._fd = fd
        self._size = size
        self._algorithms = tuple(dict.fromkeys(a for a in algorithms if size is not None or a != "git-sha1"))
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Begin again at the first byte."""
        with self._lock:
            self.done = 0
            self._hashes: dict[str, Hash] = {name: new_hash(name, self._size) for name in self._algorithms}

    def advance(self, available: Callable[[], int], *, most: int) -> None:
        """Go on to `available()`, unless somebody is at it, for at most `most` bytes: the caller has other work too."""
        # asked again after the lock is free: a piece finished meanwhile found it taken and left it to us
        while most > 0 and self.done < available() and self._lock.acquire(blocking=False):
            try:
                stop = min(available(), self.done + most)
                most -= stop - self.done
                self._read_to(stop)
            finally:
                self._lock.release()

    def feed(self, data: bytes | memoryview) -> None:
        """Take the bytes at `done` from memory: for a file that one writer fills from its start."""
        with self._lock:
            for each in self._hashes.values():
                each.update(data)
            self.done += len(data)

    def finish(self, size: int, algorithm: str) -> str:
        """Go on to the end of the blob, however long it takes, and return one digest, hex.

        An `algorithm` that does not run along costs a pass of its own.
        """
        with self._lock:
            self._read_to(size)
            running = self._hashes.get(algorithm)
            if running is None:
                running = new_hash(algorithm, size)
                read_into([running], self._fd, 0, size)
            return running.hexdigest()

    def _read_to(self, stop: int) -> None:
        if stop > self.done:
            read_into(self._hashes.values(), self._fd, self.done, stop)
            self.done = stop
