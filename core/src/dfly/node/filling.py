"""A task whose files go to the cache of a hub's own tools, beside those tools at their work.

Contents that are there are used once they are verified. While the rest is brought, its lock files are held, as the tools do, so
that nothing is fetched twice; who has one of them first is waited for. Locks save work only: every step of a cache is a
rename, and none depends on them.
"""

import contextlib
import math
import os
import resource
import threading
from collections.abc import Iterator, Sequence

import attrs

from dfly.caches import CachedFile, CacheLayout, CacheOrder
from dfly.errors import InUse, OutputError
from dfly.events import FileFinished, FileSkipped, Listener, Warned
from dfly.output.linked import LinkedCache, elsewhere
from dfly.output.place import clean, partial_directory, waiting_place
from dfly.output.plan import Target, refuse_occupied
from dfly.output.receipt import matches
from dfly.paths import refuse_unsafe
from dfly.store.hashing import hash_file
from dfly.store.lock import Lock
from dfly.values import Snapshot

_MOST_LOCKS = 4096


@attrs.define(kw_only=True, eq=False)
class Filling:
    """See `dfly.node.outputs.Outputs`. `overwrite` fetches again what is there."""

    layout: CacheLayout
    directory: str
    order: CacheOrder
    recursive: bool
    overwrite: bool
    _cache: LinkedCache = attrs.field(init=False)
    _locks: list[Lock] = attrs.field(init=False, factory=list)
    _wanted: set[str] = attrs.field(init=False, factory=set)

    def plan(self, snapshot: Snapshot) -> list[Target]:
        """See Outputs. One target for each content."""
        refuse_unsafe(entry.path for entry in snapshot.entries)
        self._cache = LinkedCache(self.directory, self.layout.arrange(snapshot, self.order))
        by_blob: dict[str, Target] = {}
        for kept in self._files:
            if kept.blob not in by_blob:
                by_blob[kept.blob] = Target(kept.entry, self._content(kept))
        return list(by_blob.values())

    def occupied(self) -> bool:
        """See Outputs."""
        try:
            return bool(os.listdir(self.directory))
        except OSError:
            return False

    def listed(self, targets: Sequence[Target]) -> list[tuple[Target, str]]:
        """See Outputs. A content may be several files."""
        by_blob = dict(zip(dict.fromkeys(kept.blob for kept in self._files), targets, strict=True))
        return [(attrs.evolve(by_blob[kept.blob], entry=kept.entry), self._cache.at(kept.link)) for kept in self._files]

    def root(self, targets: Sequence[Target]) -> str:  # noqa: ARG002 - one signature for all
        """See Outputs."""
        return self._cache.root

    def name(self, targets: Sequence[Target]) -> str:  # noqa: ARG002 - one signature for all
        """See Outputs."""
        return self._cache.view if self.recursive or not self._files else self._cache.at(self._files[0].link)

    def claim(self, wanted: Sequence[Target], *, emit: Listener, stop: threading.Event) -> bool:
        """See Outputs."""
        if not wanted:
            return False
        self._cache.open()
        by_entry = {kept.entry: kept for kept in self._files if kept.lock}
        named = {by_entry[target.entry].lock: target for target in wanted if target.entry in by_entry}
        largest = sorted(named, key=lambda name: -(named[name].entry.size or 0))[: _most_locks()]
        # in one order in all processes, so that no two wait for each other
        for name in sorted(largest):
            self._lock(self._cache.at(name), named[name], emit=emit, stop=stop)
        self._wanted.update(target.path for target in wanted)
        with self._telling():
            for target in wanted:
                if os.path.islink(target.path):
                    self._cut_loose(target.path)
        return bool(largest)

    def finish(self, targets: Sequence[Target], *, emit: Listener, stop: threading.Event) -> None:
        """See Outputs."""
        if not self._cache.stands(hash_file=hash_file):
            self._publish(stop)
        self.close()
        told = set[str]()
        for target, _ in self.listed(targets):
            name, blob, size = target.entry.path, target.path, target.entry.size or 0
            if blob in told:
                fresh = blob in self._wanted
                emit(FileFinished(path=name, output=blob, bytes=size) if fresh else FileSkipped(path=name, bytes=size))
            told.add(blob)

    def close(self) -> None:
        """See Outputs."""
        while self._locks:
            self._locks.pop().release()

    @property
    def _files(self) -> tuple[CachedFile, ...]:
        return self._cache.plan.files

    def _content(self, kept: CachedFile) -> str:
        """The file that has the content, or will have it."""
        blob = self._cache.at(kept.blob)
        shared = None if self.overwrite else elsewhere(blob, self.directory)
        if shared is not None and matches(shared, kept.entry, hash_file=hash_file):
            return shared
        if not os.path.islink(blob):
            refuse_occupied(blob)
        return blob

    def _lock(self, path: str, target: Target, *, emit: Listener, stop: threading.Event) -> None:
        lock = Lock(path)
        with self._telling():
            try:
                lock.acquire()
            except InUse:
                emit(Warned(message=f"another program is bringing {target.entry.path} to this cache; waiting for it"))
                lock.acquire(wait=math.inf, cancel=stop)
            except PermissionError:
                return  # another user's, who lets nobody else lock it
        self._locks.append(lock)

    def _cut_loose(self, path: str) -> None:
        """Make a link to a shared content, which is no place for another, a file of its own; to nowhere, nothing."""
        hidden = f"{partial_directory(path, 'loose', root=self._cache.root)}.link"
        try:
            os.makedirs(os.path.dirname(hidden), exist_ok=True)
            os.link(os.path.realpath(path), hidden)
            os.replace(hidden, path)
        except OSError:
            os.unlink(path)

    def _publish(self, stop: threading.Event) -> None:
        self._cache.open()
        guard = Lock(os.path.join(waiting_place(self._cache.root), "view.lock"))
        with self._telling():
            try:
                guard.acquire(wait=math.inf, cancel=stop)
                self._cache.publish(hash_file=hash_file)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(guard.path)
            finally:
                guard.release()
        clean(self._cache.root)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError.from_os(error, error.filename or self._cache.root) from error


def _most_locks() -> int:
    """Each is an open file, of which a process may have only so many."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_LOCKS if files == resource.RLIM_INFINITY else min(files // 4, _MOST_LOCKS)
