"""Whose turn it is at a blob on the disk: what is being brought there must be neither removed nor written again.

A disk may take seconds for a large blob, so nobody waits who is after another one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """One thread at a time for each blob. `changed`, over the lock of whoever keeps the blobs, is told of every turn's end."""

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._taken: set[str] = set()

    def __contains__(self, blob: object) -> bool:
        """Whether somebody works at it now; asked with the lock held."""
        return blob in self._taken

    @contextmanager
    def at(self, blob: str) -> Iterator[None]:
        """Nobody else works at this blob meanwhile. Waits for whoever does, with the lock let go; not to be nested."""
        with self._changed:
            self.wait(blob)
            self._taken.add(blob)
        try:
            yield
        finally:
            with self._changed:
                self._taken.discard(blob)
                self._changed.notify_all()

    def wait(self, blob: str) -> None:
        """Until nobody works at it; called with the lock held, and holds it again after that."""
        self._changed.wait_for(lambda: blob not in self._taken)
