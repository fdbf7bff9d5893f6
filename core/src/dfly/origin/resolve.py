"""From what the user typed to the entries to fetch: pinned, listed and chosen from."""

from collections.abc import Sequence

from dfly.backend import Backend
from dfly.errors import Unsupported
from dfly.globs import select
from dfly.values import Entry, Snapshot

#: Larger than any file system's files; from here on numbers do not fit where they have to go.
_LARGEST = 1 << 60


def resolve(
    backend: Backend, url: str, *, recursive: bool, include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Snapshot:
    """The pinned snapshot of `url`, reduced to the files asked for. Without `recursive` the URL must name one file.

    Raises what the backend raises, and Unsupported for a file of a size that none has.
    """
    if not recursive:
        entry = backend.stat(url)
        return Snapshot(source=entry.url, name=entry.path, entries=_possible((entry,)), public=backend.public(entry))
    snapshot = backend.list(url)
    return snapshot.only(_possible(select(snapshot.entries, include=include, exclude=exclude)))


def _possible(entries: Sequence[Entry]) -> Sequence[Entry]:
    for entry in entries:
        # a plugin may pass on what JSON had there, and true is an int
        if entry.size is not None and not (type(entry.size) is int and 0 <= entry.size < _LARGEST):
            raise Unsupported(
                f"{entry.path}: its source tells a size that no file has", hint="is the source the one that was meant?"
            )
    return entries
