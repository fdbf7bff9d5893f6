"""What a dfget and the daemon say to each other on the unix socket: lines of JSON, and descriptors beside them.

    dfget                                       daemon
    ask      what, with which options     ──▶   resolved   the snapshot     | declined   go by yourself | error
    bring    which of its entries         ──▶   event …    as `dfly.events`
                                                lent …     entries, size; one open descriptor travels with the line
                                                done                        | error

A dfget that closes its end wants nothing more. A descriptor is never later than its line: the kernel does not move it past the
bytes it was sent with. HTTP clients use the same socket; no line of theirs begins with `{`.
"""

import array
import errno
import json
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from dfly import events
from dfly.errors import DflyError
from dfly.events import Event

VERSION = 1
#: A snapshot of a million files is the longest line.
LONGEST = 512 << 20
_CHUNK, _MOST_FDS = 256 << 10, 64

Line = dict[str, Any]


class ProtocolError(DflyError):
    """The other end speaks another language."""

    usual_hint = "are dfget and dfdaemon of the same release?"


class Channel:
    """One end of a connected socket. Sending and receiving may happen in two threads, but not in three.

    `takes` descriptors, or leaves to the kernel to close what the other end pushes.
    """

    def __init__(self, sock: socket.socket, *, takes: bool, longest: int = LONGEST) -> None:
        self._sock = sock
        self._longest = longest
        self._room = socket.CMSG_SPACE(_MOST_FDS * 4) if takes else 0
        self._buffer = bytearray()
        self._looked = 0
        self._fds: deque[int] = deque()

    def send(self, line: Mapping[str, Any], *, fd: int | None = None) -> None:
        """One line, and a descriptor beside it. Raises OSError."""
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if fd is None:
            self._sock.sendall(data)
            return
        beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        sent = 0
        while not sent:
            try:
                sent = self._sock.sendmsg([data], beside)
            except OSError as error:
                # so many descriptors are on their way to this user that the kernel wants some to arrive first
                if error.errno != errno.ETOOMANYREFS:
                    raise
                time.sleep(0.01)
        self._sock.sendall(data[sent:])

    def receive(self, *, ready: Callable[[], None] | None = None) -> Line | None:
        """The next line; None where the other end has closed. `ready`, where given, waits until there is something to read.

        Raises OSError (TimeoutError as the socket is set), ProtocolError, and what `ready` raises.
        """
        while (end := self._buffer.find(b"\n", self._looked)) < 0:
            self._looked = len(self._buffer)
            if self._looked > self._longest:
                raise ProtocolError("an endless line")
            if ready is not None:
                ready()
            data, beside, flags, _ = self._sock.recvmsg(_CHUNK, self._room, socket.MSG_CMSG_CLOEXEC)
            self._take(beside)
            if self._room and flags & socket.MSG_CTRUNC:
                raise ProtocolError(
                    "a descriptor was lost on the way", hint="raise the limit of open files (ulimit -n)"
                )
            if not data:
                return None
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._looked = 0
        return _parsed(line)

    def take_fd(self) -> int:
        """The descriptor that came with the line just received; the caller closes it. Raises ProtocolError."""
        if not self._fds:
            raise ProtocolError("a file was announced and none came")
        return self._fds.popleft()

    def close(self) -> None:
        """End the connection, with the descriptors that nobody took. Harmless if done twice."""
        while self._fds:
            os.close(self._fds.popleft())
        self._sock.close()

    def _take(self, beside: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in beside:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self._fds.extend(found)


def event_line(event: Event) -> Line:
    """An event as a line."""
    return {"t": "event", "event": event.as_dict()}


def event_from(line: Line) -> Event | None:
    """The event of a line; None for a kind that this release does not know."""
    said = line.get("event")
    fields = dict(said) if isinstance(said, dict) else {}
    kind = _EVENTS.get(str(fields.pop("event", "")))
    fields.pop("time", None)
    try:
        return kind(**fields) if kind else None
    except TypeError:
        return None


def error_line(error: BaseException) -> Line:
    """An error as a line."""
    if isinstance(error, DflyError):
        return {"t": "error", "error": type(error).__name__, "message": error.message, "hint": error.hint}
    return {
        "t": "error",
        "error": "DflyError",
        "message": f"the daemon met an error of its own: {type(error).__name__}",
        "hint": "its log says more",
    }


def field(line: Line, name: str, kind: type, default: Any = None) -> Any:
    """One field of a line. Raises ProtocolError where it is missing or of another kind."""
    value = line.get(name, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"{name} of {line.get('t', 'a line')!s:.40} is not what it should be")
    return value


def _parsed(line: bytes) -> Line:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line is not JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("a line is not an object")
    return value


_EVENTS = {kind.name: kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
