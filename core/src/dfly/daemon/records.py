"""The snapshots that this daemon has brought, as small files: what is served again after a restart, and from where each blob
is known.

A strong digest says that two files are the same, not that whoever names it may read them: a server that claims another user's
digest would be handed that user's file. So a blob that came from a private source is only lent for an entry with an identity
that it has come from; any other source has to deliver it once.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import attrs

from dfly.daemon.admission import Admitted
from dfly.packs import entry_blob
from dfly.store.notes import MOST, Notes
from dfly.values import Snapshot
from dfly.wire import Ask, Resolved
from dfly.wire.fields import seconds

#: Snapshots that are brought at once, of which it is at hand what each content is known as.
_AT_ONCE = 4


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
    def kept(self) -> bool:
        """Forgotten after all others; the blobs of any stay while there is room."""
        return self.pinned

    def blobs(self) -> set[str]:
        """The contents of its files."""
        return {entry_blob(entry, task=self.task) for entry in self.snapshot.entries}

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
        self._known_as: dict[str, set[str]] | None = None
        #: Which identities the contents of a snapshot have, for the few that are being brought.
        self._identities: OrderedDict[str, tuple[Snapshot, dict[str, set[str]]]] = OrderedDict()
        self._just_came: dict[str, set[str]] = {}
        self._notes: Notes[Record] = Notes(directory, read=Record.from_json, most=most, changed=self._reindex)
        self._lock = self._notes.lock

    def all(self) -> list[Record]:
        """Every record, the latest used last."""
        return self._notes.all()

    def get(self, task: str) -> Record | None:
        """One of them."""
        return self._notes.get(task)

    def note(self, admitted: Admitted, *, brought: Iterable[str]) -> None:
        """Blobs of this snapshot have come from there, or were known to: at once for `known_as`, on the disk in a moment."""
        resolved, now, came = admitted.resolved, time.time(), frozenset(brought)
        with self._lock:
            before = self._notes.get(resolved.task)
            record = Record(
                ask=attrs.evolve(admitted.ask, known=None),
                resolved=resolved,
                swarmed=admitted.joined is not None,
                used=now,
                since=before.since if before else now,
                pinned=before.pinned if before else False,
                brought=came | (before.brought if before else frozenset()),
                options=dict(admitted.plain),
                macs=before.macs if before else {},
            )
            self._notes.keep(record, later=True)
            for blob in came:
                self._just_came.pop(blob, None)

    def came(self, blob: str, identities: Iterable[str]) -> None:
        """A blob has just come from there: who waited for it may have it at once. `note` says it for good."""
        with self._lock:
            self._just_came.setdefault(blob, set()).update(identities)

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

    def known_as(self, blob: str, identity: str) -> bool:
        """Whether a blob may be lent for an entry with this identity: it came from there before, or everybody may read it."""
        with self._lock:
            if self._known_as is None:
                self._known_as = self._index()
            known = self._known_as.get(blob, set()) | self._just_came.get(blob, set())
        return "" in known or identity in known

    def _index(self) -> dict[str, set[str]]:
        index: dict[str, set[str]] = {}
        for record in self.all():
            _add(index, record.brought, _identities(record.snapshot))
        return index

    def _reindex(self, before: Record | None, after: Record | None) -> None:
        """Keep the index right: a record that grows file by file costs what has come, not all that there is."""
        if self._known_as is None:
            return
        had = before.brought if before else frozenset()
        grown = after is not None and had <= after.brought
        if after is None or not grown or (before and before.snapshot != after.snapshot):
            self._known_as = None
        elif new := after.brought - had:
            _add(self._known_as, new, self._identities_of(after))

    def _identities_of(self, record: Record) -> dict[str, set[str]]:
        snapshot, found = self._identities.pop(record.task, (None, {}))
        if snapshot is not record.snapshot:
            found = _identities(record.snapshot)
        self._identities[record.task] = record.snapshot, found
        if len(self._identities) > _AT_ONCE:
            self._identities.popitem(last=False)
        return found


def _identities(snapshot: Snapshot) -> dict[str, set[str]]:
    """What each content of a snapshot is known as once it has come from there; an empty identity stands for everybody."""
    found: dict[str, set[str]] = {}
    for entry in snapshot.entries:
        if entry.blob is not None:
            found.setdefault(entry.blob, set()).add("" if snapshot.public else entry.identity)
    return found


def _add(index: dict[str, set[str]], blobs: Iterable[str], identities: dict[str, set[str]]) -> None:
    for blob in blobs:
        if blob in identities:
            index.setdefault(blob, set()).update(identities[blob])
