"""Whether the output can be written at all, asked before the first byte is fetched rather than after the last."""

import os
import stat
from collections.abc import Iterable, Sequence

from dfly.errors import OutputError
from dfly.output.place import PARTIALS, partial_directory
from dfly.output.plan import refuse_occupied


def preflight(paths: Sequence[str], *, root: str, needed: int) -> None:
    """Raise OutputError, saying what to do, where files cannot go to `paths`; changes nothing on disk.

    `root` is the output folder, which holds them all. `needed` is how many bytes are still to be written, without what
    partials hold already.
    Checked: file and folder conflicts in the existing tree, folders below the root that are links out of it, hidden
    folders that another user could write to, write permission, read-only file systems, free space.
    """
    if not paths:
        return
    root = root or "."
    try:
        _check(paths, root, needed)
    except OSError as error:
        raise OutputError.from_os(error, root) from error


def _check(paths: Sequence[str], root: str, needed: int) -> None:
    folders = {os.path.dirname(path) or "." for path in paths} | {os.path.join(root, PARTIALS), root}
    for component in sorted(_components(root, folders)):
        _refuse_component(root, component)
    for place in {os.path.dirname(partial_directory(os.path.join(folder, "x"), "", root=root)) for folder in folders}:
        _refuse_foreign(place)
    for path in paths:
        refuse_occupied(path)
    for folder in {_existing(folder) for folder in folders}:
        _refuse_unwritable(folder)
    _refuse_full(_existing(root), needed)


def _components(root: str, folders: Iterable[str]) -> set[str]:
    """Every folder from `root` down to each of `folders`, `root` included."""
    found = {root}
    for folder in folders:
        parent = folder
        while parent not in found and len(parent) > len(root):
            found.add(parent)
            parent = os.path.dirname(parent)
    return found


def _refuse_component(root: str, path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode) and path != root:
        inside, real = os.path.realpath(root), os.path.realpath(path)
        if os.path.commonpath([inside, real]) != inside:
            raise OutputError(
                f"{path} is a symbolic link that leads out of {root}, to {real}",
                hint="remove the link, or name the folder that it points to with -O",
            )
    if not os.path.isdir(path):
        raise OutputError(f"{path} is a file, and a folder is needed there", hint="move it away or choose another -O")


def _refuse_foreign(place: str) -> None:
    """Refuse a hidden folder whose files another user could change after they were verified."""
    try:
        found = os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise OutputError(
            f"{place} is not a folder of this user: what arrives there could be changed by somebody else",
            hint="remove it, or choose another place with -O",
        )
    if found.st_mode & 0o002:
        raise OutputError(
            f"{place} can be written by everybody: what arrives there could be changed by somebody else",
            hint="remove it (or chmod 700 it, if only you have been there), or choose another place with -O",
        )


def _existing(path: str) -> str:
    """`path`, or its nearest parent that exists."""
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _refuse_unwritable(folder: str) -> None:
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OutputError(f"{folder} is on a read-only file system", hint="choose another place with -O")
    if not os.path.isdir(folder):
        raise OutputError(f"{folder} is a file, and a folder is needed there", hint="choose another place with -O")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"no permission to write in {folder}", hint="choose another place with -O, or change the permissions"
        )


def _refuse_full(folder: str, needed: int) -> None:
    system = os.statvfs(folder)
    free = system.f_bavail * system.f_frsize
    if needed > free:
        raise OutputError(
            f"{readable(needed)} are needed in {folder} and {readable(free)} are free",
            hint=f"free {readable(needed - free)} more, or choose another place with -O",
        )


def readable(size: int) -> str:
    """`size` bytes for a person.

    >>> readable(999), readable(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if size < 1000:
        return f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"
