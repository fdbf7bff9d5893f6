"""What the world may know of one blob: which of its segments can be read, told to the listener once each and in order.

Telling happens under a lock, so that a withdrawal never overtakes a segment. Asking takes none: an event loop that serves
bytes must not wait for a thread that is telling it something.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from dfly.errors import DflyError
from dfly.layout import Layout
from dfly.seed.mirroring import MirrorListener


@attrs.frozen(kw_only=True)
class BlobState:
    """A blob at one moment. `segments` maps the published segments of this `attempt` to their piece hashes."""

    attempt: int = 1
    size: int | None = None
    complete: bool = False
    sha256: str = ""
    segments: Mapping[int, bytes] = attrs.field(factory=dict, repr=False)


class Publication:
    """One blob's. `audible` False keeps the listener out of it until `speak`: nobody asked for the blob by itself.

    `path` is where the bytes are, None while there are none. `attempt` counts from 1.
    """

    def __init__(self, blob: str, listener: MirrorListener, *, audible: bool) -> None:
        self.blob = blob
        self.audible = audible
        self.path: str | None = None
        self.size: int | None = None
        self.attempt = 1
        self.sha256 = ""
        self._listener = listener
        self._layout = Layout(0)
        self._segments: dict[int, bytes] = {}
        self._telling = threading.RLock()

    @property
    def complete(self) -> bool:
        """Whether all of it is there and right."""
        return bool(self.sha256)

    def readable(self, start: int, stop: int) -> bool:
        """Whether all bytes of `[start, stop)` are published."""
        if self.size is None or not 0 <= start <= stop <= self.size:
            return False
        segments = self._segments
        return self.complete or all(index in segments for index in self._layout.segments_touched(start, stop))

    def state(self) -> BlobState:
        """All of it at one moment; of a complete blob without its segments, whose hashes the store has."""
        while True:
            attempt, segments = self.attempt, self._segments.copy()
            if attempt == self.attempt:
                return BlobState(
                    attempt=attempt, size=self.size, complete=self.complete, sha256=self.sha256, segments=segments
                )

    def place(self, path: str, size: int | None) -> None:
        """The bytes will be at `path`."""
        self.path = path
        self._measure(size)

    def segment(self, index: int, hashes: bytes, *, size: int) -> None:
        """The bytes of a segment can be read from now on."""
        with self._telling:
            if index in self._segments or self.complete:
                return
            self._measure(size)
            self._segments[index] = hashes
            if self.audible:
                self._listener.segment_published(self.blob, index, size, hashes, self.attempt)

    def finish(self, path: str, size: int, sha256: str) -> None:
        """All of it can be read and is right."""
        with self._telling:
            self.place(path, size)
            self.sha256 = sha256
            self._segments = {}
            if self.audible:
                self._listener.blob_complete(self.blob, size, sha256, self.attempt)

    def withdraw(self) -> None:
        """What this attempt published was wrong, or is lost."""
        with self._telling:
            attempt = self._forget()
            if self.audible:
                self._listener.blob_withdrawn(self.blob, attempt)

    @contextmanager
    def failing(self, error: DflyError, *, void: bool) -> Iterator[None]:
        """It cannot be had for now. `void`: what this attempt published counts no more; else it stays readable.

        The listener is told after the block, because it may ask again at once, and nothing new is told before.
        """
        with self._telling:
            if void and (self._segments or self.complete):
                self._forget()
            yield
            if self.audible:
                self._listener.blob_failed(self.blob, error)

    def speak(self) -> None:
        """Tell the listener from now on, and what it has missed."""
        with self._telling:
            if self.audible:
                return
            self.audible = True
            if self.complete:
                assert self.size is not None
                self._listener.blob_complete(self.blob, self.size, self.sha256, self.attempt)
            for index, hashes in self._segments.items():
                assert self.size is not None
                self._listener.segment_published(self.blob, index, self.size, hashes, self.attempt)

    def _measure(self, size: int | None) -> None:
        if size is not None and size != self.size:
            self._layout = Layout(size)
            self.size = size

    def _forget(self) -> int:
        attempt = self.attempt
        self._segments, self.sha256 = {}, ""
        self.attempt = attempt + 1
        return attempt
