"""Content without repetition, partials over it, and a disk small enough to fill."""

import functools
import hashlib
import os
import random
import subprocess
from typing import Any

import pytest

from dfly.layout import Layout
from dfly.store.partial import Partial


@functools.cache
def _content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.fixture
def content():
    """`content(size)`: so many bytes, the same at every call."""
    return _content


@pytest.fixture
def piece_hashes():
    """`piece_hashes(data, segment)`: what the SHA-1s of that segment's pieces must be, joined."""

    def of(data: bytes, segment: int) -> bytes:
        layout = Layout(len(data))
        ranges = (layout.piece_range(piece) for piece in layout.segment_pieces(segment))
        return b"".join(hashlib.sha1(data[start:stop]).digest() for start, stop in ranges)

    return of


@pytest.fixture
def fill():
    """`fill(partial, data, segments)`: write whole segments, by default all that are missing."""

    def write(partial: Partial, data: bytes, segments: list[int] | None = None) -> None:
        for segment in partial.missing_segments() if segments is None else segments:
            start, stop = partial.layout.segment_range(segment)
            with partial.writer(start, stop) as writer:
                writer.write(data[start:stop])

    return write


@pytest.fixture
def open_partial(tmp_path):
    """`open_partial(size, …)`: the partial in `tmp_path/p`; what is still open at the end is closed."""
    opened: list[Partial] = []

    def open_one(size: int | None, **changes: Any) -> Partial:
        wanted: dict[str, Any] = {"blob": "sha256-b", "size": size, "validator": "v1", "boot": "boot-a"} | changes
        opened.append(Partial.open(str(tmp_path / "p"), **wanted))
        return opened[-1]

    yield open_one
    for partial in opened:
        partial.close()


@pytest.fixture
def small_disk(tmp_path):
    """A mounted tmpfs of one segment and a half; `small_disk.remount("size=64m")` changes it."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    disk = _Disk(str(tmp_path / "disk"))
    os.mkdir(disk.path)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={3 * Layout(1).segment_length // 2}", "tmpfs", disk.path],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk.path], check=True)


class _Disk:
    def __init__(self, path: str) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)
