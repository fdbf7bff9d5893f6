"""What a task did: counted while it runs, reported at its end."""

import threading

import attrs

from dfly.events import BytesArrived, Event, FileFinished, FileSkipped, Listener


@attrs.frozen(kw_only=True)
class Planned:
    """One line of a dry run: where a file would go, its size in bytes, whether it is already there and right."""

    path: str
    output: str
    size: int | None
    present: bool


@attrs.frozen(kw_only=True)
class Report:
    """What a task did. `bytes` counts all files, `skipped` those already there; `sources` maps a source to bytes moved."""

    url: str
    output: str
    files: int
    bytes: int
    skipped: int
    seconds: float
    sources: dict[str, int]
    plan: tuple[Planned, ...] = ()


class Tally:
    """Passes events on, one at a time, and adds up what a report needs."""

    def __init__(self, on_event: Listener) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self.sources: dict[str, int] = {}
        #: Bytes of each file that this task has put in its place, by output path.
        self.placed: dict[str, int] = {}
        self.skipped = 0

    def __call__(self, event: Event) -> None:
        """Count and pass on."""
        with self._lock:
            if isinstance(event, BytesArrived):
                self.sources[event.source] = self.sources.get(event.source, 0) + event.bytes
            elif isinstance(event, FileFinished):
                self.placed[event.output] = event.bytes
            elif isinstance(event, FileSkipped):
                self.skipped += 1
            self._on_event(event)
