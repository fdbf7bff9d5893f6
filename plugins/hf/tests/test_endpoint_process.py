"""`dfdaemon --listen` with the hub's API on it: a slow reader costs it no memory."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dfly.testing.swarm import Telling
from dfly_hf.testing import FixtureHub

MIB = 1 << 20
SIZE = 96 * MIB


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(SIZE // MIB):
            file.write(bytes([number]) * MIB)
    return path


@pytest.fixture
def running(hub: FixtureHub, tmp_path: Path) -> Iterator[Telling]:
    place = ("--data-dir", tmp_path / "data", "--socket", tmp_path / "s", "--listen", "127.0.0.1:0")
    process = Telling("dfdaemon", *place, env={**os.environ, "HF_ENDPOINT": hub.url, "HOME": str(tmp_path)})
    yield process
    process.end()


def own_memory(process: Telling) -> int:
    """Bytes that belong to a process alone: what the kernel keeps of files is not among them."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def test_a_reader_who_stops_reading_costs_no_memory(hub: FixtureHub, large: Path, running: Telling) -> None:
    hub.repo("owner/name", {"model.safetensors": large, "config.json": b"{}"})
    said = running.lines_until(lambda line: "node at" in line)[-1]
    place = f"{said.split()[-1]}/hf/owner/name/resolve/main/"
    with httpx.Client(trust_env=False, timeout=60) as client:
        client.get(place + "config.json").raise_for_status()
        before = own_memory(running)
        with client.stream("GET", place + "model.safetensors") as slow:
            chunks = slow.iter_raw(MIB)
            got = len(next(chunks))
            # another reader has it all meanwhile
            with client.stream("GET", place + "model.safetensors") as quick:
                assert sum(map(len, quick.iter_raw(MIB))) == SIZE
            grown = own_memory(running) - before
            got += sum(map(len, chunks))
    assert got == SIZE
    assert grown < SIZE // 4
