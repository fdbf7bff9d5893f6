"""What the world may know of one blob: which of its segments can be read, told to the listener once each and in order.

    unknown ──fetched──▶ readable            told
       │  ▲                 ▲
    adopted: nodes hold it ─┴── pulled from them, or fetched after all

An adopted segment is one that an earlier seed peer published and nodes hold: its hashes are known, its bytes are not here.

Telling happens under a lock, so that a withdrawal never overtakes a segment. Asking takes none: an event loop that serves
bytes must not wait for a thread that is telling it something.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs
import structlog

from dfly.errors import DflyError
from dfly.layout import Layout
from dfly.seed.mirroring import MirrorListener

_HASH_LENGTH = 20

_log = structlog.get_logger()


@attrs.frozen(kw_only=True)
class BlobState:
    """A blob at one moment. `segments` maps the published segments of this `attempt` to their piece hashes."""

    attempt: int = 1
    size: int | None = None
    complete: bool = False
    sha256: str = ""
    segments: Mapping[int, bytes] = attrs.field(factory=dict, repr=False)

    def with_hashes(self, hashes: bytes) -> "BlobState":
        """The same of a complete blob with all its segments: `hashes` are those of its pieces, 20 bytes each."""
        layout = Layout(self.size or 0)
        pieces = {index: layout.segment_pieces(index) for index in range(layout.segments)}
        cut = {i: hashes[own.start * _HASH_LENGTH : own.stop * _HASH_LENGTH] for i, own in pieces.items()}
        return attrs.evolve(self, segments=cut)


class Publication:
    """One blob's. `audible` False keeps the listener out of it until `speak`: nobody asked for the blob by itself.

    `path` is where the bytes are, None while there are none. `attempt` counts from 1. `size` None: not known yet.
    """

    def __init__(self, blob: str, listener: MirrorListener, *, audible: bool, size: int | None = None) -> None:
        self.blob = blob
        self.audible = audible
        self.path: str | None = None
        self.size: int | None = None
        self.attempt = 1
        self.sha256 = ""
        self._listener = listener
        self._layout = Layout(0)
        self._segments: dict[int, bytes] = {}
        self._adopted: dict[int, bytes] = {}
        #: Once adopted, and held by nobody any more: what was told of them.
        self._orphaned: dict[int, bytes] = {}
        #: Published, and kept back while they are being repaired.
        self._hidden: frozenset[int] = frozenset()
        self._telling = threading.RLock()
        self._measure(size)

    @property
    def complete(self) -> bool:
        """Whether all of it is there and right."""
        return bool(self.sha256)

    @property
    def needs_origin(self) -> bool:
        """Whether something is neither here nor with nodes."""
        if self.complete:
            return False
        here, there = self._segments, self._adopted
        return self.size is None or any(i not in here and i not in there for i in range(self._layout.segments))

    def readable(self, start: int, stop: int) -> bool:
        """Whether all bytes of `[start, stop)` are published."""
        if self.size is None or not 0 <= start <= stop <= self.size:
            return False
        segments, touched = self._segments, self._layout.segments_touched(start, stop)
        if self._hidden and not self._hidden.isdisjoint(touched):
            return False
        return self.complete or all(index in segments for index in touched)

    def is_adopted(self, index: int) -> bool:
        """Whether nodes hold this segment, and it is not here."""
        return index in self._adopted

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
            told = self._adopted.pop(index, None) or self._orphaned.pop(index, None)
            if told is not None and told != hashes:
                self._disagree()
            else:
                self._tell(index)

    def adopt(self, index: int, hashes: bytes, *, size: int, attempt: int) -> bool:
        """Nodes hold a segment that an earlier seed peer published as this `attempt`. False where that is of no use here."""
        with self._telling:
            fits = size == self.size and index < self._layout.segments
            if not fits or len(hashes) != 20 * len(self._layout.segment_pieces(index)) or attempt < self.attempt:
                return False
            if attempt > self.attempt:
                self._advance(attempt)
            if self.complete:
                return True
            known = self._segments.get(index) or self._adopted.get(index)
            if known is None:
                self._orphaned.pop(index, None)
                self._adopted[index] = hashes
            return known in (None, hashes)

    def reclaim(self, index: int) -> None:
        """Nobody holds an adopted segment any more."""
        with self._telling:
            if index in self._adopted:
                self._orphaned[index] = self._adopted.pop(index)

    def finish(self, path: str, size: int, sha256: str) -> None:
        """All of it can be read and is right."""
        with self._telling:
            self.place(path, size)
            self.sha256 = sha256
            self._segments, self._adopted, self._orphaned = {}, {}, {}
            self._hidden = frozenset()
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

    def hide(self, index: int) -> None:
        """Let nobody read this segment until `show`."""
        with self._telling:
            self._hidden |= {index}

    def show(self, index: int) -> None:
        """The segment can be read again."""
        with self._telling:
            self._hidden -= {index}

    def speak(self) -> None:
        """Tell the listener from now on, and what it has missed."""
        with self._telling:
            if not self.audible:
                self.audible = True
                self._tell_all()

    def _tell_all(self) -> None:
        if self.complete and self.audible:
            assert self.size is not None
            self._listener.blob_complete(self.blob, self.size, self.sha256, self.attempt)
        for index in self._segments:
            self._tell(index)

    def _tell(self, index: int) -> None:
        if self.audible:
            assert self.size is not None
            self._listener.segment_published(self.blob, index, self.size, self._segments[index], self.attempt)

    def _advance(self, attempt: int) -> None:
        """Nodes have been told of a later attempt than ours: what is here counts as part of that one."""
        self.attempt = attempt
        self._adopted, self._orphaned = {}, {}
        self._tell_all()

    def _disagree(self) -> None:
        """Nodes hold other bytes than those that are here: ours are what everybody gets."""
        segments = self._segments
        self.withdraw()
        self._segments = segments
        self._tell_all()

    def _measure(self, size: int | None) -> None:
        if size is not None and size != self.size:
            self._layout = Layout(size)
            self.size = size

    def _forget(self) -> int:
        attempt = self.attempt
        self._segments, self._adopted, self._orphaned, self.sha256 = {}, {}, {}, ""
        self._hidden = frozenset()
        self.attempt = attempt + 1
        return attempt


def as_dfly(error: BaseException, path: str) -> DflyError:
    """An error for the world: ours as it is, another one by its type only, because its text may hold secrets."""
    if isinstance(error, DflyError):
        return error
    _log.error("blob.broke", path=path, exc_info=error)
    return DflyError(f"{path}: unexpected {type(error).__name__}", hint="the seed peer's log has the details")
