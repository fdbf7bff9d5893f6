"""The snapshots that this daemon has brought, as small files: what is served again after a restart, and from where each blob
is known.

A strong digest says that two files are the same, not that whoever names it may read them: a server that claims another user's
digest would be handed that user's file. So a blob that came from a private source is only lent for an entry with an identity
that it has come from; any other source has to deliver it once.
"""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import structlog

from dfly.daemon.admission import Admitted
from dfly.errors import OutputError
from dfly.packs import entry_blob
from dfly.store.claim import private_directory
from dfly.values import Snapshot
from dfly.wire import Ask, Resolved, WireError

_log = structlog.get_logger(__name__)

FORMAT = 1
#: Snapshots remembered; the longest unused is forgotten first, its blobs stay while there is room.
MOST = 512


@attrs.frozen(kw_only=True)
class Record:
    """A snapshot of which `brought` (blob ids) has been here. `swarmed`: a seed peer resolved it, so it has a ring.

    `options` are the caller's but for the secrets; `macs` are the seed peer's, of whole blobs; `used` is Unix time.
    """

    ask: Ask
    resolved: Resolved
    swarmed: bool
    used: float = 0.0
    pinned: bool = False
    brought: frozenset[str] = frozenset()
    options: dict[str, str | tuple[str, ...]] = attrs.field(factory=dict)
    macs: dict[str, str] = attrs.field(factory=dict)

    @property
    def task(self) -> str:
        """What it is called."""
        return self.resolved.task

    @property
    def snapshot(self) -> Snapshot:
        """What it holds."""
        return self.resolved.snapshot

    def blobs(self) -> set[str]:
        """The contents of its files."""
        return {entry_blob(entry, task=self.task) for entry in self.snapshot.entries}

    def as_json(self) -> dict[str, Any]:
        """The JSON form."""
        ask = attrs.asdict(self.ask, recurse=False, filter=lambda field, _: field.name != "known")
        return {
            "format": FORMAT,
            "ask": ask,
            "resolved": self.resolved.as_json(),
            "swarmed": self.swarmed,
            "pinned": self.pinned,
            "brought": sorted(self.brought),
            "options": self.options,
            "macs": self.macs,
        }

    @classmethod
    def from_json(cls, said: dict[str, Any], *, used: float) -> "Record":
        """Raises WireError, KeyError and the like for anything else."""
        return cls(
            ask=Ask.decode(json.dumps(said["ask"]).encode()),
            resolved=Resolved.from_json(said["resolved"]),
            swarmed=said["swarmed"] is True,
            used=used,
            pinned=said["pinned"] is True,
            brought=frozenset(map(str, said["brought"])),
            options={str(k): tuple(map(str, v)) if isinstance(v, list) else str(v) for k, v in said["options"].items()},
            macs={str(blob): str(macs) for blob, macs in said.get("macs", {}).items()},
        )


class Records:
    """The records in `directory`. Thread-safe. A file that cannot be read is left out and removed."""

    def __init__(self, directory: str, *, most: int = MOST) -> None:
        self._directory, self._most = directory, most
        self._lock = threading.RLock()
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._known_as: dict[str, set[str]] | None = None
        self._just_came: dict[str, set[str]] = {}
        private_directory(directory)
        self._load()

    def all(self) -> list[Record]:
        """Every record, the latest used last."""
        with self._lock:
            return list(self._records.values())

    def get(self, task: str) -> Record | None:
        """One of them."""
        with self._lock:
            return self._records.get(task)

    def note(self, admitted: Admitted, *, brought: Iterable[str]) -> None:
        """Blobs of this snapshot have come from there, or were known to."""
        resolved = admitted.resolved
        with self._lock:
            before = self._records.get(resolved.task)
            record = Record(
                ask=attrs.evolve(admitted.ask, known=None),
                resolved=resolved,
                swarmed=admitted.joined is not None,
                used=time.time(),
                pinned=before.pinned if before else False,
                brought=frozenset(brought) | (before.brought if before else frozenset()),
                options=dict(admitted.plain),
                macs=before.macs if before else {},
            )
            self._keep(record, before)
            for blob in record.brought:
                self._just_came.pop(blob, None)

    def came(self, blob: str, identities: Iterable[str]) -> None:
        """A blob has just come from there: who waited for it may have it at once. `note` says it for good."""
        with self._lock:
            self._just_came.setdefault(blob, set()).update(identities)

    def change(self, task: str, **changes: Any) -> bool:
        """Note something about a record. False where there is none."""
        with self._lock:
            before = self._records.get(task)
            if before is not None:
                self._keep(attrs.evolve(before, **changes), before)
            return before is not None

    def forget(self, task: str) -> None:
        """Drop a record. Harmless where there is none."""
        with self._lock:
            if self._records.pop(task, None) is not None:
                self._known_as = None
            with contextlib.suppress(OSError):
                os.unlink(self._path(task))

    def pinned_blobs(self) -> set[str]:
        """The blobs of all pinned snapshots."""
        with self._lock:
            return {blob for record in self._records.values() if record.pinned for blob in record.blobs()}

    def known_as(self, blob: str, identity: str) -> bool:
        """Whether a blob may be lent for an entry with this identity: it came from there before, or everybody may read it."""
        with self._lock:
            if self._known_as is None:
                self._known_as = self._index()
            known = self._known_as.get(blob, set()) | self._just_came.get(blob, set())
        return "" in known or identity in known

    def _index(self) -> dict[str, set[str]]:
        index: dict[str, set[str]] = {}
        for record in self._records.values():
            for entry in record.snapshot.entries:
                if entry.blob in record.brought:
                    # an empty identity stands for everybody
                    index.setdefault(str(entry.blob), set()).add("" if record.snapshot.public else entry.identity)
        return index

    def _keep(self, record: Record, before: Record | None) -> None:
        self._records.pop(record.task, None)
        self._records[record.task] = record
        if before is not None and attrs.evolve(before, used=record.used) == record:
            with contextlib.suppress(OSError):
                os.utime(self._path(record.task))
            return
        self._known_as = None
        while len(self._records) > self._most:
            oldest = next((r.task for r in self._records.values() if not r.pinned), next(iter(self._records)))
            self.forget(oldest)
        path = self._path(record.task)
        try:
            fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with open(fd, "w", encoding="utf-8") as file:
                json.dump(record.as_json(), file)
            os.replace(f"{path}.new", path)
        except OSError as error:
            # the task at hand can do without
            _log.warning("record.unwritten", task=record.task, cause=OutputError.from_os(error, path).message)

    def _load(self) -> None:
        found: list[Record] = []
        for path in Path(self._directory).iterdir():
            try:
                said = json.loads(path.read_bytes())
                if path.suffix != ".json" or said["format"] != FORMAT:
                    raise ValueError("another format")  # noqa: TRY301 - one place for all that is of no use
                found.append(Record.from_json(said, used=path.stat().st_mtime))
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, WireError):
                _log.warning("record.unreadable", path=str(path))
                path.unlink(missing_ok=True)
        for record in sorted(found, key=lambda record: record.used):
            self._records[record.task] = record

    def _path(self, task: str) -> str:
        # a task's id may be longer than a file's name
        return os.path.join(self._directory, f"{hashlib.sha256(task.encode()).hexdigest()[:32]}.json")
