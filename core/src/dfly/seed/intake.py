"""All bytes from origins come in here: one pool of connections for every blob, counted as they are written.

What the pool waits for is told as one sentence, and "" as soon as bytes flow again, whichever blob they are of: while
something arrives nobody is waiting.
"""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import attrs
import structlog

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.layout import MIB, PIECES_PER_SEGMENT
from dfly.origin.fetch import Fetcher, Job, SpanWriter
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.origin.throttle import Throttle
from dfly.values import Entry

_log = structlog.get_logger()

#: Pieces of one request at most: a quarter of a segment, so that the earliest one or two segments occupy all connections,
#: but as many as make so many bytes: a hub takes its time for every request.
MOST_PIECES, WORTH_ASKING = 4, 2 * MIB

Span = tuple[int, int | None]


@attrs.frozen(kw_only=True, eq=False)
class Order:
    """What to bring: the missing `spans` of `entry`, to where `writer` puts them; `finished` as in `Job`.

    `whole` is the one span to fetch where the origin serves no ranges. Lower `priority` comes first.
    """

    entry: Entry
    backend: Backend
    spans: Iterator[Span]
    whole: Span
    writer: Callable[[int, int | None], SpanWriter]
    finished: Callable[[BaseException | None], None]
    priority: int


class Intake:
    """Brings what is ordered, until `close`. Thread-safe. `waiting_for` is told under a lock: it must not block."""

    def __init__(
        self, *, settings: Fetch, patience: Patience, pauses: Pauses, waiting_for: Callable[[str], None]
    ) -> None:
        self._patience, self._pauses = patience, pauses
        self._waiting_for = waiting_for
        self._cancel = threading.Event()
        throttle = Throttle(settings.limit_rate) if settings.limit_rate else None
        self._fetcher = Fetcher(concurrency=settings.concurrency, throttle=throttle, cancel=self._cancel)
        self._lock = threading.Lock()
        self._waiting: set[Order] = set()
        self._jobs: dict[Order, Job] = {}
        self.hub_bytes = 0
        self._connections = settings.concurrency
        self._rate = _Rate()

    @property
    def asking(self) -> bool:
        """Whether an origin is being asked for anything."""
        return bool(self._jobs)

    def pieces_at_once(self, piece_length: int) -> int:
        """How many pieces (of so many bytes) to ask for in one request: what all connections bring in half a second, in all.

        From a slow origin less: segments come one after the other then, the first of them soon, and less is under way when a
        seed peer dies, or hands over, and another fetches it again.
        """
        rate = self._rate.bytes_per_second
        if not rate:
            return max(1, PIECES_PER_SEGMENT // self._connections)
        most = max(MOST_PIECES, WORTH_ASKING // piece_length)
        return max(1, min(most, round(rate / 2 / self._connections / piece_length)))

    def bring(self, order: Order) -> None:
        """Begin as soon as a connection is free; returns at once."""
        patient = Patient(
            order.backend,
            patience=self._patience,
            pauses=self._pauses,
            on_retry=lambda _path, cause, after: self._waits(order, cause, after),
            cancel=self._cancel,
            on_congestion=self._fetcher.congested,
        )
        job = Job(
            name=order.entry.path,
            read=partial(patient.read, order.entry),
            spans=order.spans,
            writer=lambda start, stop: _Counted(order.writer(start, stop), self._arrived),
            finished=lambda error: self._finished(order, error),
            restart=lambda: iter([order.whole]),
        )
        with self._lock:
            self._jobs[order] = job
        self._fetcher.submit(job, order.priority)

    def hurry(self, order: Order) -> None:
        """Somebody waits for it: its spans come before those of other orders."""
        job = self._jobs.get(order)
        if job is not None:
            self._fetcher.hurry(job)

    def close(self) -> None:
        """End what is unfinished with Cancelled. Returns within about a second; nothing is written afterwards."""
        self._cancel.set()
        self._fetcher.close()

    def _arrived(self, count: int) -> None:
        with self._lock:
            self.hub_bytes += count
            self._rate.seen(self.hub_bytes)
            if self._waiting:
                self._waiting.clear()
                self._waiting_for("")

    def _waits(self, order: Order, cause: str, after: float) -> None:
        if after <= 0:  # a link that has run out is replaced at once
            return
        _log.warning("hub.waiting", path=order.entry.path, cause=cause, after=round(after, 1))
        soon = f"waiting {after:.0f} s" if after >= 1 else "trying again"
        with self._lock:
            self._waiting.add(order)
            self._waiting_for(f"{cause}, {soon}")

    def _finished(self, order: Order, error: BaseException | None) -> None:
        with self._lock:
            self._jobs.pop(order, None)
            if order in self._waiting:
                self._waiting.remove(order)
                if not self._waiting:
                    self._waiting_for("")
        order.finished(error)


@attrs.define
class _Rate:
    """Bytes per second, of the last second or more in which any came, soon of the first quarter; 0 while nobody knows."""

    bytes_per_second: float = 0.0
    _since: float = attrs.field(factory=time.monotonic)
    _before: int = 0

    def seen(self, total: int) -> None:
        now = time.monotonic()
        if now - self._since >= (1 if self.bytes_per_second else 0.25):
            self.bytes_per_second = (total - self._before) / (now - self._since)
            self._since, self._before = now, total


@attrs.frozen(eq=False)
class _Counted:
    """Counts bytes when they come: a segment that is published was counted."""

    _writer: SpanWriter
    _arrived: Callable[[int], None]

    def write(self, data: bytes) -> None:
        self._arrived(len(data))
        self._writer.write(data)

    def close(self) -> None:
        self._writer.close()
