"""Where each file of a snapshot goes. As with `cp`, an existing folder or a trailing `/` means inside."""

import os
import stat

import attrs

from dfly.errors import NotAFile, OutputError, UsageError
from dfly.paths import refuse_unsafe
from dfly.values import Digest, Entry, Snapshot


@attrs.frozen
class Target:
    """`entry` becomes the file `path`. `demanded` is what the user says that it must be, besides what the origin says."""

    entry: Entry
    path: str
    demanded: Digest | None = None

    @property
    def size(self) -> int:
        """In bytes; that of what lies there, where the origin tells none."""
        if self.entry.size is not None:
            return self.entry.size
        try:
            return os.stat(self.path, follow_symlinks=False).st_size
        except OSError:
            return 0


def plan(snapshot: Snapshot, output: str | None, *, recursive: bool) -> list[Target]:
    """One target per entry, in the snapshot's order.

    Without `recursive`, the one file goes to `output`; inside it, under its own name, if that is a folder or ends in
    `/`; to its own name in the current directory if it is None. With `recursive`, entries go directly below `output`,
    or below the snapshot's name in the current directory.

    Raises UnsafePath where a name from the listing would be used that must not be, NotAFile where one file was asked for and
    there are several, UsageError for an empty `output`, and OutputError where something other than a plain file stands at
    a target.
    """
    if output == "":
        raise UsageError("-O names no place", hint="give a path, or leave it out for the current directory")
    if recursive:
        refuse_unsafe(entry.path for entry in snapshot.entries)
        targets = _below(snapshot, output)
    elif len(snapshot.entries) == 1:
        targets = [_single(snapshot.entries[0], output)]
    else:
        raise NotAFile(snapshot.source)
    for target in targets:
        refuse_occupied(target.path)
    return targets


def refuse_occupied(path: str) -> None:
    """Raise OutputError where `path` exists and is not a plain file."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise OutputError.from_os(error, path) from error
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder, and a file is to go there", hint="remove it or choose another -O")
    if stat.S_ISLNK(mode):
        raise OutputError(
            f"{path} is a symbolic link, to {os.readlink(path)}", hint="name what it points to, or remove the link"
        )
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path} is a device, pipe or socket", hint="use -O - to write to standard output")


def _single(entry: Entry, output: str | None) -> Target:
    name = entry.path.rpartition("/")[2]
    if output is not None and not output.endswith("/") and not os.path.isdir(output):
        # the user's own name: whatever the origin calls the file is not used
        return Target(entry, output)
    refuse_unsafe([entry.path])
    return Target(entry, os.path.join(output or "", name))


def _below(snapshot: Snapshot, output: str | None) -> list[Target]:
    if output is None:
        refuse_unsafe([snapshot.name])
    root = output or snapshot.name
    return [Target(entry, os.path.join(root, entry.path)) for entry in snapshot.entries]
