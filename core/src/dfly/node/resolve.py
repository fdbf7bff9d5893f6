"""From what the user typed to the entries to fetch: resolve, pin, filter, and check what was asked against what is there."""

from collections.abc import Sequence

import attrs

from dfly.backend import Backend
from dfly.errors import IntegrityError, UsageError
from dfly.globs import select
from dfly.values import Digest, Entry, Snapshot


def resolve(
    backend: Backend,
    url: str,
    *,
    recursive: bool,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    digest: str | None = None,
    max_files: int | None = None,
) -> Snapshot:
    """The pinned snapshot of `url`, reduced to the files asked for.

    Without `recursive` the URL must name one file. `digest` ("sha256:…") is what that file must have, besides what the
    origin says. Raises UsageError for contradictions, IntegrityError where the origin already announces another content.
    """
    if not recursive:
        if include or exclude:
            raise UsageError("--include and --exclude choose among many files", hint="add -r")
        entry = backend.stat(url)
        snapshot = Snapshot(source=entry.url, name=entry.path, entries=(entry,))
    else:
        if digest is not None:
            raise UsageError("--digest belongs to one file", hint="leave out -r, or leave out --digest")
        snapshot = backend.list(url)
        snapshot = snapshot.only(select(snapshot.entries, include=include, exclude=exclude))
    return expect(snapshot, digest, max_files, url)


def expect(snapshot: Snapshot, digest: str | None, max_files: int | None, url: str) -> Snapshot:
    """Hold a resolved snapshot, of `url`, against what the user said about it."""
    if max_files is not None and len(snapshot.entries) > max_files:
        raise UsageError(
            f"{url} has {len(snapshot.entries)} files, more than --max-files {max_files}",
            hint="choose with --include and --exclude, or raise --max-files",
        )
    if digest is None:
        return snapshot
    return snapshot.only(_expect(entry, digest) for entry in snapshot.entries)


def _expect(entry: Entry, text: str) -> Entry:
    try:
        wanted = Digest.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
    told = entry.digest(wanted.algorithm)
    if told is not None and told != wanted.value:
        raise IntegrityError(
            entry.path,
            algorithm=wanted.algorithm,
            expected=wanted.value,
            actual=told,
            hint="the origin announces another content than --digest asks for; nothing was fetched",
        )
    return attrs.evolve(entry, digests=tuple(sorted({*entry.digests, wanted})))
