"""The files of a partial's directory, as names: giving the data a second one, and removing them in a safe order."""

import contextlib
import os
from pathlib import Path

_SECOND_NAME = "second-name"
#: The data last: it carries the lock, so while it is there nobody else moves in; without a journal it is worth nothing.
_NAMES = (_SECOND_NAME, "journal.new", "journal", "data")


def link_over(path: str, final: str) -> None:
    """Make `final` another name of the file `path` in one step, replacing what was there. Raises OSError."""
    second = Path(os.path.dirname(path), _SECOND_NAME)
    second.unlink(missing_ok=True)
    os.link(path, second)
    os.replace(second, final)
    second.unlink(missing_ok=True)  # a rename onto another name of the same file leaves both


def empty(directory: str) -> None:
    """Remove the files of a partial; the caller holds its lock. Raises OSError."""
    for name in _NAMES:
        Path(directory, name).unlink(missing_ok=True)


def remove_if_empty(directory: str) -> None:
    """Remove the directory unless something is kept in it, or somebody else has moved in."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)
