"""What was asked for, held against what is there."""

from dfly.errors import Changed, IntegrityError, UsageError
from dfly.values import Digest, Entry, Snapshot


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


def same_file(told: Entry, found: Entry) -> Entry:
    """`found` at the source, where a seed peer `told` of a file of which somebody may have read already; Changed for another.

    Its own word is gone by, because a seed peer's would steer where this process's credentials go.
    """
    if told.blob is None or (told.size, told.blob) != (found.size, found.blob):
        raise Changed(
            f"{told.path}: nothing shows that the source still has the file that the seed peer told of",
            hint="throw away what has been read of it, and begin again",
        )
    return found
