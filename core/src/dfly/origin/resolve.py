"""From what the user typed to the entries to fetch: pinned, listed and chosen from."""

from collections.abc import Sequence

from dfly.backend import Backend
from dfly.globs import select
from dfly.values import Snapshot


def resolve(
    backend: Backend, url: str, *, recursive: bool, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Snapshot:
    """The pinned snapshot of `url`, reduced to the files asked for. Without `recursive` the URL must name one file."""
    if not recursive:
        entry = backend.stat(url)
        return Snapshot(source=entry.url, name=entry.path, entries=(entry,))
    snapshot = backend.list(url)
    return snapshot.only(select(snapshot.entries, include=include, exclude=exclude))
