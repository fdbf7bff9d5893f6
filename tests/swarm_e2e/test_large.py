"""Many nodes, and a blob that is larger than the memory of those who carry it. Minutes, and 30 GB of disk."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from dfly.testing.process import Process
from dfly_hf.testing import File

from .files import MIB, some_bytes

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
BIN = Path(sys.executable).parent
PATIENCE = 600.0
MB = 1_000_000


@pytest.fixture
def begin(tmp_path):
    """Start commands that account for their memory."""
    started = []

    def run(name, command, *argv) -> Process:
        folder = tmp_path / name
        folder.mkdir()
        process = Process(
            [str(BIN / command), *map(str, argv)],
            log=folder / "log",
            out=folder / "out",
            env=os.environ,
            cwd=folder,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait(20)


# the kernel counts a process's memory from its fork on, so this one must stay small: content comes from files
def seed_url(process) -> str:
    while True:
        for line in process.out.read_text().splitlines():
            if "seed peer at" in line:
                return line.split()[-1]
        assert process.returncode is None, process.tail()
        os.sched_yield()


def events(process) -> list[dict]:
    assert process.wait(PATIENCE) == 0, process.tail()
    return [json.loads(line) for line in process.out.read_text().splitlines()]


def digest(path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_fifty_nodes_of_one_machine_are_done_and_the_hub_sent_it_once(hub, begin, tmp_path):
    source = tmp_path / "source"
    with source.open("wb") as file:
        for n in range(256):
            file.write(some_bytes(MIB, n))
    hub.repo("owner/model", {"model.safetensors": source, "config.json": b"{}", "vocab.json": b"[]"})
    seed = begin("seed", "dfdaemon", "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "seed/data")
    url = seed_url(seed)
    nodes = [
        begin(
            f"node{n}",
            "dfget",
            "hf://owner/model",
            "-O",
            f"{tmp_path}/node{n}/model",
            "-r",
            "--json",
            "--seed-peer",
            url,
        )
        for n in range(50)
    ]
    right = digest(source)
    for n, node in enumerate(nodes):
        finished = events(node)[-1]
        assert finished["event"] == "task.finished"
        assert finished["sources"].get("hub", 0) == 0
        place = tmp_path / f"node{n}/model/model.safetensors"
        assert digest(place) == right
        place.unlink()
    assert hub.records.bytes_sent() == 256 * MIB + 4
    peaks = [node.usage.peak_memory / MB for node in nodes]
    print(f"\nnodes: {max(peaks):.0f} MB at most; seed peer: {seed.usage.peak_memory / MB:.0f} MB")


def test_a_blob_of_five_gigabytes_fits_through_300_megabytes(hub, begin, tmp_path):
    size = 5_000_000_000
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(size)
    hub.repo("owner/large", {"large.bin": File.of(source, sha256=digest(source))})
    seed = begin("seed", "dfdaemon", "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "seed/data")
    url = seed_url(seed)
    node = begin("node", "dfget", "hf://owner/large/large.bin", "-O", tmp_path / "node/f", "--json", "--seed-peer", url)
    assert events(node)[-1]["sources"] == {"seed-peer": size}
    assert hub.records.bytes_sent() == size
    print(f"\nnode: {node.usage.peak_memory / MB:.0f} MB; seed peer: {seed.usage.peak_memory / MB:.0f} MB")
    assert node.usage.peak_memory < 300 * MB
    assert seed.usage.peak_memory < 300 * MB
