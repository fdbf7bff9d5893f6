"""Whether an output is already there and right, without reading it again.

A file that we placed carries the extended attribute `user.dfly`: what it is, and its size, mtime, inode and boot then.
While these hold it counts as untouched; whoever edits it and restores both size and mtime within one boot is believed.
After a reboot they prove nothing, because a file system that lost power may have kept the name and lost the bytes;
then, and where there are no extended attributes, the file is hashed.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from typing import Any

from dfly.boot import boot_id
from dfly.values import Digest, Entry

_ATTRIBUTE = "user.dfly"

HashFile = Callable[[str, Digest], bool]


def entry_key(entry: Entry) -> str | None:
    """What a receipt calls this content; None where nothing tells whether the origin's content is still the same."""
    if entry.blob is not None:
        return entry.blob
    if entry.validator is not None or entry.digests:
        known = [entry.identity, entry.validator, *map(str, sorted(entry.digests))]
        return "known-" + hashlib.sha256(json.dumps(known).encode()).hexdigest()
    return None


def record(path: str, entry_key: str, *, boot: str | None = None) -> bool:
    """Note on the file at `path` that it is `entry_key`, complete; False where the file system keeps no such notes."""
    try:
        receipt = {"key": entry_key, **_state(os.stat(path, follow_symlinks=False)), "boot": boot or boot_id()}
        os.setxattr(path, _ATTRIBUTE, json.dumps(receipt).encode(), follow_symlinks=False)
    except (OSError, AttributeError):  # macOS has no os.setxattr
        return False
    return True


def matches(
    path: str, entry: Entry, *, hash_file: HashFile | None = None, verify: bool = True, boot: str | None = None
) -> bool:
    """Whether the file at `path` is this entry.

    A receipt of this boot is believed. Else the file is hashed by `hash_file(path, digest)`, and gets a new receipt if
    it is right; with `verify` False or without `hash_file` it is not read, and not a match. A size proves nothing.
    `hash_file` may raise ValueError for a digest it cannot compute; OSError means not a match.
    """
    key, status = entry_key(entry), _regular(path)
    if key is None or status is None or entry.size not in (None, status.st_size):
        return False
    if _read(path) == {"key": key, **_state(status), "boot": boot or boot_id()}:
        return True
    if not verify or hash_file is None or not _hash_agrees(path, entry, hash_file):
        return False
    after = _regular(path)
    if after is None or _state(after) != _state(status):  # written to while it was being read
        return False
    record(path, key, boot=boot)
    return True


def _hash_agrees(path: str, entry: Entry, hash_file: HashFile) -> bool:
    for digest in sorted(entry.digests, key=lambda digest: not digest.strong):
        try:
            return hash_file(path, digest)
        except ValueError:
            continue
        except OSError:
            return False
    return False


def _regular(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _state(status: os.stat_result) -> dict[str, Any]:
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns, "ino": status.st_ino}


def _read(path: str) -> Any:
    try:
        return json.loads(os.getxattr(path, _ATTRIBUTE, follow_symlinks=False))
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
