"""The event stream of one task: lines that all nodes see alike, encoded once, and a few that only one node sees.

A thousand nodes listen. What all of them get is one log of bytes, in which each listener is an index; what is new is joined and
framed once for all that stand at the same line, and written to each connection once per flush, without a task in between.
A listener's own lines (ring, entry duty) go out before the shared ones of the same flush, so that a node knows its duty when it
hears of the segment. Who cannot follow is disconnected: it comes back and goes on after the last line it has.
"""

import secrets
from collections.abc import Iterable
from typing import Protocol

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
        self._chunks: dict[int, bytes] = {}
        self._beginning: bytes | None = None

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, message: Segment | Blob | Failed) -> None:
        """Number, encode and keep a line."""
        at = len(self._lines)
        line = attrs.evolve(message, seq=at + 1).encode()
        self._lines.append(line)
        self._ends.append(self._ends[-1] + len(line))
        self._chunks.clear()
        self._beginning = None
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
        self._beginning = None

    def begin(self, after: str) -> tuple[bytes, int]:
        """The first bytes for a listener that has heard all up to `after` ("epoch.seq"), and the line at which it goes on."""
        epoch, _, seq = after.rpartition(".")
        if epoch == self.epoch and len(seq) < 16 and seq.isascii() and seq.isdigit():
            return b"".join(self._lines[int(seq) :]), len(self._lines)
        if self._beginning is None:
            current = [at for segments in self._segments.values() for at in segments.values()]
            current += [*self._complete.values(), *self._failed.values()]
            self._beginning = b"".join(self._lines[at] for at in sorted(current))
        return self._beginning, len(self._lines)

    def chunk_since(self, line: int) -> bytes:
        """All lines from number `line` (from 0) on, as one chunk; empty where there are none."""
        if line >= len(self._lines):
            return b""
        if line not in self._chunks:
            self._chunks[line] = chunk(b"".join(self._lines[line:]))
        return self._chunks[line]

    def bytes_since(self, line: int) -> int:
        """How many bytes these are."""
        return self._ends[-1] - self._ends[line]


class Outlet(Protocol):
    """The connection of one listener. Nothing here waits."""

    def takes(self) -> bool:
        """Whether it takes more now, or has enough that the other end has not read."""

    def write(self, *chunks: bytes) -> None:
        """Send chunks (see `chunk`), one after the other; nothing where the other end has gone."""

    def end(self) -> None:
        """Nothing more will be written."""

    def abort(self) -> None:
        """Cut the connection."""


def chunk(data: bytes) -> bytes:
    r"""Some of a body as HTTP frames it. Framed here, so that it is done once for a thousand connections.

    >>> chunk(b"hello")
    b'5\r\nhello\r\n'
    """
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def unframed(chunk: bytes) -> bytes:
    """What is in a chunk."""
    return chunk.partition(b"\r\n")[2][:-2]


class Listener:
    """One node's end of the stream. From `go` on each flush writes to its outlet by itself: a task for each would cost more."""

    def __init__(self, *, node: str, log: EventLog, after: str, outlet: Outlet, largest_lag: int) -> None:
        self.node = node
        self._log = log
        self._outlet = outlet
        self._largest_lag = largest_lag
        # the beginning may be long: it does not count as lag
        self._beginning, self._line = log.begin(after)
        self._own: list[bytes] = []
        self._ring_at: int | None = None
        self._live = False
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

    def begin(self) -> tuple[bytes, bytes]:
        """What to write before `go`: the lines for this node so far, and what was said before it came."""
        beginning, self._beginning = self._beginning, b""
        return self._take_own(), beginning

    def go(self) -> None:
        """The beginning is out."""
        self._live = True
        if self.closed:
            self._send()
            self._outlet.end()
        self.flush()

    def flush(self) -> bool:
        """Send what has gathered; False where it must wait. A node that cannot follow is cut off."""
        if self.closed:
            return True
        if self._live and self._outlet.takes():
            self._send()
            return True
        if self._log.bytes_since(self._line) + sum(map(len, self._own)) > self._largest_lag:
            self.closed = True
            self._outlet.abort()
        return self.closed

    def close(self) -> None:
        """End the stream after what has gathered."""
        if self._live and not self.closed:
            self._send()
            self._outlet.end()
        self.closed = True

    def _send(self) -> None:
        shared, self._line = self._log.chunk_since(self._line), len(self._log)
        if self._own:
            self._outlet.write(chunk(self._take_own()), shared)
        elif shared:
            self._outlet.write(shared)

    def _take_own(self) -> bytes:
        own = b"".join(self._own)
        self._own.clear()
        self._ring_at = None
        return own


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

    def listen(self, node: str, *, after: str, outlet: Outlet) -> Listener:
        """Open a stream; one that the same node has open is closed."""
        if node in self._listeners:
            self._listeners[node].close()
        listener = Listener(node=node, log=self.log, after=after, outlet=outlet, largest_lag=self._largest_lag)
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
        self._dirty = {listener: None for listener in concerned if not listener.flush()}

    def close(self) -> None:
        """End all streams."""
        for listener in self._listeners.values():
            listener.close()
