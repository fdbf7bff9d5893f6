"""The errands under way, as an operator sees them: for which source, how many bytes from where, what they wait for."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from dfly.events import BytesArrived, Event, Listener, Retrying, Stalled
from dfly.seed.topology.members import Rate
from dfly.values import Snapshot, bare_task


@attrs.define(kw_only=True, eq=False)
class Progress:
    """How far one errand is. Hears its events, from several threads; `clock` is in seconds."""

    task: str
    snapshot: Snapshot
    clock: Callable[[], float] = time.monotonic
    files: int = 0
    bytes: int = 0
    _moved: Counter[str] = attrs.field(factory=Counter)
    _stalls: int = 0
    _waits: str = ""
    _rate: Rate = attrs.field(factory=Rate)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _started: float = attrs.field(init=False)
    _moved_at: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self._moved_at = self.clock()

    def before(self, tell: Listener) -> Listener:
        """A listener that hears what `tell` does."""

        def heard(event: Event) -> None:
            self._hear(event)
            tell(event)

        return heard

    def row(self) -> dict[str, Any]:
        """As JSON; times in seconds."""
        now = self.clock()
        with self._lock:
            self._rate.seen(self._moved.total(), now)
            return {
                "task": bare_task(self.task),
                "url": self.snapshot.source,
                "files": self.files,
                "bytes": self.bytes,
                "arrived": self._moved.total(),
                "received": dict(self._moved),
                "rate": round(self._rate.known or 0),
                "seconds": round(now - self._started, 3),
                "idle": round(now - self._moved_at, 3),
                "stalls": self._stalls,
                "waiting_for": self._waits,
            }

    def _hear(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, BytesArrived):
                self._moved[event.source] += event.bytes
                self._moved_at, self._waits = self.clock(), ""
                self._rate.seen(self._moved.total(), self._moved_at)
            elif isinstance(event, Stalled):
                self._stalls += 1
                self._waits = event.cause
            elif isinstance(event, Retrying):
                self._waits = event.cause


class UnderWay:
    """All of them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: dict[int, Progress] = {}

    @contextmanager
    def listed(self, progress: Progress) -> Iterator[None]:
        """Show an errand meanwhile."""
        with self._lock:
            self._all[id(progress)] = progress
        try:
            yield
        finally:
            with self._lock:
                del self._all[id(progress)]

    def all(self) -> list[Progress]:
        """The oldest first."""
        with self._lock:
            return list(self._all.values())

    def rows(self) -> list[dict[str, Any]]:
        """All of them as JSON."""
        return [progress.row() for progress in self.all()]
