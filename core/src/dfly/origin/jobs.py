"""What a `Fetcher` works on: a job is a file to fetch, a span a stretch of it."""

from collections.abc import Callable, Iterator
from typing import Protocol

import attrs

Spans = Iterator[tuple[int, int | None]]


class SpanWriter(Protocol):
    """Takes one span's bytes in order, from one thread."""

    def write(self, data: bytes) -> None:
        """The next bytes."""

    def close(self) -> None:
        """The span is complete. Never called for one that is not."""


@attrs.frozen(kw_only=True, eq=False)
class Job:
    """One file to fetch.

    `read(start, stop)` yields the bytes of a span (`Patient.read`); `spans` are taken one by one, from any worker but
    never from two at once; `writer(start, stop)` makes the writer of a span. `finished(error)` is called once, with
    None when every span is closed, from any thread. `restart()` gives the one span to fetch when the origin turns out
    to serve no ranges; nothing is writing when it is called.
    """

    name: str
    read: Callable[[int, int | None], Iterator[bytes]]
    spans: Spans
    writer: Callable[[int, int | None], SpanWriter]
    finished: Callable[[BaseException | None], None]
    restart: Callable[[], Spans]


class Task:
    """A job on its way. `spans` is None once they are used up, or have raised `failure`; `running` are the spans that count."""

    def __init__(self, job: Job, order: tuple[int, int]) -> None:
        self.job = job
        self.order = order
        self.spans: Spans | None = iter(job.spans)
        self.failure: BaseException | None = None
        self.running: set[Span] = set()
        self.restarted = False
        self.ended = False


class Span:
    """A span in a worker's hands. `dropped` is written by others, `writing` by the worker only."""

    __slots__ = ("dropped", "start", "stop", "task", "writing")

    def __init__(self, task: Task, start: int, stop: int | None) -> None:
        self.task, self.start, self.stop = task, start, stop
        self.dropped = self.writing = False


class Dropped(Exception):
    """The span is no longer wanted."""
