"""What a seed peer has resolved, on disk: what its operators see, pin and carry elsewhere, and which blobs nobody needs any more.

Each is what somebody was let in to, so a private one is here as well, under the id of its task, which carries a seal. What opened
it is not: a link is kept without what is secret in it, and of the options only those that are none.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from dfly.packs import Freight
from dfly.seed.operators.meant import meant
from dfly.store.notes import MOST, Notes
from dfly.values import Snapshot, bare_url
from dfly.wire import Ask, Resolved
from dfly.wire.fields import seconds

#: Names remembered of one snapshot.
_MOST_NAMES = 32


@attrs.frozen(kw_only=True)
class Remembered:
    """A snapshot, and what led to it. Times are Unix time.

    `ask` is the first that did, its `url` among `urls`, which map each URL that was asked for to when it last began to mean
    this snapshot and no other; `alone` are those of them that meant it by themselves, without an option. `revisions` are the
    names of the revision in those ("main"), `options` those that are no secret. `resolved` is when it was first; an `imported`
    one came from another seed peer's disk.
    """

    task: str
    ask: Ask
    snapshot: Snapshot
    revisions: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    urls: Mapping[str, float] = attrs.field(factory=dict)
    options: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    resolved: float = 0.0
    used: float = 0.0
    pinned: bool = False
    imported: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is forgotten after all others."""
        return self.pinned or self.imported

    @property
    def names(self) -> tuple[str, ...]:
        """All URLs that it goes by, its pinned source first."""
        return tuple(dict.fromkeys((self.snapshot.source, self.ask.url, *self.urls)))

    def blobs(self) -> set[str]:
        """The contents of its files that are not empty, and the pack that the small ones travel in."""
        freight = Freight.of(self.snapshot, task=self.task)
        return {blob for blob, entry in freight.ids if entry.size != 0} | set(freight.sizes())

    def as_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "ask": json.loads(self.ask.encode()),
            "resolved": Resolved(task=self.task, snapshot=self.snapshot).as_json(),
            "revisions": self.revisions,
            "alone": self.alone,
            "urls": dict(self.urls),
            "options": dict(self.options),
            "since": self.resolved,
            "pinned": self.pinned,
            "imported": self.imported,
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any], *, used: float) -> "Remembered":
        """Raises WireError, KeyError and the like for anything else."""
        resolved = Resolved.from_json(said["resolved"])
        return cls(
            task=resolved.task,
            ask=Ask.decode(json.dumps(said["ask"]).encode()),
            snapshot=resolved.snapshot,
            revisions=tuple(map(str, said["revisions"])),
            alone=tuple(map(str, said.get("alone", ()))),
            urls={str(url): seconds(said["urls"], url) for url in said["urls"]},
            options={str(name): tuple(map(str, values)) for name, values in said["options"].items()},
            resolved=seconds(said, "since"),
            used=used,
            pinned=said["pinned"] is True,
            imported=said["imported"] is True,
        )


class Memory:
    """The snapshots remembered in `directory`. Thread-safe; bounded; a file that cannot be read is left out."""

    def __init__(self, directory: str, *, most: int = MOST, clock: Callable[[], float] = time.time) -> None:
        self._notes: Notes[Remembered] = Notes(directory, read=Remembered.from_json, most=most)
        self._clock = clock
        self._lock = threading.Lock()

    def all(self) -> list[Remembered]:
        """Every one, the latest used last."""
        return self._notes.all()

    def get(self, task: str) -> Remembered | None:
        """One of them."""
        return self._notes.get(task)

    def named(self, name: str) -> list[Remembered]:
        """Those that `name` means (`meant`), the latest last. Raises UsageError where it is the beginning of several ids."""
        return meant(name, self._notes.all())

    def note(
        self,
        *,
        task: str,
        ask: Ask,
        snapshot: Snapshot,
        options: Mapping[str, tuple[str, ...]] | None = None,
        alone: bool = True,
    ) -> Remembered:
        """Somebody was let in to `snapshot` by this `ask`. `options` are those given that are no secret; `alone`: none of them
        may have changed what the URL means.
        """
        now, options = self._clock(), options or {}
        ask = attrs.evolve(ask, known=None, fallback=False, url=shareable(ask.url, snapshot))
        with self._lock:
            before = self._notes.get(task)
            if before is not None and before.imported:
                # it answers to what its archive says, whatever else it was found under since
                found = attrs.evolve(before, used=now)
                self._notes.keep(found)
                return found
            urls = dict(before.urls) if before else {}
            if urls.get(ask.url, -1.0) <= self._latest(ask, but=task):
                urls[ask.url] = now
            revision = revision_of(ask.url, snapshot, options)
            found = Remembered(
                task=task,
                ask=before.ask if before else ask,
                snapshot=snapshot,
                revisions=_with(before.revisions if before else (), revision),
                alone=_with(before.alone if before else (), ask.url if alone else ""),
                urls=dict(list(urls.items())[-_MOST_NAMES:]),
                options=dict(options) or (before.options if before else {}),
                resolved=before.resolved if before else now,
                used=now,
                pinned=before.pinned if before else False,
            )
            self._notes.keep(found)
            return found

    def bring_in(
        self, *, task: str, ask: Ask, snapshot: Snapshot, names: Iterable[str], revisions: Iterable[str]
    ) -> Remembered:
        """`snapshot`, whole or as chosen by `ask`, came in an archive: from now on `names` mean it, and no other before it."""
        now = self._clock()
        with self._lock:
            before = self._notes.get(task)
            urls = dict(before.urls) if before and before.imported else {}
            for name in names:
                if urls.get(name, -1.0) <= self._latest(attrs.evolve(ask, url=name), but=task):
                    urls[name] = now
            found = Remembered(
                task=task,
                ask=ask,
                snapshot=snapshot,
                revisions=tuple(revisions),
                alone=tuple(urls),
                urls=urls,
                resolved=before.resolved if before else now,
                used=now,
                pinned=before.pinned if before else False,
                imported=True,
            )
            self._notes.keep(found)
            return found

    def change(self, task: str, **changes: Any) -> bool:
        """Note something about one. False where there is none."""
        with self._lock:
            return self._notes.change(task, **changes)

    def forget(self, task: str) -> None:
        """Drop one. Harmless where there is none."""
        self._notes.forget(task)

    def _latest(self, ask: Ask, *, but: str) -> float:
        """When this URL last began to mean another snapshot; -1 where it did not."""
        choice = (ask.recursive, ask.include, ask.exclude)
        return max(
            (
                found.urls.get(ask.url, -1.0)
                for found in self._notes.all()
                if found.task != but and (found.ask.recursive, found.ask.include, found.ask.exclude) == choice
            ),
            default=-1.0,
        )


def shareable(url: str, snapshot: Snapshot) -> str:
    """`url`, or the pinned source in its place where there may be something secret in it.

    >>> shareable("https://me:secret@host/a", Snapshot("https://host/a", "a", ()))
    'https://host/a'
    """
    return url if bare_url(url) == url else snapshot.source


def revision_of(url: str, snapshot: Snapshot, options: Mapping[str, tuple[str, ...]]) -> str:
    """What the revision was called: by an option, or where the pinned source has its commit; "" where it was not."""
    for name, values in options.items():
        if values and name.rpartition("-")[2] == "revision":
            return values[-1]
    before, found, after = snapshot.source.partition(snapshot.revision or "\0")
    if not found or not (url.startswith(before) and url.endswith(after)):
        return ""
    name = url[len(before) : len(url) - len(after)]
    return "" if name == snapshot.revision else name


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if not name or name in names else (*names, name)[-_MOST_NAMES:]
