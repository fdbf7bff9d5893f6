"""What a daemon's errands have done since it started: plain numbers, added to where it happens and read when somebody asks."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from dfly.durations import Durations
from dfly.errors import Cancelled, DflyError
from dfly.events import BytesArrived, Event, Listener, Retrying, SegmentFinished, Stalled


@attrs.define(eq=False)
class Activity:
    """Thread-safe. `received` is in bytes by source (`dfly.events.SOURCES`), `lent` in bytes, `errors` by class.

    `lookups` say whether a blob that somebody wanted was here; `under_way` counts the errands that are not over, `took` those
    that are.
    """

    received: Counter[str] = attrs.field(factory=Counter)
    lookups: Counter[str] = attrs.field(factory=Counter)
    errors: Counter[str] = attrs.field(factory=Counter)
    lent: int = 0
    segments: int = 0
    stalls: int = 0
    retries: int = 0
    under_way: int = 0
    took: Durations = attrs.field(factory=Durations)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)
    _heard: threading.local = attrs.field(factory=threading.local)

    @contextmanager
    def errand(self, clock: Callable[[], float]) -> Iterator[None]:
        """One is run in this block."""
        began = clock()
        with self._lock:
            self.under_way += 1
        try:
            yield
        except DflyError as error:
            if not isinstance(error, Cancelled):
                with self._lock:
                    self.errors[type(error).__name__] += 1
            raise
        else:
            self.took.took(clock() - began)
        finally:
            with self._lock:
                self.under_way -= 1

    def before(self, tell: Listener) -> Listener:
        """A listener that counts what it passes on."""

        def listen(event: Event) -> None:
            self._count(event)
            tell(event)

        return listen

    def lends(self, size: int, *, moved: bool) -> None:
        """A blob goes to a caller; `moved`: it had to be brought for that."""
        with self._lock:
            self.lent += size
            self.lookups["miss" if moved else "hit"] += 1

    def _count(self, event: Event) -> None:
        # errands that want one thing together are told of it one after the other: it has happened once
        if getattr(self._heard, "last", None) is event:
            return
        self._heard.last = event
        with self._lock:
            match event:
                case BytesArrived():
                    self.received[event.source] += event.bytes
                case SegmentFinished():
                    self.segments += 1
                case Stalled():
                    self.stalls += 1
                case Retrying():
                    self.retries += 1
