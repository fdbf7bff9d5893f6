"""Who reads blobs while they arrive, and which of their bytes are waited for: those are brought before all others.

A download that is read from its start needs nothing of this, because bytes come in that order anyway. Who reads a footer, or
goes on in the middle, says so here.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs

from dfly.node.gather import LONGEST_SPAN, SHORTEST_SPAN
from dfly.store.partial import Partial


@attrs.frozen
class Awaited:
    """Bytes `[start, stop)` of a blob that a reader cannot go on without."""

    start: int
    stop: int


class Readers:
    """What is waited for. Thread-safe. `watch`ers are called, in whichever thread, when that has changed; they must not block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: dict[str, dict[object, Awaited]] = {}
        self._watchers: list[Callable[[], None]] = []

    def wait_for(self, reader: object, blob: str, start: int, stop: int) -> None:
        """`reader` waits for these bytes, and for no others any more."""
        with self._lock:
            before = self._awaited.setdefault(blob, {})
            changed = before.get(reader) != Awaited(start, stop)
            before[reader] = Awaited(start, stop)
        if changed:
            self._tell()

    def leave(self, reader: object, blob: str) -> None:
        """`reader` waits no more."""
        with self._lock:
            of_blob = self._awaited.get(blob, {})
            of_blob.pop(reader, None)
            if not of_blob:
                self._awaited.pop(blob, None)

    def of(self, blob: str) -> tuple[Awaited, ...]:
        """What is waited for of a blob, the longest waiting first."""
        with self._lock:
            return tuple(self._awaited.get(blob, {}).values())

    def watch(self, told: Callable[[], None]) -> None:
        """Have `told` called, until `unwatch`."""
        with self._lock:
            self._watchers.append(told)

    def unwatch(self, told: Callable[[], None]) -> None:
        """No more."""
        with self._lock:
            self._watchers.remove(told)

    def _tell(self) -> None:
        with self._lock:
            watchers = tuple(self._watchers)
        for told in watchers:
            told()


@contextmanager
def watching(readers: Readers, told: Callable[[], None]) -> Iterator[None]:
    """Have `told` called whenever somebody begins to wait for something else."""
    readers.watch(told)
    try:
        yield
    finally:
        readers.unwatch(told)


def by_need(partial: Partial, awaited: Callable[[], Sequence[Awaited]]) -> Iterator[tuple[int, int]]:
    """The missing spans of `partial`, each once: at every step first what is waited for at that moment, then in order.

    While anybody waits they are short, so that a connection is soon free for whoever comes next.
    """
    layout = partial.layout
    length = layout.piece_length
    usual = min(max(layout.size // 64, SHORTEST_SPAN), LONGEST_SPAN)
    given = bytearray(layout.pieces)

    def lacks(piece: int) -> bool:
        return not given[piece] and not partial.has_piece(piece)

    def first(start: int, stop: int) -> int | None:
        return next((piece for piece in range(start, stop) if lacks(piece)), None)

    front = 0
    while True:
        found, waiting = None, awaited()
        most = max(1, (SHORTEST_SPAN if waiting else usual) // length)
        for each in waiting:
            found = first(each.start // length, min(-(-each.stop // length), layout.pieces))
            if found is not None:
                break
        if found is None:
            found = first(front, layout.pieces)
            if found is None:
                return
            front = found
        end = found
        while end < layout.pieces and end - found < most and lacks(end):
            given[end] = True
            end += 1
        yield found * length, min(end * length, layout.size)
