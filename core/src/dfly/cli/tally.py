"""The event stream, added up: what the progress bar, the plain lines and the last line are drawn from.

Events come one at a time but from worker threads, and the bar reads from its own: hence the lock.
"""

import threading
from collections import deque

import attrs

from dfly.cli.units import after_text, duration_text
from dfly.events import (
    BytesArrived,
    Event,
    FileFinished,
    FileSkipped,
    FileStarted,
    FileVerified,
    Retrying,
    SnapshotResolved,
    Stalled,
    TaskFinished,
)


@attrs.define
class ActiveFile:
    """A file on its way, or `files` that travel as one. `done` bytes of `size` are written; `note` says what it waits for."""

    path: str
    size: int | None
    done: int
    files: int = 1
    note: str = ""
    verified: bool = False


@attrs.frozen(kw_only=True)
class Standing:
    """Where the task stands at one moment. Bytes; `total` is None where the origin does not tell every size."""

    files: int
    files_done: int
    total: int | None
    done: int
    moved: int
    retries: int
    active: tuple[ActiveFile, ...]

    @property
    def fraction(self) -> float | None:
        """0 to 1; None where the total is unknown."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0


class Tally:
    """A listener that adds up. `unverified` counts the finished files whose origin told no digest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[str, ActiveFile] = {}
        self._files = self._files_done = self._bytes = self._bytes_done = self._moved = self._retries = 0
        self._sized = True
        # of what travelled as one and is being cut apart: each file counts as its own when it is finished
        self._apart = 0
        self.unverified = 0

    def standing(self) -> Standing:
        """Where things are now."""
        with self._lock:
            return Standing(
                files=self._files,
                files_done=self._files_done,
                total=self._bytes if self._sized else None,
                done=self._bytes_done + self._apart + sum(file.done for file in self._active.values()),
                moved=self._moved,
                retries=self._retries,
                active=tuple(attrs.evolve(file) for file in self._active.values()),
            )

    def __call__(self, event: Event) -> None:
        """Add one event."""
        with self._lock:
            match event:
                case BytesArrived(path=path, bytes=count):
                    self._arrived(path, count)
                case SnapshotResolved():
                    self._files += event.files
                    self._bytes += event.bytes
                case FileSkipped(path=path, bytes=count) | FileFinished(path=path, bytes=count):
                    self._in_place(path, count)
                case FileStarted(path=path):
                    # comes again where a file is fetched anew: what it had then counts no more
                    self._active[path] = ActiveFile(path, event.bytes, event.had, event.files)
                    self._sized = self._sized and event.bytes is not None
                case FileVerified(path=path):
                    self.unverified += event.digest is None
                    self._verified(path)
                case TaskFinished():
                    self._apart = 0
                case Retrying(path=path):
                    self._retries += 1
                    self._note(path, f"trying again {after_text(event.after)}: {event.cause}")
                case Stalled(path=path):
                    self._note(path, f"nothing for {duration_text(event.seconds)}, waiting for {event.cause}")

    def _arrived(self, path: str, count: int) -> None:
        self._moved += count
        file = self._active.get(path)
        if file is None:
            return
        file.done += count
        if file.size is not None:
            file.done = min(file.done, file.size)
        file.note = "verifying" if file.done == file.size and not file.verified else ""

    def _in_place(self, path: str, count: int) -> None:
        if self._active.pop(path, None) is None:
            self._apart = max(0, self._apart - count)
        self._files_done += 1
        self._bytes_done += count

    def _verified(self, path: str) -> None:
        file = self._active.get(path)
        if file is None:
            return
        file.note, file.verified = "", True
        if file.files > 1:
            del self._active[path]
            self._apart += file.done

    def _note(self, path: str, note: str) -> None:
        file = self._active.get(path)
        if file is not None:
            file.note = note


class Speed:
    """Bytes per second over the last `window` seconds of samples."""

    def __init__(self, *, window: float = 8.0) -> None:
        self._window = window
        self._samples: deque[tuple[float, int]] = deque()

    def sample(self, now: float, moved: int) -> float:
        """Note that `moved` bytes had come by `now`, and tell the rate."""
        self._samples.append((now, moved))
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window:
            self._samples.popleft()
        began, before = self._samples[0]
        return (moved - before) / (now - began) if now > began else 0.0
