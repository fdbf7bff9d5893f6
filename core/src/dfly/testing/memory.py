"""A hub in memory: the smallest complete backend that does not speak HTTP, and a fast origin for tests.

`memory://repository[@revision][/path]`, a repository being one word. Every commit stays readable, so a pinned URL means
the same bytes for ever. The core makes instances from a class, so the content hangs on the class: see `memory_backend`.

>>> backend = memory_backend({"tiny": {"config.json": b"{}"}})
>>> backend.hub.commit("tiny", {"config.json": b"{'new': 1}"}) in backend.hub.revisions("tiny")
True
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import attrs

from dfly.backend import Backend, Secret, option
from dfly.errors import AccessDenied, NotAFile, NotFound, UsageError
from dfly.values import Digest, Entry, Snapshot, bare_url

__all__ = ["MemoryBackend", "MemoryHub", "MemoryOptions", "memory_backend"]

Files = Mapping[str, bytes]


class MemoryHub:
    """Repositories, each a series of commits. Safe to use from many threads.

    `token`, where given, is what every reader must present.
    """

    def __init__(self, repositories: Mapping[str, Files], *, token: str | None = None) -> None:
        self.token = token
        self._lock = threading.Lock()
        self._commits: dict[str, dict[str, Files]] = {}
        self._digests: dict[tuple[str, str, str], str] = {}
        for name, files in repositories.items():
            self.commit(name, files)

    def commit(self, repository: str, files: Files) -> str:
        """Replace what `repository` holds; its new revision."""
        content = sorted((path, hashlib.sha256(data).hexdigest()) for path, data in files.items())
        revision = hashlib.sha256(repr(content).encode()).hexdigest()[:12]
        with self._lock:
            self._digests.update({(repository, revision, path): digest for path, digest in content})
            commits = self._commits.setdefault(repository, {})
            commits.pop(revision, None)
            commits[revision] = dict(files)
        return revision

    def sha256(self, repository: str, revision: str, path: str) -> str:
        """The digest of a file, in hexadecimal."""
        return self._digests[repository, revision, path]

    def revisions(self, repository: str) -> tuple[str, ...]:
        """All revisions, oldest first; the last one is what an unpinned URL means. Raises NotFound."""
        with self._lock:
            if repository not in self._commits:
                raise NotFound(f"there is no repository memory://{repository}", kind="repository")
            return tuple(self._commits[repository])

    def files(self, repository: str, revision: str) -> Files:
        """What one revision holds. Raises NotFound."""
        if revision not in self.revisions(repository):
            raise NotFound(f"memory://{repository} has no revision {revision!r}", kind="revision")
        with self._lock:
            return self._commits[repository][revision]


@attrs.frozen
class MemoryOptions:
    """What a user may set: `--memory-token`, `--memory-revision`."""

    token: Secret | None = option(help="what a private hub asks for", secret=True, travels=True)
    revision: str | None = option(help="the revision, where the URL names none")


@attrs.frozen
class _Place:
    """A parsed URL with its revision found: `path` is "" for the whole repository."""

    repository: str
    revision: str
    path: str

    def url(self, path: str) -> str:
        return f"memory://{self.repository}@{self.revision}/{path}".rstrip("/")


class MemoryBackend(Backend):
    """Reads a `MemoryHub`. Use `memory_backend` to make one with content."""

    schemes = ("memory",)
    options = MemoryOptions
    hub: ClassVar[MemoryHub]

    settings: MemoryOptions

    def stat(self, url: str) -> Entry:
        """One file, pinned to the revision it is in now."""
        place = self._place(url)
        files = self._files(place)
        if place.path in files:
            return self._entry(place, place.path, name=place.path.rpartition("/")[2])
        if not place.path or _below(files, place.path):
            raise NotAFile(bare_url(url))
        raise NotFound(f"memory://{place.repository} has no file {place.path!r}", url=bare_url(url))

    def public(self, entry: Entry) -> bool:
        """Where no token is asked for."""
        return self.hub.token is None

    def list(self, url: str) -> Snapshot:
        """A repository, a folder of it, or one file."""
        place = self._place(url)
        files = self._files(place)
        if place.path in files:
            entries = [self.stat(url)]
        else:
            below = _below(files, place.path)
            if place.path and not below:
                raise NotFound(f"memory://{place.repository} has nothing at {place.path!r}", url=bare_url(url))
            start = len(place.path) + 1 if place.path else 0
            entries = [self._entry(place, path, name=path[start:]) for path in below]
        name = (place.path or place.repository).rpartition("/")[2]
        return Snapshot(place.url(place.path), name, tuple(entries), place.revision, public=self.hub.token is None)

    def get(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        """The bytes themselves; nothing to locate."""
        place = self._place(entry.url)
        data = memoryview(self._files(place)[place.path])[start:stop]
        for offset in range(0, len(data), 1 << 16):
            yield bytes(data[offset : offset + (1 << 16)])

    def put(self, path: os.PathLike[str], url: str) -> None:
        """Commit the repository once more, with this file in it."""
        place = self._place(url)
        self.hub.commit(place.repository, {**self._files(place), place.path: Path(path).read_bytes()})

    def _place(self, url: str) -> _Place:
        scheme, _, rest = url.partition("://")
        head, _, path = rest.partition("/")
        repository, _, revision = head.partition("@")
        if scheme not in self.schemes or not repository:
            raise UsageError(f"{bare_url(url)!r} is not memory://repository[@revision][/path]")
        if self.hub.token is not None and (
            self.settings.token is None or self.settings.token.reveal() != self.hub.token
        ):
            raise AccessDenied(f"memory://{repository} is private", hint="give --memory-token", url=bare_url(url))
        found = revision or self.settings.revision or self.hub.revisions(repository)[-1]
        return _Place(repository, found, path.strip("/"))

    def _files(self, place: _Place) -> Files:
        return self.hub.files(place.repository, place.revision)

    def _entry(self, place: _Place, path: str, *, name: str) -> Entry:
        data = self._files(place)[path]
        return Entry(
            path=name,
            size=len(data),
            url=place.url(path),
            identity=f"memory://{place.repository}/{path}",
            digests=(Digest("sha256", self.hub.sha256(place.repository, place.revision, path)),),
            validator=place.revision,
        )


def _below(files: Files, folder: str) -> list[str]:
    return [path for path in files if not folder or path.startswith(folder + "/")]


def memory_backend(repositories: Mapping[str, Files], *, token: str | None = None) -> type[MemoryBackend]:
    """A backend class over `repositories` (name → path → content); `token` makes them private, `hub` takes commits."""
    return type("MemoryBackend", (MemoryBackend,), {"hub": MemoryHub(repositories, token=token)})
