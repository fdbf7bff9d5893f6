"""The other end of the socket: what `dfly.fetch` borrows from. Imports nothing of the daemon itself."""

import os
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from dfly import tracing
from dfly.config import Fetch, Joining
from dfly.daemon.finding import find
from dfly.daemon.protocol import VERSION, Channel, Line, event_from, field
from dfly.errors import Cancelled, DflyError, OriginUnavailable, RateLimited
from dfly.events import Event, Listener
from dfly.node.lending import Given, LenderLost, Lent
from dfly.node.revival import revive
from dfly.values import Entry, Snapshot
from dfly.wire import Ask, snapshot_from_json

#: What a daemon meets at the source that its caller would meet as well.
_SAME_FOR_ALL = (OriginUnavailable, RateLimited)


class Daemon:
    """The daemon behind the socket at `path`. What `joining` says of seed peers, it must be able to keep to."""

    def __init__(self, path: str, joining: Joining | None = None) -> None:
        self.path = path
        self._joining = joining or Joining()

    @classmethod
    def find(cls, joining: Joining | None = None) -> Self | None:
        """The daemon of this machine that may be trusted, None where there is none."""
        path = find()
        return cls(path, joining) if path else None

    def resolve(self, ask: Ask, given: Given, *, settings: Fetch, stop: threading.Event) -> "Borrowed | None":
        """See `dfly.node.lending.Lender`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self.path)
        except OSError:
            sock.close()
            return None
        connection = _Connection(sock, stop)
        try:
            connection.send(
                {
                    "t": "ask",
                    "version": VERSION,
                    "url": ask.url,
                    "recursive": ask.recursive,
                    "include": list(ask.include),
                    "exclude": list(ask.exclude),
                    "lazy": ask.lazy,
                    "options": dict(given),
                    "seed_peers": list(self._joining.seed_peers),
                    "back_to_source": self._joining.back_to_source,
                    "concurrency": settings.concurrency,
                    "limit_rate": settings.limit_rate,
                    "traceparent": tracing.current(),
                }
            )
            return _loan(connection)
        except _SAME_FOR_ALL:
            connection.close()
            raise
        except Cancelled:
            connection.close()
            raise
        except DflyError:
            # what the daemon cannot, this process may be able to; where it cannot either, it says so in its own words
            connection.close()
            return None


def _loan(connection: "_Connection") -> "Borrowed | None":
    said: list[Event] = []
    while (line := connection.receive())["t"] == "event":
        if (event := event_from(line)) is not None:
            said.append(event)
    if line["t"] != "resolved":
        connection.close()
        return None
    return Borrowed(connection, snapshot_from_json(field(line, "snapshot", dict)), said)


class Borrowed:
    """See `dfly.node.lending.Loan`; `said` is what there was to tell before the snapshot."""

    def __init__(self, connection: "_Connection", snapshot: Snapshot, said: Sequence[Event] = ()) -> None:
        self.snapshot = snapshot
        self._connection, self._said = connection, said

    def bring(self, entries: Sequence[Entry], *, emit: Listener, stop: threading.Event) -> Iterator[Lent]:
        """See `dfly.node.lending.Loan`. The connection was made to end with the same `stop`."""
        assert stop is self._connection.stop
        for told in self._said:
            emit(told)
        listed = self.snapshot.entries
        wanted = set(entries)
        lacking = {n for n, entry in enumerate(listed) if entry in wanted}
        self._connection.send({"t": "bring", "entries": sorted(lacking)})
        while True:
            line = self._connection.receive()
            match line["t"]:
                case "event":
                    if (event := event_from(line)) is not None:
                        emit(event)
                case "lent":
                    fd = self._connection.take_fd()
                    numbers = field(line, "entries", list)
                    lacking.difference_update(numbers)
                    yield Lent(entries=tuple(listed[n] for n in numbers), fd=fd, size=field(line, "size", int))
                case "done":
                    if lacking:
                        raise LenderLost(f"the daemon has kept back {len(lacking)} of the files that were wished for")
                    return

    def close(self) -> None:
        """See `dfly.node.lending.Loan`."""
        self._connection.close()


class _Connection:
    """A channel whose waits end with `stop`, and whose end is LenderLost."""

    def __init__(self, sock: socket.socket, stop: threading.Event) -> None:
        self._sock, self.stop = sock, stop
        self._channel = Channel(sock, takes=True)

    def send(self, line: Line) -> None:
        try:
            self._channel.send(line)
        except OSError as error:
            raise LenderLost(f"the daemon has gone: {os.strerror(error.errno or 0)}") from error

    def receive(self) -> Line:
        """The next line. Raises what an error line names, LenderLost, Cancelled."""
        try:
            line = self._channel.receive(ready=self._wait)
        except OSError as error:
            raise LenderLost(f"the daemon has gone: {os.strerror(error.errno or 0)}") from error
        if line is None:
            raise LenderLost("the daemon has gone")
        if line.get("t") == "error":
            raise revive(field(line, "error", str), field(line, "message", str), field(line, "hint", str, ""))
        field(line, "t", str)
        return line

    def take_fd(self) -> int:
        return self._channel.take_fd()

    def close(self) -> None:
        self._channel.close()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        while not self.stop.is_set():
            if poll.poll(100):
                return
        raise Cancelled
