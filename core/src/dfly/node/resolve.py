"""From what the user typed to the entries to fetch: resolve, pin, filter, and check what was asked against what is there."""

from collections.abc import Sequence

from dfly.backend import Backend
from dfly.errors import IntegrityError, UsageError
from dfly.globs import select
from dfly.values import Digest, Snapshot


def resolve(
    backend: Backend, url: str, *, recursive: bool, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Snapshot:
    """The pinned snapshot of `url`, reduced to the files asked for. Without `recursive` the URL must name one file."""
    if not recursive:
        entry = backend.stat(url)
        return Snapshot(source=entry.url, name=entry.path, entries=(entry,))
    snapshot = backend.list(url)
    return snapshot.only(select(snapshot.entries, include=include, exclude=exclude))


def expect(snapshot: Snapshot, *, digest: Digest | None, max_files: int | None, url: str) -> Snapshot:
    """Hold a resolved snapshot, of `url`, against what the user said about it; returns it.

    Raises UsageError, and IntegrityError where the origin announces another content than `digest`.
    """
    if max_files is not None and len(snapshot.entries) > max_files:
        raise UsageError(
            f"{url} has {len(snapshot.entries)} files, more than --max-files {max_files}",
            hint="choose with --include and --exclude, or raise --max-files",
        )
    for entry in snapshot.entries if digest else ():
        assert digest is not None
        told = entry.digest(digest.algorithm)
        if told not in (None, digest.value):
            raise IntegrityError(
                entry.path,
                algorithm=digest.algorithm,
                expected=digest.value,
                actual=str(told),
                hint="the origin announces another content than --digest asks for; nothing was fetched",
            )
    return snapshot


def contents(snapshot: Snapshot) -> frozenset[tuple[str, int | None, str | None]]:
    """Which files a snapshot means, wherever each comes from."""
    return frozenset((entry.path, entry.size, entry.blob) for entry in snapshot.entries)
