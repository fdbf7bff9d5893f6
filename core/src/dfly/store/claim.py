"""A data directory belongs to one process of one user, and says in which format it is.

What lies in it is handed to other machines as right, so nobody else may be able to write there.
"""

import os

from dfly.errors import OutputError
from dfly.store.lock import Lock

#: Another number where a reader of the old one would be wrong: other names, other piece lengths (`dfly.layout`).
FORMAT = 2


def private_directory(path: str) -> None:
    """Make `path` with mode 0700, or check the one there: ours, and not writable by everybody. Raises OutputError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        info = os.stat(path)
    except OSError as error:
        raise OutputError.from_os(error, path) from error
    if info.st_uid != os.geteuid():
        raise OutputError(
            f"{path} belongs to another user (uid {info.st_uid}): what is in it cannot be trusted",
            hint="choose another data directory",
        )
    if info.st_mode & 0o002:
        raise OutputError(
            f"{path} can be written by everybody: what is in it cannot be trusted",
            hint="choose another data directory, or empty this one and chmod 700 it",
        )


def claim(directory: str) -> Lock:
    """Take `directory` for this process until the lock is released, or the process ends however it ends.

    Raises OutputError where another process has it, another user could write to it, or a newer dfly wrote it.
    """
    private_directory(directory)
    lock = Lock(os.path.join(directory, "lock"))
    try:
        try:
            lock.acquire()
        except OutputError as error:
            hint = "a data directory serves one process: stop the other one, or choose another directory"
            raise OutputError(error.message, hint=hint) from error
        _check_format(os.path.join(directory, "format"))
    except BaseException as error:
        lock.release()
        if isinstance(error, OSError):
            raise OutputError.from_os(error, directory) from error
        raise
    return lock


def _check_format(path: str) -> None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = file.read(100).strip()
    except FileNotFoundError:
        found = ""
    if found == str(FORMAT):
        return
    if found:
        raise OutputError(
            f"{os.path.dirname(path)} is in format {found!r}, this dfly knows format {FORMAT}",
            hint="use the dfly that wrote it, or choose another data directory",
        )
    new = path + ".new"
    with open(new, "w", encoding="ascii") as file:
        file.write(f"{FORMAT}\n")
    os.replace(new, path)
