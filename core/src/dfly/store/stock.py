"""How much a store keeps, as the disk counts it: for who only wants to know, and must not read a byte of it."""

import contextlib
import os
from collections.abc import Iterator

import attrs

_DISK_BLOCK = 512


@attrs.frozen
class Stock:
    """Committed blobs, and the bytes that all blobs take, arriving ones included."""

    blobs: int
    bytes: int

    @classmethod
    def of(cls, directory: str) -> "Stock":
        """What lies below the directory of a `BlobStore`, which may be in use. What goes away meanwhile counts as gone."""
        blobs = count = 0
        for folder in _folders(os.path.join(directory, "blobs"), depth=2):
            with contextlib.suppress(OSError):
                blobs += os.path.exists(os.path.join(folder, "meta"))
                count += os.stat(os.path.join(folder, "data")).st_blocks * _DISK_BLOCK
        return cls(blobs, count)


def _folders(directory: str, *, depth: int) -> Iterator[str]:
    """Those `depth` levels below a directory."""
    if depth == 0:
        yield directory
        return
    with contextlib.suppress(OSError), os.scandir(directory) as found:
        for each in found:
            if each.is_dir(follow_symlinks=False):
                yield from _folders(each.path, depth=depth - 1)
