"""What a long-lived process remembers of its snapshots after a restart: one small JSON file for each, in a directory of its own.

A note is written into a new file that takes the old one's place, so a crash leaves the one or the other. When it was last used
is the file's own time: that changes with every task, and is not worth a write. What cannot be written is remembered until the
process ends; what cannot be read is dropped, as it is only ever a memory of what can be asked for again.

A note of thousands of files that grows with each of them is written every few seconds: a crash loses as much of it.
"""

import contextlib
import hashlib
import json
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import attrs
import structlog

from dfly.errors import DflyError, OutputError
from dfly.store.claim import private_directory

FORMAT = 1
#: Notes kept; the longest unused is forgotten first.
MOST = 512
#: Seconds between two writes of a note that may be written later.
PAUSE = 5.0

_log = structlog.get_logger(__name__)


class Note(Protocol):
    """An attrs value with a JSON form. `used` is Unix time."""

    @property
    def task(self) -> str:
        """What it is called."""

    @property
    def used(self) -> float:
        """When it was last of use."""

    @property
    def kept(self) -> bool:
        """Whether it is forgotten after all others."""

    def as_json(self) -> dict[str, Any]:
        """What is written; `used` need not be in it."""


N = TypeVar("N", bound=Note)


class Notes(Generic[N]):
    """The notes in `directory`, which `read(json, used=…)` makes from their JSON. Thread-safe.

    `read` raises DflyError, ValueError, KeyError, TypeError or AttributeError for what is no note: that file is left out, and
    removed. `close` writes what is still unwritten.
    """

    def __init__(
        self,
        directory: str,
        *,
        read: Callable[..., N],
        most: int = MOST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory, self._read, self._most = directory, read, most
        self._clock = clock
        self.lock = threading.RLock()
        self._notes: OrderedDict[str, N] = OrderedDict()
        self._written: dict[str, float] = {}
        self._unwritten: set[str] = set()
        self._timer: threading.Timer | None = None
        private_directory(directory)
        self._load()

    def all(self) -> list[N]:
        """Every note, the latest used last."""
        with self.lock:
            return list(self._notes.values())

    def get(self, task: str) -> N | None:
        """One of them."""
        with self.lock:
            return self._notes.get(task)

    def keep(self, note: N, *, later: bool = False) -> None:
        """Remember this one, in the place of the one before. `later`: it need not be written in the moment after that was."""
        with self.lock:
            before = self._notes.pop(note.task, None)
            self._notes[note.task] = note
            if before is not None and attrs.evolve(before, used=note.used) == note:  # type: ignore[misc]
                with contextlib.suppress(OSError):
                    os.utime(self._path(note.task))
                return
            while len(self._notes) > self._most:
                self.forget(next((n.task for n in self._notes.values() if not n.kept), next(iter(self._notes))))
            if later and self._clock() - self._written.get(note.task, -math.inf) < PAUSE:
                self._write_later(note)
            else:
                self._write(note)

    def change(self, task: str, **changes: Any) -> bool:
        """Note something about one. False where there is none."""
        with self.lock:
            before = self._notes.get(task)
            if before is not None:
                self.keep(attrs.evolve(before, **changes))  # type: ignore[misc]
            return before is not None

    def forget(self, task: str) -> None:
        """Drop one. Harmless where there is none."""
        with self.lock:
            self._written.pop(task, None)
            self._unwritten.discard(task)
            self._notes.pop(task, None)
            with contextlib.suppress(OSError):
                os.unlink(self._path(task))

    def flush(self) -> None:
        """Write what is still unwritten."""
        with self.lock:
            timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            for task in tuple(self._unwritten):
                self._write(self._notes[task])

    def close(self) -> None:
        """Keep nothing more; what was kept is written."""
        self.flush()

    def _write_later(self, note: N) -> None:
        self._unwritten.add(note.task)
        if self._timer is None:
            self._timer = threading.Timer(PAUSE, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _write(self, note: N) -> None:
        path = self._path(note.task)
        self._written[note.task] = self._clock()
        self._unwritten.discard(note.task)
        try:
            fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump({"format": FORMAT, **note.as_json()}, file)
            os.replace(f"{path}.new", path)
        except OSError as error:
            # the task at hand can do without
            _log.warning("note.unwritten", path=path, cause=OutputError.from_os(error, path).message)

    def _load(self) -> None:
        found: list[N] = []
        for path in Path(self._directory).iterdir():
            try:
                said = json.loads(path.read_bytes())
                if path.suffix != ".json" or said["format"] != FORMAT:
                    raise ValueError("another format")  # noqa: TRY301 - one place for all that is of no use
                found.append(self._read(said, used=path.stat().st_mtime))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DflyError):
                _log.warning("note.unreadable", path=str(path))
                path.unlink(missing_ok=True)
        for note in sorted(found, key=lambda note: note.used):
            self._notes[note.task] = note

    def _path(self, task: str) -> str:
        # a task's id may be longer than a file's name, and that of a private one opens its event stream
        return os.path.join(self._directory, f"{hashlib.sha256(task.encode()).hexdigest()[:32]}.json")
