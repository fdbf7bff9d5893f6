"""A long ring: how long a segment takes from its publication to the last of two hundred nodes, and what one hop costs.

    python -m bench.hops --nodes 200 --size 64 --rate 1

A hub sends `--size` MiB at `--rate` MB/s to a real seed peer; the nodes are `dfly.fetch`, each in a process of its own that was
forked from one which had everything imported, on loopback without shaping. What is slow here is the ring, or the CPU: the
machine's share is printed, overall and while a segment was on its way.
"""

import argparse
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import attrs
import httpx
import structlog

import dfly
from bench import commands, machine
from bench.blobs import write_blob
from bench.case import MIB
from bench.hops_report import hops_summary, hops_table
from bench.results import RESULTS, save
from dfly.config import Joining
from dfly.errors import DflyError
from dfly.events import Event, SegmentFinished
from dfly.origin.pauses import Pauses
from dfly.packs import Freight
from dfly.seed.mirroring import Mirror, MirrorListener
from dfly.seed.parts import stored_mirror
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.process import Process
from dfly.wire import Ask, Resolved

_SOURCE = f"hf://{commands.REPO}"
#: Seconds that all nodes get to join, and beyond what the hub needs to send everything.
_JOINING, _PATIENCE = 120.0, 60.0


@attrs.frozen(kw_only=True)
class Long:
    """A case: `files` of together `size` bytes to `nodes` nodes, of which the origin sends `rate` bytes/s."""

    nodes: int = 200
    size: int = 64 * MIB
    files: int = 1
    rate: float = 1e6

    @property
    def bound(self) -> float:
        """Seconds that the origin takes."""
        return self.size / self.rate


class Clocked:
    """A listener to a mirror that notes when each segment was published, by (blob, index), and passes everything on."""

    def __init__(self, listener: MirrorListener, published: dict[tuple[str, int], float]) -> None:
        self._listener, self._published = listener, published

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        """Note it."""
        self._published.setdefault((blob, index), time.monotonic())
        self._listener.segment_published(blob, index, size, hashes, attempt)

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        """Nothing to note."""
        self._listener.blob_complete(blob, size, sha256, attempt)

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        """Nothing to note."""
        self._listener.blob_withdrawn(blob, attempt)

    def blob_failed(self, blob: str, error: DflyError) -> None:
        """Nothing to note."""
        self._listener.blob_failed(blob, error)

    def waiting_for(self, what: str) -> None:
        """Nothing to note."""
        self._listener.waiting_for(what)


@attrs.frozen
class Node:
    """A forked node, which begins when it is sent the seed peer's URL, and sends what it saw at its end."""

    process: ForkProcess
    end: Connection


