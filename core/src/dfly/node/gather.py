"""Where a blob's bytes gather before they are verified: a journalled partial on disk, or memory for a small one.

Both answer the same questions, so that an arrival need not know which it has.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs

from dfly.layout import MIB
from dfly.node.at_once import write_at_once
from dfly.store.hashing import new_hash
from dfly.store.partial import OnSegment, Partial

#: A span is at least this long, so that a request's round trip is paid by its bytes, and at most LONGEST_SPAN, so that
#: the hash in order does not fall far behind.
SHORTEST_SPAN, LONGEST_SPAN = 4 * MIB, 64 * MIB

Span = tuple[int, int | None]


class Writer(Protocol):
    """Takes the bytes of one span in order; closed only when the span is complete."""

    def write(self, data: bytes) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Gathering(Protocol):
    """Where bytes gather."""

    @property
    def had(self) -> int:
        """Bytes left from an earlier run."""

    def spans(self, *, whole: bool) -> Iterator[Span]:
        """What is missing, in order; `whole` starts over with one span."""

    def writer(self, start: int, stop: int | None) -> Writer:
        """For one span."""

    def digest(self, algorithm: str) -> str:
        """Hex, of the complete blob."""

    def size(self) -> int:
        """Bytes, of the complete blob."""

    def commit(self, final: str) -> None:
        """Make the bytes the file `final`, in one step."""

    def reset(self) -> None:
        """Forget all bytes."""

    def close(self) -> None:
        """Keep what can be kept for another run."""


@attrs.define(eq=False)
class OnDisk:
    """Gathers in a `Partial`: resumable, hashed in order while it arrives.

    With `keep`, a commit leaves the partial in place (one inode, two names), because the swarm still reads it; `discard`
    removes it in the end.
    """

    partial: Partial
    keep: bool = False

    @classmethod
    def open(
        cls,
        directory: str,
        *,
        blob: str,
        size: int | None,
        validator: str | None,
        algorithms: Sequence[str],
        on_segment: OnSegment,
        keep: bool = False,
        wait: float = 0.0,
        cancel: threading.Event | None = None,
    ) -> "OnDisk":
        """Begin, or go on from an earlier run. Raises InUse where another process is at it for longer than `wait` s."""
        partial = Partial.open(
            directory,
            blob=blob,
            size=size,
            validator=validator,
            algorithms=tuple(algorithms),
            hash_pieces=keep,
            on_segment=on_segment,
            wait=wait,
            cancel=cancel,
        )
        return cls(partial, keep)

    @property
    def had(self) -> int:
        """Bytes left from an earlier run."""
        return self.partial.had

    def spans(self, *, whole: bool) -> Iterator[Span]:
        """See Gathering."""
        size = self.partial.size
        if size is None or whole:
            self.partial.reset()
            yield 0, size
            return
        layout = self.partial.layout
        length = min(max(size // 64, SHORTEST_SPAN), LONGEST_SPAN)
        missing = self.partial.missing_segments()
        yield from self.partial.missing_spans(missing, pieces=max(1, length // layout.piece_length))

    def writer(self, start: int, stop: int | None) -> Writer:
        """See Gathering."""
        return self.partial.writer(start, stop)

    def digest(self, algorithm: str) -> str:
        """See Gathering."""
        return self.partial.digest(algorithm)

    def size(self) -> int:
        """See Gathering."""
        return os.stat(self.partial.path).st_size

    def commit(self, final: str) -> None:
        """See Gathering."""
        if self.keep:
            self.partial.expose(final)
        else:
            self.partial.commit(final)

    def reset(self) -> None:
        """See Gathering."""
        self.partial.reset()

    def discard(self) -> None:
        """Remove the partial; outputs stay."""
        self.partial.discard()

    def close(self) -> None:
        """See Gathering. What another run could not go on with is removed."""
        if self.partial.fd >= 0 and not self.partial.worth_keeping:
            self.partial.discard()
        self.partial.close()


class InMemory:
    """Gathers a small blob in memory and writes it in one go: thousands of small files need no journal each."""

    had = 0

    def __init__(self, hidden: str, size: int) -> None:
        self._hidden = hidden
        self._size = size
        self._data = bytearray()

    @property
    def data(self) -> bytearray:
        """What has gathered."""
        return self._data

    def spans(self, *, whole: bool) -> Iterator[Span]:  # noqa: ARG002 - it is always one span
        """See Gathering."""
        self._data.clear()
        yield 0, self._size

    def writer(self, start: int, stop: int | None) -> Writer:  # noqa: ARG002 - it is always one span
        """See Gathering."""
        self._data.clear()
        return self

    def write(self, data: bytes) -> None:
        """See Writer."""
        self._data += data

    def digest(self, algorithm: str) -> str:
        """See Gathering."""
        running = new_hash(algorithm, len(self._data))
        running.update(self._data)
        return running.hexdigest()

    def size(self) -> int:
        """See Gathering."""
        return len(self._data)

    def commit(self, final: str) -> None:
        """See Gathering."""
        write_at_once(self._data, final, hidden=self._hidden)
        self._data.clear()

    def reset(self) -> None:
        """See Gathering."""
        self._data.clear()

    def close(self) -> None:
        """See Gathering; nothing in memory can be kept."""
