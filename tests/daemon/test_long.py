"""What takes minutes: large caches, many tasks."""

import os
import re
import time
from pathlib import Path

import pytest

import dfly
from dfly.boot import boot_id
from dfly.daemon.client import Daemon
from dfly.layout import GIB, Layout
from dfly.store.meta import Meta, write_meta
from tests.daemon.conftest import MIB, some_bytes
from tests.daemon.test_process import Node, hub  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def plant(data: Path, digest: str, size: int) -> Path:
    """A committed blob of zeros that occupies no disk."""
    folder = data / "blobs" / digest[:2] / f"sha256-{digest}"
    for made in (data, data / "blobs", folder.parent, folder):
        made.mkdir(mode=0o700, exist_ok=True)
    with (folder / "data").open("wb") as file:
        file.truncate(size)
    os.chmod(folder / "data", 0o444)
    (folder / "pieces").write_bytes(bytes(20 * Layout(size).pieces))
    mtime = (folder / "data").stat().st_mtime_ns
    meta = Meta(blob=folder.name, size=size, sha256=digest, boot=boot_id(), mtime_ns=mtime)
    write_meta(str(folder / "meta"), meta)
    return folder / "data"


def rss(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def test_two_hundred_large_blobs_and_a_thousand_tasks_leave_memory_flat(hub, tmp_path, here):  # noqa: F811
    (tmp_path / "node").mkdir()
    for n in range(200):
        plant(tmp_path / "node/data", f"{n:064x}", GIB)
    node = Node(tmp_path / "node").start()
    try:
        lender, sizes = Daemon(str(node.socket)), {}
        for n in range(1000):
            hub.repo("o/small", {"model.bin": some_bytes(1000, n)})
            dfly.fetch("hf://o/small", f"out/{n}/", recursive=True, lender=lender)
            if n + 1 in (100, 600, 1000):
                sizes[n + 1] = rss(node.process.pid)
        print({tasks: f"{size / MIB:.1f} MiB" for tasks, size in sizes.items()})
        assert sizes[1000] < sizes[600] + 4 * MIB
        assert sizes[1000] < sizes[100] + 16 * MIB
        assert len(list((tmp_path / "node/data/blobs").rglob("meta"))) == 1200
    finally:
        node.end()


def test_ten_gigabytes_are_linked_at_once(hub, tmp_path, here, dfget):  # noqa: F811
    """The same command with and without anything to do: the difference is what the files cost."""
    content = some_bytes(1000, 1)
    hub.repo("o/r", {"tiny.bin": content, "model.bin": some_bytes(2 * MIB, 2)})
    node = Node(tmp_path / "node", "--log-level", "warning")
    (tmp_path / "node").mkdir()
    node.start()
    try:
        env = {"DFLY_SOCKET": str(node.socket)}
        assert dfget.installed("hf://o/r", "-r", "-q", "-O", "first", **env).code == 0
        # the same blob, as it would be after ten gigabytes of it had come: the listing goes on naming it
        (blob,) = (p for p in (tmp_path / "node/data/blobs").rglob("data") if p.stat().st_size == 2 * MIB)
        os.chmod(blob, 0o600)
        os.truncate(blob, 10 * GIB)
        os.chmod(blob, 0o444)
        (blob.parent / "pieces").write_bytes(bytes(20 * Layout(10 * GIB).pieces))
        digest = blob.parent.name.removeprefix("sha256-")
        meta = Meta(
            blob=blob.parent.name, size=10 * GIB, sha256=digest, boot=boot_id(), mtime_ns=blob.stat().st_mtime_ns
        )
        write_meta(str(blob.parent / "meta"), meta)
        idle = min(timed(dfget, "hf://o/r/tiny.bin", "-q", "-O", f"tiny{n}", **env) for n in range(3))
        linked = min(timed(dfget, "hf://o/r", "-r", "-q", "-O", f"out{n}", "--link", "hard", **env) for n in range(3))
        print(f"one small file {idle:.2f} s, ten gigabytes {linked:.2f} s")
        assert (here / "out0/model.bin").stat().st_size == 10 * GIB
        assert linked < idle + 0.5
    finally:
        node.end()


def timed(dfget, *argv, **env) -> float:
    began = time.monotonic()
    done = dfget.installed(*argv, **env)
    assert done.code == 0, done.err
    return time.monotonic() - began
