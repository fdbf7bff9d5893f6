"""The control plane alone: thousands of nodes' event streams and reports at one seed peer, with no byte moved between nodes.

    python -m bench.scale --nodes 1000 5000 --rate 60 --seconds 20

A real seed peer fetches one-segment files from a fixture hub at `--rate` a second and tells every stream of each; the simulated
nodes say once a second that they hold what they heard of, as real ones do. Measured are the seed peer's CPU and memory, and
how long it takes until the last node knows a segment that the first one knows.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import httpx

from bench import commands, machine
from bench.case import MIB
from bench.report import number, table
from bench.results import RESULTS, save
from dfly.testing.process import Process
from dfly.wire import Ask, Report, Resolved, decode_message
from dfly.wire import Segment as Announced

REPO = "bench/segments"
#: Connections over which all nodes' reports go.
_REPORTERS = 32


@attrs.define(eq=False)
class Simulated:
    """One node: what it has heard of and not told yet."""

    name: str
    untold: dict[str, list[int]] = attrs.field(factory=dict)
    heard: int = 0


@attrs.define(eq=False)
class Cluster:
    """All simulated nodes of a task at the seed peer at `host`:`port`."""

    host: str
    port: int
    task: str
    ticket: str
    segments: int
    nodes: list[Simulated] = attrs.field(factory=list)
    first: dict[bytes, float] = attrs.field(factory=dict)
    last: dict[bytes, float] = attrs.field(factory=dict)
    reports: int = 0
    _known: dict[bytes, tuple[str, int] | None] = attrs.field(factory=dict)
    _done: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def run(self, count: int, *, seconds: float) -> None:
        """Open `count` streams, and listen until all have heard of everything, or for `seconds`."""
        self.nodes = [Simulated(f"node{number}") for number in range(count)]
        listening = []
        for at in range(0, count, 50):  # not all in one instant: a rack is switched on, not a stampede
            some = [asyncio.create_task(self._listen(node)) for node in self.nodes[at : at + 50]]
            listening += some
            await asyncio.sleep(0.05)
        reporting = [asyncio.create_task(self._report(self.nodes[k::_REPORTERS])) for k in range(_REPORTERS)]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), seconds)
        for task in (*listening, *reporting):
            task.cancel()
        await asyncio.gather(*listening, *reporting, return_exceptions=True)

    async def _listen(self, node: Simulated) -> None:
        query = f"node={node.name}&port=1&control=0&after=&advertise=&location=rack{hash(node.name) % 40}"
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1 << 22)
        ticket = f"X-Dfly-Ticket: {self.ticket}\r\n" if self.ticket else ""
        head = f"GET /v1/snapshots/{self.task}/events?{query} HTTP/1.1\r\nHost: {self.host}\r\n{ticket}\r\n"
        writer.write(head.encode())
        try:
            await reader.readuntil(b"\r\n\r\n")
            while line := await reader.readline():
                self._hear(node, line)
        finally:
            writer.close()

    def _hear(self, node: Simulated, line: bytes) -> None:
        # one line is the same bytes for all nodes, so it is parsed once
        known = self._known.get(line)
        if known is None:
            if line in self._known:
                return
            message = decode_message(line.strip()) if line.startswith(b"{") else None
            known = (message.blob, message.index) if isinstance(message, Announced) else None
            self._known[line] = known
            if known is None:
                return
        now = time.monotonic()
        self.first.setdefault(line, now)
        self.last[line] = now
        node.untold.setdefault(known[0], []).append(known[1])
        node.heard += 1
        if node.heard == self.segments and all(other.heard >= self.segments for other in self.nodes):
            self._done.set()

    async def _report(self, nodes: Sequence[Simulated]) -> None:
        """Tell for each of these once a second, one after the other on one connection."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        while True:
            began = time.monotonic()
            for node in nodes:
                if not node.heard:
                    continue
                held, node.untold = node.untold, {}
                body = Report(node=node.name, held={blob: tuple(told) for blob, told in held.items()}).encode()
                head = (
                    f"POST /v1/snapshots/{self.task}/report HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                self.reports += 1
            await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - began)))


