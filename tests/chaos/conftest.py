"""A hub, seed peers and nodes as real processes on one switch; disks of a few MiB."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from bench import commands
from bench.blobs import write_blob

from dfly.testing.cluster import Cluster, Host
from dfly.testing.process import Process
from dfly_hf.testing import FixtureHub

PATIENCE = 60.0


@attrs.define(eq=False)
class Running:
    """A cluster whose hub and seed peers are up. Nodes are started one by one; their events are read from their files."""

    cluster: Cluster
    hub: FixtureHub
    blob: Path
    started: dict[str, Process] = attrs.field(factory=dict)

    def start_seed(self, seed: Host, *, data: Path | None = None) -> None:
        """Start (again) the seed peer of a host."""
        argv = commands.seed_peer(seed.address, data or seed.directory / "data")
        env = commands.hf_environment(self.hub.url, seed.directory) | {"DFLY_CLUSTER_SECRET": "secret-" * 6}
        process = self.started[seed.name] = seed.popen(argv, env=env)
        seed.wait_until_listening(commands.SEED_PORT, process=process)

    def start(self, number: int, *, output: Path | None = None, flags: tuple[str, ...] = ()) -> None:
        """Start (again) node `number`."""
        host = self.cluster.nodes[number]
        argv = commands.node(output or self.output(number), [seed.address for seed in self.cluster.seeds])
        env = commands.hf_environment(self.hub.url, host.directory)
        out = host.directory / f"events{len(host.processes)}"
        self.started[host.name] = host.popen([*argv, *flags], env=env, out=out)

    def output(self, number: int) -> Path:
        return self.cluster.nodes[number].directory / commands.BLOB

    def process(self, number: int) -> Process:
        return self.started[f"node{number}"]

    def events(self, number: int) -> list[dict[str, Any]]:
        return list(commands.events(self.process(number).out))

    def wait(self, number: int, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event of a node that is wanted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for event in self.events(number):
                if wanted(event):
                    return event
            time.sleep(0.05)
        raise AssertionError(f"node{number}: {self.events(number)[-5:]} {self.process(number).tail()}")

    def hold(self) -> None:
        """Let the hub keep the second half of the file back until `let_go`: nobody can be done before."""
        self.hub.hold(commands.BLOB, self.blob.stat().st_size // 2)

    def let_go(self) -> None:
        self.hub.let_go()

    def wait_held(self, number: int, count: int) -> None:
        """A node has so many segments."""
        deadline = time.monotonic() + PATIENCE
        while sum(event["event"] == "segment.finished" for event in self.events(number)) < count:
            assert time.monotonic() < deadline, self.process(number).tail()
            time.sleep(0.05)

    def right(self, *numbers: int) -> None:
        """These nodes have the hub's bytes, and know it; they may still serve others."""
        for number in numbers:
            self.wait(number, lambda event: event["event"] == "task.finished")
            assert self.output(number).read_bytes() == self.blob.read_bytes()

    def hub_bytes(self) -> int:
        return self.hub.records.bytes_sent()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Builds one: `size` of the file in bytes, `rate` of the hub and `nic` of everybody else in bytes/s."""
    with ExitStack() as stack:

        def build(nodes: int, *, size: int, rate: float, nic: float | None = None, seeds: int = 1) -> Running:
            cluster = stack.enter_context(Cluster(nodes, root=tmp_path / "cluster", nic=nic, seeds=seeds))
            blob = tmp_path / "repository" / commands.BLOB
            write_blob(blob, size)
            hub = FixtureHub(host=cluster.hub.address, port=commands.HUB_PORT, rate=rate)
            cluster.hub.call(hub.__enter__)
            stack.callback(hub.__exit__, None, None, None)
            hub.repo(commands.REPO, blob.parent)
            made = Running(cluster, hub, blob)
            for seed in cluster.seeds:
                made.start_seed(seed)
            return made

        yield build


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a folder on a disk of so many bytes."""
    made: list[Path] = []

    def make(size: int) -> Path:
        folder = tmp_path / f"small{len(made)}"
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("needs the right to mount a tmpfs")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "-l", folder], check=True)