def run(case: Long, *, root: Path) -> dict[str, Any]:
    """The raw result. Raises RuntimeError where not all nodes join, or one fails."""
    repository = root / "repository"
    paths = [f"{number:04}.bin" for number in range(case.files)]
    for path in paths:
        write_blob(repository / path, case.size // case.files)
    # before there is any thread
    nodes = [_fork(number, root / f"node{number:04}") for number in range(case.nodes)]
    argv = commands.hub(repository, repo=commands.REPO, host="127.0.0.1", port=0, rate=case.rate)
    hub = Process(argv, log=root / "hub.log", out=root / "hub.out", env=_environment(root), cwd=root)
    published: dict[tuple[str, int], float] = {}
    try:
        os.environ.update(commands.hf_environment(commands.said(hub)[0], root))
        with _seed_peer(root, published) as url, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            blobs = _resolve(client, paths)
            # nothing is published before all are there
            hub.pause()
            for node in nodes:
                node.end.send(url)
            _await_ring(client, case.nodes)
            order = _ring(client)
            hub.resume()
            began = time.monotonic()
            with machine.CpuMeter(0.25) as cpu:
                seen = [_seen(node, 1.5 * case.bound + _PATIENCE) for node in nodes]
            stats = client.get("/v1/stats").json()
    finally:
        hub.kill()
        for node in nodes:
            node.process.kill()
    offset = time.time() - time.monotonic()
    keys = sorted(published, key=lambda key: published[key])
    return {
        "kind": "hops",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "case": attrs.asdict(case) | {"bound": case.bound},
        "in_order": order == sorted(order),
        "published": [round(published[key] - began, 4) for key in keys],
        # one row a segment, in the order of publication; one column a node, in the order of the ring
        "verified": [[round(node["segments"][blobs[blob], index] - began, 4) for node in seen] for blob, index in keys],
        "done": [round(node["done"] - began, 3) for node in seen],
        "sources": [node["sources"] for node in seen],
        "node_cpu": [round(node["cpu"], 3) for node in seen],
        "node_memory": [node["memory"] for node in seen],
        "egress": stats["egress"],
        "hub_bytes": stats["hub_bytes"],
        "cpu": [[round(r.time - offset - began, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
    }


def _fork(number: int, output: Path) -> Node:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_node, args=(number, output, theirs), daemon=True)
    process.start()
    theirs.close()
    return Node(process, ours)


def _node(number: int, output: Path, end: Connection) -> None:
    """The life of one node. Its location is its number, so that the ring has the order of the numbers."""
    url = end.recv()
    segments: dict[tuple[str, int], float] = {}

    def hear(event: Event) -> None:
        if isinstance(event, SegmentFinished):
            segments.setdefault((event.path, event.index), time.monotonic())

    joining = Joining(seed_peers=(url,), location=f"{number:04}", back_to_source=False)
    try:
        report = dfly.fetch(_SOURCE, f"{output}/", recursive=True, joining=joining, on_event=hear)
    except DflyError as error:
        end.send({"error": f"node {number}: {error!r}"})
        return
    # it has served its neighbours meanwhile: what it waited for is in its last segment
    end.send(
        {
            "segments": segments,
            "done": max(segments.values()),
            "sources": report.sources,
            "cpu": time.process_time(),
            "memory": _private_memory(),
        }
    )


def _private_memory() -> int:
    """Bytes that this process does not share with the one it was forked from."""
    with open("/proc/self/smaps_rollup") as file:
        rows = dict(line.split(":", 1) for line in file if line.startswith("Private_"))
    return sum(int(row.split()[0]) * 1024 for row in rows.values())


@contextmanager
def _seed_peer(root: Path, published: dict[tuple[str, int], float]) -> Iterator[str]:
    """A seed peer in this process; yields its URL."""

    @contextmanager
    def open_mirror(config: SeedPeerConfig, listener: MirrorListener, pauses: Pauses) -> Iterator[Mirror]:
        with stored_mirror(config, Clocked(listener, published), pauses) as mirror:
            yield mirror

    config = SeedPeerConfig(data_dir=str(root / "seed"), listen=("127.0.0.1", 0), revision_ttl=3600.0)
    with SeedPeer(config, open_mirror=open_mirror).running() as url:
        yield url


def _resolve(client: httpx.Client, paths: Sequence[str]) -> dict[str, str]:
    """The path of each blob; from now on the seed peer fetches them."""
    answer = client.post("/v1/snapshots", content=Ask(url=_SOURCE, recursive=True).encode()).raise_for_status()
    return {blob: entry.path for blob, entry in Freight.of(Resolved.decode(answer.content).snapshot, task="").ids}


def _await_ring(client: httpx.Client, count: int) -> None:
    deadline = time.monotonic() + _JOINING
    while (members := sum(t["members"] for t in client.get("/v1/stats").json()["tasks"])) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {members} of {count} nodes have joined")
        time.sleep(0.2)


def _ring(client: httpx.Client) -> list[str]:
    """The locations of the nodes in the order of the ring."""
    (task,) = client.get("/v1/operator/peers").raise_for_status().json()["tasks"]
    placed = [row for row in task["nodes"] if row["place"] is not None]
    return [row["location"] for row in sorted(placed, key=lambda row: row["place"])]


def _seen(node: Node, seconds: float) -> dict[str, Any]:
    if not node.end.poll(seconds):
        raise RuntimeError("a node has not ended")
    seen: dict[str, Any] = node.end.recv()
    if "error" in seen:
        raise RuntimeError(seen["error"])
    return seen


def _environment(root: Path) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {"HOME": str(root)}


def arguments(module: str, description: str | None) -> argparse.ArgumentParser:
    """The flags of a long ring, whatever its nodes are."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=200, help="how many (200)")
    parser.add_argument("--size", type=float, default=64, metavar="MIB", help="all files together (64 MiB)")
    parser.add_argument("--rate", type=float, default=1, metavar="MB", help="of the origin, in MB/s (1)")
    parser.add_argument("--root", type=Path, help="where files go (the disk)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    return parser


def measure(run: Callable[..., dict[str, Any]], given: argparse.Namespace, *, files: int = 1) -> int:
    """`run(case, root=…)`, print the table, keep the raw result. Exit code 1 where the run says nothing."""
    case = Long(nodes=given.nodes, size=int(given.size * MIB), files=files, rate=given.rate * 1e6)
    with tempfile.TemporaryDirectory(prefix="dfly-bench-", dir=given.root) as root:
        raw = run(case, root=Path(root))
    print(f"{hops_table([raw])}\nraw: {save(raw, directory=given.results)}")
    return 0 if hops_summary(raw)["valid"] else 1


def main(argv: list[str] | None = None) -> int:
    """A ring of whole nodes. Returns the exit code."""
    parser = arguments("bench.hops", __doc__)
    parser.add_argument("--files", type=int, default=1, help="of how many files (1): more are shorter segments")
    given = parser.parse_args(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    return measure(run, given, files=given.files)


if __name__ == "__main__":
    sys.exit(main())
