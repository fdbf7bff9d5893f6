"""Which blobs are being brought, by whom: one blob arrives once, whoever else wants it waits."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Claims:
    """Who is bringing what. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: set[str] = set()

    @contextmanager
    def taken(self, blobs: Iterable[str]) -> Iterator[set[str]]:
        """Take those that nobody else is bringing; given back when left."""
        with self._changed:
            mine = set(blobs) - self._taken
            self._taken |= mine
        try:
            yield mine
        finally:
            self.give_back(mine)

    def give_back(self, blobs: Iterable[str]) -> None:
        """These are brought, or given up. Harmless if done twice."""
        with self._changed:
            self._taken.difference_update(blobs)
            self._changed.notify_all()

    def wait(self, blobs: Iterable[str], *, until: Callable[[], bool], seconds: float) -> None:
        """Wait until somebody has given one of `blobs` back, or `until()`; at most `seconds`."""
        wanted = set(blobs)
        with self._changed:
            before = len(wanted & self._taken)
            self._changed.wait_for(lambda: until() or len(wanted & self._taken) < before, timeout=seconds)

    def __contains__(self, blob: object) -> bool:
        with self._changed:
            return blob in self._taken
