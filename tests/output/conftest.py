"""Entries, snapshots and a file that is in place."""

import hashlib
import os
import subprocess

import pytest

from dfly.values import Digest, Entry, Snapshot


@pytest.fixture
def entry():
    """`entry(path, data, …)`: a file of a hub that tells its SHA-256."""

    def make(path="weights.bin", data=b"weights", **changes):
        known = {
            "size": len(data),
            "url": f"hf://o/r@c/{path}",
            "identity": f"hf://o/r/{path}",
            "digests": (Digest("sha256", hashlib.sha256(data).hexdigest()),),
            "validator": "commit",
        }
        return Entry(path, **(known | changes))

    return make


@pytest.fixture
def snapshot(entry):
    """`snapshot("a", "b/c", …)`: those paths, called "repo"."""

    def make(*paths, name="repo"):
        return Snapshot("hf://o/r@c", name, [entry(path) for path in paths])

    return make


@pytest.fixture
def small_disk(tmp_path):
    """A mounted tmpfs of 1 MiB; `small_disk.remount("ro")` changes it."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    disk = _Disk(str(tmp_path / "disk"))
    os.mkdir(disk.path)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk.path], check=True)


class _Disk:
    def __init__(self, path):
        self.path = path

    def remount(self, options):
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)
