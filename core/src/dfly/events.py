"""What happens during a task, as frozen values. The progress bar, `--json`, the log and the tests read this one stream.

An event's JSON form is `{"event": <name>, "time": <Unix seconds>, …fields}`; the names and fields are a public schema.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import attrs

#: Where bytes came from.
SOURCES = ("hub", "seed-peer", "peer", "cache", "disk")


@attrs.frozen(kw_only=True)
class Event:
    """Something that happened, once."""

    name: ClassVar[str] = "event"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"event": self.name, "time": round(time.time(), 3), **attrs.asdict(self)}


Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that does nothing."""


@attrs.frozen(kw_only=True)
class SnapshotResolved(Event):
    """The source is pinned and listed. `files` and `bytes` are after globs; `url` is the pinned source URL."""

    name = "snapshot.resolved"
    url: str
    revision: str | None
    snapshot: str
    files: int
    bytes: int


@attrs.frozen(kw_only=True)
class FileSkipped(Event):
    """`path` is already there and right; nothing was transferred for it."""

    name = "file.skipped"
    path: str
    bytes: int


@attrs.frozen(kw_only=True)
class FileStarted(Event):
    """The first byte of `path` is being asked for. `had` bytes are left from an earlier run.

    Where `files` is more than 1, so many travel as one that is called `path`, and each is finished under its own name.
    """

    name = "file.started"
    path: str
    bytes: int | None
    had: int
    files: int = 1


@attrs.frozen(kw_only=True)
class BytesArrived(Event):
    """`bytes` more of `path` are written, from `source` (one of SOURCES)."""

    name = "bytes.arrived"
    path: str
    bytes: int
    source: str


@attrs.frozen(kw_only=True)
class SegmentFinished(Event):
    """Segment `index` of `path` is complete on disk and in the journal."""

    name = "segment.finished"
    path: str
    index: int


@attrs.frozen(kw_only=True)
class FileVerified(Event):
    """All bytes of `path` match `digest` ("sha256:…"); None where the origin told none, so only the size was checked."""

    name = "file.verified"
    path: str
    digest: str | None


@attrs.frozen(kw_only=True)
class FileFinished(Event):
    """`path` is complete at its final place `output`. A second file of the same content has only this event."""

    name = "file.finished"
    path: str
    output: str
    bytes: int


@attrs.frozen(kw_only=True)
class Retrying(Event):
    """Something failed and is tried again in `after` seconds; `cause` says what, for a person."""

    name = "retrying"
    path: str
    cause: str
    after: float


@attrs.frozen(kw_only=True)
class Stalled(Event):
    """No byte of `path` has arrived for `seconds`; `cause` names what is being waited for."""

    name = "stalled"
    path: str
    seconds: float
    cause: str


@attrs.frozen(kw_only=True)
class Warned(Event):
    """Something a person should know that stops nothing."""

    name = "warning"
    message: str


@attrs.frozen(kw_only=True)
class TaskFinished(Event):
    """Everything asked for is at its final place. `sources` maps a source to the bytes it gave."""

    name = "task.finished"
    url: str
    output: str
    files: int
    bytes: int
    skipped: int
    seconds: float
    sources: dict[str, int]
