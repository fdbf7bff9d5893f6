"""Thousands of simulated nodes in one thread: their event streams, and reports as often as from real ones, as cheap as can be.

What all nodes hear is the same sequence of segments, so a node is told apart by how many it has heard of: nothing is parsed, the
marks of segments in what a socket gave are counted. Reports go over a few connections in turn, which at the seed peer cost what
they cost over one a node.
"""

import contextlib
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

import attrs

from bench.scale_seed import Programme
from dfly.node.reporting import interval
from dfly.wire import Report

_MARK = b'"t":"segment"'
#: Connections over which all nodes' reports go.
_REPORTERS = 32
#: Nodes that join within 20 ms: a rack is switched on, not a stampede.
_TOGETHER = 20
_MOST = 1 << 18


@attrs.define(eq=False)
class Node:
    """One event stream. `heard` counts segments, `told` those that were reported."""

    number: int
    socket: socket.socket
    heard: int = 0
    told: int = 0
    received: int = 0
    _rest: bytes = b""

    def read(self) -> int:
        """How many segments more were heard of. Raises ConnectionError at the end of the stream."""
        with contextlib.suppress(BlockingIOError):
            data = self.socket.recv(_MOST)
            if not data:
                raise ConnectionError(f"the stream of node{self.number} has ended")
            self.received += len(data)
            data = self._rest + data
            self._rest = data[-len(_MARK) + 1 :]
            fresh = data.count(_MARK)
            self.heard += fresh
            return fresh
        return 0


@attrs.define(eq=False)
class Reporter:
    """One connection for reports, one request at a time: `since` when the one under way was sent, None while idle."""

    socket: socket.socket
    since: float | None = None
    _answer: bytes = b""

    def send(self, request: bytes) -> None:
        """Begin a request."""
        self.since, self._answer = time.monotonic(), b""
        self.socket.sendall(request)

    def read(self) -> float | None:
        """Seconds that the request took, once it is answered. Raises ConnectionError where it was refused."""
        self._answer += self.socket.recv(1 << 16)
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or self.since is None:
            return None
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        if b" 200 " not in head[:16]:
            raise ConnectionError(f"a report was refused: {self._answer[:500]!r}")
        if len(body) < length:
            return None
        took, self.since = time.monotonic() - self.since, None
        return took


@attrs.define(eq=False)
class Nodes:
    """All nodes of `task` at the seed peer at `host`:`port`, which will tell of `programme`.

    `last` are the monotonic times at which the last node heard of each segment, `first` those of the first one.
    """

    host: str
    port: int
    task: str
    programme: Programme
    nodes: list[Node] = attrs.field(factory=list)
    first: list[float] = attrs.field(factory=list)
    last: list[float] = attrs.field(factory=list)
    report_times: list[float] = attrs.field(factory=list)
    late: int = 0
    _selector: selectors.DefaultSelector = attrs.field(factory=selectors.DefaultSelector)
    _idle: list[Reporter] = attrs.field(factory=list)
    _due: deque[Node] = attrs.field(factory=deque)
    _bodies: dict[tuple[int, int], bytes] = attrs.field(factory=dict)
    _names: list[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._names = self.programme.names

    def join(self, count: int) -> None:
        """Open so many streams, and wait until each has begun."""
        for _ in range(_REPORTERS):
            reporter = Reporter(self._connect())
            self._idle.append(reporter)
            self._selector.register(reporter.socket, selectors.EVENT_READ, reporter)
        for number in range(count):
            node = Node(number, self._connect())
            self.nodes.append(node)
            node.socket.sendall(self._opening(number))
            node.socket.setblocking(False)
            self._selector.register(node.socket, selectors.EVENT_READ, node)
            if number % _TOGETHER == _TOGETHER - 1:
                self._pass(0.02, lambda: False)
        self._pass(60.0, lambda: all(node.received for node in self.nodes))

    def listen(self, seconds: float) -> None:
        """Listen and report until all have heard of everything, or for so many seconds."""
        missing = len(self.nodes)

        def over() -> bool:
            nonlocal missing
            while missing and self.nodes[missing - 1].heard >= self.programme.segments:
                missing -= 1
            return not missing

        self._pass(seconds, over)

    def close(self) -> None:
        """Hang up."""
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()

    def _pass(self, seconds: float, over: Callable[[], bool]) -> None:
        """Read what comes and report what is due, for so long or until it is `over`."""
        now = time.monotonic()
        deadline, reports = now + seconds, self._rota(now)
        while now < deadline and not over():
            for key, _ in self._selector.select(min(0.005, deadline - now)):
                self._read(key.data)
            now = time.monotonic()
            self._due.extend(node for node in reports(now) if node.received)
            while self._idle and self._due:
                self._report(self._idle.pop(), self._due.popleft())

    def _read(self, end: Node | Reporter) -> None:
        if isinstance(end, Reporter):
            took = end.read()
            if took is not None:
                self.report_times.append(took)
                self._idle.append(end)
            return
        fresh = end.read()
        if fresh:
            now, known = time.monotonic(), len(self.first)
            missing = end.heard - known
            if missing > 0:
                self.first += [now] * missing
                self.last += [now] * missing
            self.last[end.heard - fresh : end.heard] = [now] * fresh

    def _rota(self, now: float) -> Callable[[float], Iterator[Node]]:
        """Who is to report by a time: evenly spread."""
        done, began, rate = 0, now, len(self.nodes) / interval(len(self.nodes))

        def due(now: float) -> Iterator[Node]:
            nonlocal done
            until = int((now - began) * rate)
            # who still waits for a turn will say it all in one
            fresh = min(until - done, len(self.nodes) - len(self._due))
            self.late += until - done - fresh
            done = until
            for turn in range(until - fresh, until):
                yield self.nodes[turn % len(self.nodes)]

        return due

    def _report(self, reporter: Reporter, node: Node) -> None:
        body = self._body(node.told, node.heard).replace(b'"node":""', b'"node":"node%d"' % node.number, 1)
        node.told = node.heard
        head = f"POST /v1/snapshots/{self.task}/report HTTP/1.1\r\nHost: seed\r\nContent-Length: {len(body)}\r\n\r\n"
        reporter.send(head.encode() + body)

    def _body(self, told: int, heard: int) -> bytes:
        """A report of the segments between, for a node without a name; many nodes say the same."""
        known = self._bodies.get((told, heard))
        if known is None:
            held: dict[str, list[int]] = {}
            for blob, index in map(self.programme.segment, range(told, heard)):
                held.setdefault(self._names[blob], []).append(index)
            sources = {"seed-peer": heard << 10, "peer": heard << 23}
            rows = {blob: tuple(indices) for blob, indices in held.items()}
            known = self._bodies[told, heard] = Report(node="", held=rows, sources=sources).encode()
        return known

    def _connect(self) -> socket.socket:
        found = socket.create_connection((self.host, self.port), timeout=60)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def _opening(self, number: int) -> bytes:
        # a port each, as if at an address each: neighbours and stand-ins must be told apart
        port, rack = 1 + number, number % 40
        query = f"node=node{number}&port={port}&control={port}&after=&advertise=&location=rack{rack:02}"
        return f"GET /v1/snapshots/{self.task}/events?{query} HTTP/1.1\r\nHost: seed\r\n\r\n".encode()
