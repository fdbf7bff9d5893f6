"""Where a file waits until it is whole, and the atomic last step to its final path.

    models/repo/.dfly/<name>-<blob>/     the partial of models/repo/weights.bin
    models/repo/weights.bin              appears in one rename, with its receipt

The waiting place is on the output's own file system, so that the last step never copies, and follows from the final
path and the content, so that the next run finds it.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable

from dfly.errors import OutputError
from dfly.output.receipt import entry_key, record
from dfly.values import Entry

PARTIALS = ".dfly"


def partial_directory(final: str, key: str, *, root: str | None = None) -> str:
    """The folder for the partial of the file `final` with content `key`; does not make it.

    Below `root`, the output folder, so that one `.dfly` serves a whole repository; beside the file where `root` is not
    given or is another file system.
    """
    place = _waiting_place(final, root)
    return os.path.join(place, f"{_name_hash(final, place)}-{_short(key)}")


def remove_stale(final: str, key: str, *, root: str | None = None) -> None:
    """Remove partials of other contents of the file `final`, except those that a living process holds."""
    current = partial_directory(final, key, root=root)
    place, name = os.path.split(current)
    prefix = name.partition("-")[0] + "-"
    with contextlib.suppress(OSError):
        for other in os.listdir(place):
            if other.startswith(prefix) and other != name:
                _remove_unless_held(os.path.join(place, other))


def remove_all(finals: Iterable[str], *, root: str) -> None:
    """Remove what runs that were killed have left of the files `finals`, except what a living process holds."""
    if not os.path.isdir(waiting_place(root)):
        return
    ours = {_name_hash(final, waiting_place(root)) for final in finals}
    with contextlib.suppress(OSError):
        for name in os.listdir(waiting_place(root)):
            if name.partition("-")[0] in ours:
                _remove_unless_held(os.path.join(waiting_place(root), name))
    clean(root)


def place(commit: Callable[[str], None], final: str, *, entry: Entry | None = None) -> None:
    """Make the parents of `final`, `commit(final)` (a rename), and leave a receipt for `entry`.

    Raises OutputError.
    """
    folder = os.path.dirname(final) or "."
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OutputError.from_os(error, folder, kept="all bytes have arrived and are kept for the next run") from error
    commit(final)
    if entry is not None and (key := entry_key(entry)) is not None:
        record(final, key)


def waiting_place(root: str) -> str:
    """The hidden folder below `root` where what is not finished waits."""
    return os.path.join(root, PARTIALS)


def clean(root: str) -> None:
    """Remove the waiting place below `root` if nothing is left in it."""
    with contextlib.suppress(OSError):
        os.rmdir(os.path.join(root, PARTIALS))


def _waiting_place(final: str, root: str | None) -> str:
    folder = os.path.dirname(final) or "."
    if root is None or _device(folder) != _device(root):
        return os.path.join(folder, PARTIALS)
    return os.path.join(root, PARTIALS)


def _device(folder: str) -> int:
    """The file system that `folder` is on, or would be."""
    folder = os.path.abspath(folder)
    while True:
        try:
            return os.stat(folder).st_dev
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            # what may not be seen may not be written either: the preflight says so
            folder = os.path.dirname(folder)


def _name_hash(final: str, place: str) -> str:
    return _short(os.path.relpath(final, os.path.dirname(place)))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _remove_unless_held(directory: str) -> None:
    data = os.path.join(directory, "data")
    with contextlib.suppress(OSError):
        fd = os.open(data, os.O_RDWR | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(data, follow_symlinks=False), os.fstat(fd)):
                # the data last: while it is there, nobody else gets the lock
                for name in sorted(os.listdir(directory), key=lambda name: name == "data"):
                    os.unlink(os.path.join(directory, name))
        finally:
            os.close(fd)
    with contextlib.suppress(OSError):
        os.rmdir(directory)
