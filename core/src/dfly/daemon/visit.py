"""One connection of a dfget: its ask, its wishes, and what it is lent. Runs in a thread of its own.

A dfget that closes its end, or is killed, ends its errand; what has arrived by then is kept.
"""

import os
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence

import structlog

from dfly.config import Fetch
from dfly.daemon.admission import Admissions, Admitted, Caller, Declined, Terms
from dfly.daemon.errand import Errand, Means
from dfly.daemon.protocol import VERSION, Channel, Line, ProtocolError, error_line, event_line, field
from dfly.errors import Cancelled, DflyError
from dfly.events import BytesArrived, Event, FileFinished, Listener, Warned
from dfly.store.blobs import Committed
from dfly.tracing import TaskSpans, within
from dfly.values import bare_url
from dfly.wire import Ask, snapshot_to_json

_log = structlog.get_logger(__name__)

#: The longest line of a dfget: the numbers of a million files.
_LONGEST = 16 << 20
#: Seconds that a dfget may take to read what it asked for.
_DEAF = 600.0


class Visit:
    """`sock` is connected to `caller`; `closing` is set when the daemon stops."""

    def __init__(
        self,
        sock: socket.socket,
        caller: Caller,
        *,
        admissions: Admissions,
        means: Means,
        settings: Fetch,
        closing: threading.Event,
    ) -> None:
        self._sock, self._caller = sock, caller
        self._admissions, self._means, self._settings = admissions, means, settings
        self._closing, self._stop = closing, threading.Event()
        self._channel = Channel(sock, takes=False, longest=_LONGEST)
        self._sending = threading.Lock()
        self._sources: Counter[str] = Counter()

    def run(self) -> None:
        """Serve until the dfget has what it came for, or has gone."""
        self._sock.settimeout(_DEAF)
        try:
            self._serve()
        except (OSError, Cancelled):
            return  # it has gone: there is nobody to tell
        except DflyError as error:
            self._say_unless_gone(error_line(error))
        except Exception as error:  # noqa: BLE001 - the log has it
            _log.exception("visit.failed")
            self._say_unless_gone(error_line(error))
        finally:
            self._channel.close()

    def _serve(self) -> None:
        line = self._channel.receive()
        if line is None:
            return
        ask, given, settings = _read_ask(line, self._settings)
        swarm = Terms(seed_peers=_texts(line, "seed_peers"), back_to_source=field(line, "back_to_source", bool, True))
        traces, parent = self._means.traces, field(line, "traceparent", str, "")
        span = traces.begin("dfly.errand", parent=parent, source=bare_url(ask.url))
        with TaskSpans(traces, span, self._tell) as tell:
            self._attend(ask, given, settings, swarm, tell)

    def _attend(
        self, ask: Ask, given: dict[str, str | tuple[str, ...]], settings: Fetch, swarm: Terms, tell: Listener
    ) -> None:
        with self._watched(self._stop), within(self._means.traces.begin("dfly.resolve")) as span:
            try:
                self._admissions.require(swarm)
                admitted = self._admissions.admit(self._caller, ask, given, stop=self._stop)
            except Declined as declined:
                span.set(declined=str(declined))
                self._say({"t": "declined", "why": str(declined)})
                return
            span.set(by="seed-peer" if admitted.joined else "hub", files=len(admitted.snapshot.entries))
        if admitted.warning:
            self._tell(Warned(message=admitted.warning))
        self._say({"t": "resolved", "snapshot": snapshot_to_json(admitted.snapshot)})
        wish = self._channel.receive()
        if wish is None:
            return
        numbers = _read_numbers(wish, most=len(admitted.snapshot.entries))
        self._run(admitted, settings, numbers, tell)
        self._say({"t": "done"})

    def _run(self, admitted: Admitted, settings: Fetch, numbers: Sequence[int], tell: Listener) -> None:
        began = time.monotonic()
        errand = Errand(admitted, means=self._means, settings=settings, tell=tell, lend=self._lend, stop=self._stop)
        outcome = "done"
        try:
            with self._watched(self._stop):
                errand.run(numbers)
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            entries = admitted.snapshot.entries
            _log.info(
                "peer task",
                outcome=outcome,
                url=bare_url(admitted.snapshot.source),
                uid=self._caller.uid,
                files=len(numbers),
                bytes=sum(entries[n].size or 0 for n in numbers),
                seconds=round(time.monotonic() - began, 3),
                hub=self._sources["hub"],
                seed_peer=self._sources["seed-peer"],
                peer=self._sources["peer"],
                cache=self._sources["cache"],
            )

    def _lend(self, numbers: Sequence[int], held: Committed) -> None:
        fd = self._means.cache.lend(held.blob)
        try:
            with self._sending:
                self._channel.send({"t": "lent", "entries": list(numbers), "size": held.size}, fd=fd)
        finally:
            os.close(fd)

    def _tell(self, event: Event) -> None:
        if isinstance(event, FileFinished):
            return  # that is for the dfget to say, when the file is in its place
        if isinstance(event, BytesArrived):
            self._sources[event.source] += event.bytes
        self._say_unless_gone(event_line(event))

    def _say(self, line: Line) -> None:
        with self._sending:
            self._channel.send(line)

    def _say_unless_gone(self, line: Line) -> None:
        try:
            self._say(line)
        except OSError:
            self._stop.set()

    def _watched(self, stop: threading.Event) -> "_Watch":
        return _Watch(self._sock, stop=stop, closing=self._closing)


class _Watch:
    """While entered, sets `stop` when the other end hangs up or the daemon is closing. It never reads."""

    def __init__(self, sock: socket.socket, *, stop: threading.Event, closing: threading.Event) -> None:
        self._sock, self._stop, self._closing = sock, stop, closing
        self._left = os.eventfd(0, os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="dfly-watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        os.eventfd_write(self._left, 1)
        self._thread.join()
        os.close(self._left)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        poll.register(self._left, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll(100)}
            if self._left in ready:
                return
            if ready or self._closing.is_set():
                self._stop.set()
                return


def _read_ask(line: Line, usual: Fetch) -> tuple[Ask, dict[str, str | tuple[str, ...]], Fetch]:
    if line.get("t") != "ask" or field(line, "version", int) != VERSION:
        raise ProtocolError("this dfget speaks another version")
    ask = Ask(
        url=field(line, "url", str),
        recursive=field(line, "recursive", bool),
        include=_texts(line, "include"),
        exclude=_texts(line, "exclude"),
        lazy=field(line, "lazy", bool, False),
    )
    given: dict[str, str | tuple[str, ...]] = {}
    for name, value in field(line, "options", dict).items():
        given[str(name)] = tuple(map(str, value)) if isinstance(value, list) else str(value)
    concurrency = min(field(line, "concurrency", int, usual.concurrency), 64)
    rate = line.get("limit_rate")
    limit = rate if isinstance(rate, int) and rate > 0 else usual.limit_rate
    return ask, given, Fetch(concurrency=max(1, concurrency), limit_rate=limit)


def _read_numbers(line: Line, *, most: int) -> list[int]:
    numbers = field(line, "entries", list)
    if line.get("t") != "bring" or not all(type(n) is int and 0 <= n < most for n in numbers):
        raise ProtocolError("a wish names what was not listed")
    return list(dict.fromkeys(numbers))


def _texts(line: Line, name: str) -> tuple[str, ...]:
    return tuple(map(str, field(line, name, list, [])))
