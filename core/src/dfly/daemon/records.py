"""The snapshots that this daemon has brought, as small files: what is served again after a restart."""

import json
import time
from collections.abc import Iterable
from typing import Any

import attrs

from dfly.daemon.admission import Admitted
from dfly.packs import entry_blob
from dfly.store.notes import MOST, Notes
from dfly.values import Snapshot
from dfly.wire import Ask, Resolved
from dfly.wire.fields import seconds


@attrs.frozen(kw_only=True)
class Record:
    """A snapshot of which `brought` (blob ids) has been here. `swarmed`: a seed peer resolved it, so it has a ring.

    `options` are the caller's but for the secrets; `macs` are the seed peer's, of whole blobs. `used` and `since`
    (when it first came) are Unix times.
    """

    ask: Ask
    resolved: Resolved
    swarmed: bool
    used: float = 0.0
    since: float = 0.0
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

    @property
    def names(self) -> tuple[str, ...]:
        """The URLs that it goes by."""
        return self.snapshot.source, self.ask.url

    @property
    def kept(self) -> bool:
        """Forgotten after all others; the blobs of any stay while there is room."""
        return self.pinned

    def blobs(self) -> set[str]:
        """The contents of its files."""
        return {entry_blob(entry, self.snapshot, task=self.task) for entry in self.snapshot.entries}

    def as_json(self) -> dict[str, Any]:
        """The JSON form."""
        ask = attrs.asdict(self.ask, recurse=False, filter=lambda field, _: field.name != "known")
        return {
            "ask": ask,
            "resolved": self.resolved.as_json(),
            "swarmed": self.swarmed,
            "since": self.since,
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
            since=seconds(said, "since", 0.0),
            pinned=said["pinned"] is True,
            brought=frozenset(map(str, said["brought"])),
            options={str(k): tuple(map(str, v)) if isinstance(v, list) else str(v) for k, v in said["options"].items()},
            macs={str(blob): str(macs) for blob, macs in said.get("macs", {}).items()},
        )


class Records:
    """The records in `directory`. Thread-safe. A file that cannot be read is left out and removed."""

    def __init__(self, directory: str, *, most: int = MOST) -> None:
        self._notes: Notes[Record] = Notes(directory, read=Record.from_json, most=most)
        self._lock = self._notes.lock

    def all(self) -> list[Record]:
        """Every record, the latest used last."""
        return self._notes.all()

    def get(self, task: str) -> Record | None:
        """One of them."""
        return self._notes.get(task)

    def note(self, admitted: Admitted, *, brought: Iterable[str]) -> None:
        """Blobs of this snapshot are here; on the disk it says so in a moment."""
        resolved, now = admitted.resolved, time.time()
        with self._lock:
            before = self._notes.get(resolved.task)
            record = Record(
                ask=attrs.evolve(admitted.ask, known=None),
                resolved=resolved,
                swarmed=admitted.joined is not None,
                used=now,
                since=before.since if before else now,
                pinned=before.pinned if before else False,
                brought=frozenset(brought) | (before.brought if before else frozenset()),
                options=dict(admitted.plain),
                macs=before.macs if before else {},
            )
            self._notes.keep(record, later=True)

    def change(self, task: str, **changes: Any) -> bool:
        """Note something about a record. False where there is none."""
        return self._notes.change(task, **changes)

    def forget(self, task: str) -> None:
        """Drop a record. Harmless where there is none."""
        self._notes.forget(task)

    def close(self) -> None:
        """Bring everything to the disk."""
        self._notes.close()

    def pinned_blobs(self) -> set[str]:
        """The blobs of all pinned snapshots."""
        return {blob for record in self.all() if record.pinned for blob in record.blobs()}
