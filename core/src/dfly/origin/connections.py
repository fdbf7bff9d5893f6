"""Connections straight to an origin, HTTP/1.1: h11 reads the heads, and a body of known length comes as it leaves the socket.

httpx's own transport passes every byte through h11, which copies it three times: a fifth of the time that a fast link takes for a
large file. What has no known length (chunked, or until the connection ends) goes through h11 here too. Connecting and TLS are
httpcore's. Behind a proxy httpx's own transport is used (`dfly.origin.client`).
"""

import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import h11
import httpcore
import httpx

from dfly.origin.sockets import WIDTH, Wire, as_httpx

#: For the head of an answer, and for what comes in chunks.
_NARROW = 64 << 10
_LARGEST_HEAD = 100 << 10
#: Seconds.
_MOMENT = 0.1

_Place = tuple[str, bytes, int]
_PORTS = {"http": 80, "https": 443}


class Connections(httpx.BaseTransport):
    """As many connections as there are requests at a time; idle ones are kept for `keepalive` seconds. Thread-safe.

    `context` is made by the first https request. `leaving_by` goes to `network`'s `connect_tcp`. `cancel` ends the wait for
    servers that say nothing.
    """

    def __init__(
        self,
        *,
        context: Callable[[], ssl.SSLContext],
        keepalive: float,
        network: httpcore.NetworkBackend | None = None,
        leaving_by: dict[str, Any] | None = None,
        cancel: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_context = context
        self._context: ssl.SSLContext | None = None
        self._keepalive = keepalive
        self._network = network or httpcore.SyncBackend()
        self._leaving_by = {"socket_options": [], **(leaving_by or {})}
        self._cancel = cancel
        self._clock = clock
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._all: set[_Connection] = set()
        self._idle: dict[_Place, list[_Connection]] = defaultdict(list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body unread. Raises httpx's errors, Cancelled, and what `context` and `network` raise."""
        url = request.url
        if url.scheme not in _PORTS or not url.raw_host:
            raise httpx.UnsupportedProtocol(f"not a web address: {url.scheme}://")
        place = (url.scheme, url.raw_host, url.port or _PORTS[url.scheme])
        timeouts = request.extensions.get("timeout", {})
        with as_httpx():
            connection = self._waiting(place) or self._opened(place, timeouts.get("connect"))
            return connection.answer(request, timeouts)

    def close(self) -> None:
        """Close all connections, those in use too."""
        with self._lock:
            everything, self._all = self._all, set()
            self._idle.clear()
        for connection in everything:
            connection.wire.close()

    def _waiting(self, place: _Place) -> "_Connection | None":
        """One that was used before, and that the server has not closed meanwhile."""
        while True:
            with self._lock:
                if not self._idle[place]:
                    return None
                # the last one used: the others may run out
                connection = self._idle[place].pop()
            left = connection.good_until - self._clock()
            # to look costs as much as to send: not where it was used a moment ago
            if left > 0 and (self._keepalive - left < _MOMENT or not connection.wire.readable):
                return connection
            self._drop(connection)

    def _opened(self, place: _Place, timeout: float | None) -> "_Connection":
        scheme, raw_host, port = place
        host = raw_host.decode("ascii")
        context = self._tls() if scheme == "https" else None
        stream = self._network.connect_tcp(host, port, timeout=timeout, **self._leaving_by)
        if context is not None:
            stream = stream.start_tls(context, server_hostname=host, timeout=timeout)
        connection = _Connection(Wire(stream, cancel=self._cancel), over=partial(self._over, place))
        with self._lock:
            self._all.add(connection)
        return connection

    def _tls(self) -> ssl.SSLContext:
        with self._making:
            if self._context is None:
                self._context = self._make_context()
                self._context.set_alpn_protocols(["http/1.1"])
            return self._context

    def _over(self, place: _Place, connection: "_Connection", *, again: bool) -> None:
        """A request of this connection is over; it can serve another where `again`."""
        now = self._clock()
        with self._lock:
            expired = [others.pop(0) for others in self._idle.values() if others and others[0].good_until < now]
            if again and connection in self._all:
                connection.good_until = now + self._keepalive
                self._idle[place].append(connection)
            else:
                expired.append(connection)
        for each in expired:
            self._drop(each)

    def _drop(self, connection: "_Connection") -> None:
        with self._lock:
            self._all.discard(connection)
        connection.wire.close()


class _Connection:
    """One connection, used by one thread at a time. `over(self, again=…)` is called after each request."""

    def __init__(self, wire: "Wire", *, over: Callable[..., None]) -> None:
        self.wire = wire
        self.good_until = 0.0
        self._over = over
        self._state = _conversation()

    def answer(self, request: httpx.Request, timeouts: dict[str, float | None]) -> httpx.Response:
        try:
            # a server may refuse in the middle of a body and close: then what it says is worth more than the failure
            sent = self._ask(request, timeouts.get("write"))
            head = self._head(timeouts.get("read"))
        except BaseException:
            self._over(self, again=False)
            raise
        length = _length(request, head)
        if length is None or not sent:
            stream: _Body = _Framed(self, timeouts.get("read"))
        else:
            stream = _Straight(self, timeouts.get("read"), length)
        return httpx.Response(
            head.status_code,
            headers=head.headers.raw_items(),
            stream=stream,
            extensions={
                "http_version": b"HTTP/" + head.http_version,
                "reason_phrase": head.reason,
                "network_stream": self.wire.stream,
            },
        )

    def _ask(self, request: httpx.Request, timeout: float | None) -> bool:
        """Send the request; False where the other side would not take all of it."""
        state, write = self._state, self.wire.write
        head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
        try:
            write(state.send(head) or b"", timeout)
            body = request.stream
            assert isinstance(body, Iterable)
            for part in body:
                if part:
                    write(state.send(h11.Data(data=part)) or b"", timeout)
            write(state.send(h11.EndOfMessage()) or b"", timeout)
        except httpx.WriteError:
            return False
        return True

    def _head(self, timeout: float | None) -> h11.Response:
        while True:
            event = self.next_event(timeout)
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise httpx.RemoteProtocolError("the server sent no answer")

    def next_event(self, timeout: float | None) -> Any:
        """What comes next, as h11 has it."""
        while (event := self._state.next_event()) is h11.NEED_DATA:
            data = self.wire.read(_NARROW, timeout)
            if not data and self._state.their_state is h11.SEND_RESPONSE:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
            self._state.receive_data(data)
        return event

    @property
    def beginning(self) -> bytes:
        """What of the body has come with the head."""
        begun: bytes = self._state.trailing_data[0]
        return begun

    def end(self, *, read: bool) -> None:
        """Of the current request; `read` where the body has come whole, not through h11."""
        if read:
            again = self._state.our_state is h11.DONE
            self._state = _conversation()
        else:
            again = self._state.our_state is h11.DONE and self._state.their_state is h11.DONE
            if again:
                self._state.start_next_cycle()
        self._over(self, again=again)


class _Body(httpx.SyncByteStream):
    """The body of an answer; closed before its end, it takes the connection with it."""

    def __init__(self, connection: _Connection, timeout: float | None) -> None:
        self._connection, self._timeout = connection, timeout
        self._open = True
        self._read = False

    def close(self) -> None:
        """The connection can serve others, or is closed."""
        if self._open:
            self._open = False
            self._connection.end(read=self._read)


class _Straight(_Body):
    """`length` bytes, from the socket."""

    def __init__(self, connection: _Connection, timeout: float | None, length: int) -> None:
        super().__init__(connection, timeout)
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        begun = self._connection.beginning
        if len(begun) > self._length:
            # more than it promised: whatever that is, this connection is of no more use
            yield begun[: self._length]
            return
        if begun:
            yield begun
        left, read, timeout = self._length - len(begun), self._connection.wire.read, self._timeout
        while left:
            data = read(min(left, WIDTH), timeout)
            if not data:
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body "
                    f"(received {self._length - left} bytes, expected {self._length})"
                )
            left -= len(data)
            yield data
        self._read = True


class _Framed(_Body):
    """Whatever h11 says belongs to it."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with as_httpx():
                event = self._connection.next_event(self._timeout)
            if not isinstance(event, h11.Data):
                return
            yield bytes(event.data)


def _conversation() -> h11.Connection:
    return h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)


def _length(request: httpx.Request, head: h11.Response) -> int | None:
    """How long the body is; None where that is not told beforehand, or is h11's to know."""
    if request.method in ("HEAD", "CONNECT") or head.status_code in (204, 304):
        return None
    found: int | None = None
    for name, value in head.headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            found = int(value)  # h11 has checked that it is a number, and that there is one
    return found