def run(count: int, *, rate: float, seconds: float, root: Path) -> dict[str, Any]:
    """The raw result for `count` nodes."""
    repository = root / "repository"
    repository.mkdir(parents=True)
    segments = int(rate * seconds)
    for index in range(segments):
        (repository / f"{index:05}.bin").write_bytes(os.urandom(MIB + MIB // 2))
    env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {"HOME": str(root)}
    hub_argv = commands.hub(repository, repo=REPO, host="127.0.0.1", port=0, rate=rate * 1.5 * MIB)
    hub = Process(hub_argv, log=root / "hub.log", out=root / "hub.out", env=env, cwd=root)
    endpoint = _said(hub)
    argv = [str(Path(sys.executable).with_name("dfdaemon")), "--seed-peer", "--listen", "127.0.0.1:0"]
    argv += ["--data-dir", str(root / "seed")]
    seed = Process(
        argv, log=root / "seed.log", out=root / "seed.out", env=env | commands.hf_environment(endpoint, root), cwd=root
    )
    url = _said(seed).rpartition(" ")[2]
    idle = seed.usage
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            body = Ask(url=f"hf://{REPO}", recursive=True).encode()
            resolved = Resolved.decode(client.post("/v1/snapshots", content=body).content)
        host, _, port = url.removeprefix("http://").partition(":")
        cluster = Cluster(host, int(port), resolved.task, resolved.ticket, segments)
        began = time.monotonic()
        with machine.CpuMeter() as cpu:
            asyncio.run(cluster.run(count, seconds=3 * seconds + 60))
        took = time.monotonic() - began
        used = seed.usage
    finally:
        seed.kill()
        hub.kill()
    delays = sorted(1000 * (cluster.last[line] - cluster.first[line]) for line in cluster.first)
    return {
        "kind": "scale",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "nodes": count,
        "rate": rate,
        "segments": segments,
        "heard": [min(node.heard for node in cluster.nodes), max(node.heard for node in cluster.nodes)],
        "seconds": took,
        "reports": cluster.reports,
        "seed_cpu": used.cpu - idle.cpu,
        "seed_memory": used.peak_memory,
        "seed_memory_idle": idle.peak_memory,
        "delay_ms": {"median": delays[len(delays) // 2], "worst": delays[-1]} if delays else {},
        "cpu": [[round(r.time, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
    }


def _said(process: Process, *, seconds: float = 120) -> str:
    """The first line on its standard output."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.returncode is None:
        lines = process.out.read_text().splitlines()
        if lines:
            return lines[0]
        time.sleep(0.05)
    raise RuntimeError(f"{process.argv[0]} does not start:\n{process.tail()}")


def scale_table(raws: Sequence[dict[str, Any]]) -> str:
    """One row a run."""
    header = ["nodes", "segments", "heard by all", "s", "seed CPU cores", "seed MB", "kB / node", "reports / s"]
    header += ["until all know: median ms", "worst ms"]
    rows = []
    for raw in raws:
        grown = raw["seed_memory"] - raw["seed_memory_idle"]
        figures = [number(raw["seconds"], 1), number(raw["seed_cpu"] / raw["seconds"])]
        figures += [number(raw["seed_memory"] / 1e6, 0), number(grown / raw["nodes"] / 1e3, 0)]
        figures += [number(raw["reports"] / raw["seconds"], 0)]
        figures += [number(raw["delay_ms"].get(key), 0) for key in ("median", "worst")]
        whole = "yes" if raw["heard"][0] >= raw["segments"] else f"no: {raw['heard'][0]}"
        rows.append([str(raw["nodes"]), str(raw["segments"]), whole, *figures])
    return table(header, rows)


def main(argv: list[str] | None = None) -> int:
    """Run each number of nodes, print the table, keep the raw results."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000], help="how many (1000 and 5000)")
    parser.add_argument("--rate", type=float, default=60, help="segments a second (60)")
    parser.add_argument("--seconds", type=float, default=20, help="for so long (20)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    given = parser.parse_args(argv)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    raws = []
    for count in given.nodes:
        with tempfile.TemporaryDirectory(prefix="dfly-bench-") as root:
            raws.append(run(count, rate=given.rate, seconds=given.seconds, root=Path(root)))
        print(f"{scale_table(raws[-1:])}\nraw: {save(raws[-1], directory=given.results)}", flush=True)
    return 0 if all(raw["heard"][0] >= raw["segments"] for raw in raws) else 1


if __name__ == "__main__":
    sys.exit(main())
