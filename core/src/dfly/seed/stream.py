"""The event stream of one task: lines that all nodes see alike, encoded once, and a few that only one node sees.

A thousand nodes listen. What all of them get is one log of bytes, in which each listener is an index; what is new is joined once
for all that stand at the same line, and written once per flush and stream. A listener's own lines (ring, entry duty) go out
before the shared ones of the same flush, so that a node knows its duty when it hears of the segment. Who cannot follow is
disconnected: it comes back and goes on after the last line it has.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable

import attrs

from dfly.wire import Blob, Failed, Message, Ring, Segment

#: Seconds between flushes, and between signs of life.
FLUSH, HEARTBEAT = 0.05, 5.0
#: Bytes that a listener may be behind.
LARGEST_LAG = 4 << 20


class EventLog:
    """The shared lines of a task, numbered from 1. `epoch` is another one each time the log begins."""

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(6)
        self._lines: list[bytes] = []
        self._ends: list[int] = [0]
        #: What a newcomer must hear: of each blob its segments so far by number, or one line that says it all.
        self._segments: dict[str, dict[int, int]] = {}
        self._complete: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._joined: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, message: Segment | Blob | Failed) -> None:
        """Number, encode and keep a line."""
        at = len(self._lines)
        line = attrs.evolve(message, seq=at + 1).encode()
        self._lines.append(line)
        self._ends.append(self._ends[-1] + len(line))
        self._joined.clear()
        self._failed.pop(message.blob, None)
        if isinstance(message, Segment):
            self._segments.setdefault(message.blob, {})[message.index] = at
        elif isinstance(message, Failed):
            self._failed[message.blob] = at
        else:
            self._segments.pop(message.blob, None)
            self._complete.pop(message.blob, None)
            if message.state == "complete":
                self._complete[message.blob] = at

    def forgive(self) -> None:
        """What failed is being tried again: newcomers need not hear of it."""
        self._failed.clear()

    def begin(self, after: str) -> tuple[bytes, int]:
        """The first bytes for a listener that has heard all up to `after` ("epoch.seq"), and the line at which it goes on."""
        epoch, _, seq = after.rpartition(".")
        if epoch == self.epoch and len(seq) < 16 and seq.isascii() and seq.isdigit():
            return self.since(int(seq)), len(self._lines)
        current = [at for segments in self._segments.values() for at in segments.values()]
        current += [*self._complete.values(), *self._failed.values()]
        return b"".join(self._lines[at] for at in sorted(current)), len(self._lines)

    def since(self, line: int) -> bytes:
        """All lines from number `line` (from 0) on."""
        if line >= len(self._lines):
            return b""
        if line not in self._joined:
            self._joined[line] = b"".join(self._lines[line:])
        return self._joined[line]

    def bytes_since(self, line: int) -> int:
        """How many bytes these are."""
        return self._ends[-1] - self._ends[line]


class Listener:
    """One node's end of the stream. `abort` cuts its connection."""

    def __init__(self, *, node: str, log: EventLog, after: str, abort: Callable[[], None], largest_lag: int) -> None:
        self.node = node
        self._log = log
        self._abort = abort
        self._largest_lag = largest_lag
        # the beginning may be long: it does not count as lag
        self._beginning, self._line = log.begin(after)
        self._own: list[bytes] = []
        self._ring_at: int | None = None
        self._wake = asyncio.Event()
        self.closed = False

    def tell(self, messages: Iterable[Message]) -> None:
        """Lines for this node alone, to go out with the next flush. Of two rings that are not out yet the first is void."""
        for message in messages:
            if isinstance(message, Ring):
                if self._ring_at is not None:
                    self._own[self._ring_at] = b""
                self._ring_at = len(self._own)
            self._own.append(message.encode())

    def tell_line(self, line: bytes) -> None:
        """The same for a line that is encoded already."""
        self._own.append(line)

    def flush(self) -> bool:
        """Send what has gathered. False where the node cannot follow and was cut off."""
        lag = self._log.bytes_since(self._line) + sum(map(len, self._own))
        if lag > self._largest_lag:
            self.close()
            self._abort()
            return False
        if lag or self._beginning:
            self._wake.set()
        return True

    def close(self) -> None:
        """End the stream after what has gathered."""
        self.closed = True
        self._wake.set()

    async def batches(self) -> AsyncIterator[bytes]:
        """What to write, flush by flush, until closed."""
        while True:
            batch = self._take()
            if batch:
                yield batch
            elif self.closed:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    def _take(self) -> bytes:
        own, beginning, line = b"".join(self._own), self._beginning, self._line
        self._own.clear()
        self._ring_at, self._beginning, self._line = None, b"", len(self._log)
        return own + beginning + self._log.since(line)


class Broadcast:
    """All listeners of one task. Used from the event loop only."""

    def __init__(self, *, largest_lag: int = LARGEST_LAG) -> None:
        self.log = EventLog()
        self._largest_lag = largest_lag
        self._listeners: dict[str, Listener] = {}
        self._dirty: dict[Listener, None] = {}
        self._flushed = 0

    def __len__(self) -> int:
        return len(self._listeners)

    def listen(self, node: str, *, after: str, abort: Callable[[], None]) -> Listener:
        """Open a stream; one that the same node has open is closed."""
        if node in self._listeners:
            self._listeners[node].close()
        listener = Listener(node=node, log=self.log, after=after, abort=abort, largest_lag=self._largest_lag)
        self._listeners[node] = listener
        return listener

    def drop(self, listener: Listener) -> bool:
        """A connection has ended. False where the node has another one by now."""
        self._dirty.pop(listener, None)
        if self._listeners.get(listener.node) is not listener:
            return False
        del self._listeners[listener.node]
        return True

    def tell(self, node: str, messages: Iterable[Message]) -> None:
        """Own lines for a node; nothing where it does not listen."""
        listener = self._listeners.get(node)
        if listener is not None:
            listener.tell(messages)
            self._dirty[listener] = None

    def tell_all(self, message: Message) -> None:
        """A line for everybody that is not numbered."""
        line = message.encode()
        for listener in self._listeners.values():
            listener.tell_line(line)
            self._dirty[listener] = None

    def flush(self) -> None:
        """Let everybody write what is new."""
        grown = len(self.log) > self._flushed
        concerned = list(self._listeners.values()) if grown else list(self._dirty)
        self._flushed = len(self.log)
        self._dirty.clear()
        for listener in concerned:
            listener.flush()

    def close(self) -> None:
        """End all streams."""
        for listener in self._listeners.values():
            listener.close()
