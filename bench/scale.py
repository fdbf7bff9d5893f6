"""The control plane alone: thousands of nodes' event streams and reports at one seed peer, with no byte moved between nodes.

    python -m bench.scale --nodes 1000 5000 --rate 60 --seconds 20

A real seed peer, whose mirror only says that segments are there (`bench.scale_seed`), tells every node of `--rate` segments a
second; the simulated nodes (`bench.scale_nodes`) say once a second what they heard of, as real ones say what they hold. Measured
are the seed peer's CPU and memory, and how long it takes from a segment's publication until the last node knows it.
"""

import argparse
import os
import resource
import signal
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
from bench.report import number, table
from bench.results import RESULTS, save
from bench.scale_nodes import Nodes
from bench.scale_seed import SOURCE, Programme
from dfly.testing.process import Process
from dfly.wire import Ask, Resolved

#: What must hold for so many nodes at so many segments a second: cores, and bytes.
MUST_NODES, MUST_RATE, MOST_CORES, MOST_MEMORY = 1000, 60.0, 1.0, 500e6
#: Seconds for which nothing is published once all have joined: what listening costs by itself.
_REST = 3.0


def run(count: int, *, rate: float, seconds: float, root: Path, rest: float = _REST) -> dict[str, Any]:
    """The raw result for `count` nodes, which wait for `rest` seconds before anything is published.

    Raises RuntimeError where the seed peer does not start or breaks off.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    programme = Programme(int(rate * seconds), rate)
    argv = [sys.executable, "-m", "bench.scale_seed", "--data-dir", str(root / "seed")]
    argv += ["--rate", str(rate), "--segments", str(programme.segments)]
    place = Path(__file__).parents[1]
    seed = Process(argv, log=root / "seed.log", out=root / "seed.out", env=os.environ | {"HOME": str(root)}, cwd=place)
    try:
        (url,) = commands.said(seed)
        nodes = Nodes(*_address(url), _task(url), programme)
        marks = [_Mark.now(seed)]
        nodes.join(count)
        marks.append(_Mark.now(seed))
        nodes.listen(rest)
        reports = len(nodes.report_times)
        marks.append(_Mark.now(seed))
        seed.kill(signal.SIGUSR1)
        with machine.CpuMeter() as cpu:
            nodes.listen(2 * seconds + 60)
        marks.append(_Mark.now(seed))
        began = float(commands.said(seed, 2)[1])
    except ConnectionError as error:
        raise RuntimeError(f"{error}\n{seed.tail()}") from error
    finally:
        seed.kill()
    nodes.close()
    return {
        "kind": "scale",
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "nodes": count,
        "rate": rate,
        "segments": programme.segments,
        "heard": [min(node.heard for node in nodes.nodes), max(node.heard for node in nodes.nodes)],
        "stream_bytes": [min(node.received for node in nodes.nodes), max(node.received for node in nodes.nodes)],
        "phases": {
            name: {"seconds": b.time - a.time, "seed_cpu": b.seed - a.seed, "simulator_cpu": b.own - a.own}
            for name, a, b in zip(("join", "rest", "run"), marks, marks[1:], strict=False)
        },
        "seed_memory": [mark.memory for mark in marks],
        "reports": len(nodes.report_times) - reports,
        "reports_late": nodes.late,
        "report_ms": _spread(nodes.report_times[reports:]),
        "first_ms": _spread([at - began - k / rate for k, at in enumerate(nodes.first)]),
        "last_ms": _spread([at - began - k / rate for k, at in enumerate(nodes.last)]),
        "cpu": [[round(r.time, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
    }


@attrs.frozen
class _Mark:
    """A moment: its monotonic time, CPU seconds of the seed peer and our own, the seed peer's peak memory in bytes."""

    time: float
    seed: float
    own: float
    memory: int

    @classmethod
    def now(cls, seed: Process) -> "_Mark":
        usage = seed.usage
        return cls(time.monotonic(), usage.cpu, time.process_time(), usage.peak_memory)


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th of 100 and worst, in milliseconds."""
    if not seconds:
        return {}
    found = sorted(1000 * second for second in seconds)
    return {"median": found[len(found) // 2], "p95": found[len(found) * 95 // 100], "worst": found[-1]}


def _task(url: str) -> str:
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        answer = client.post("/v1/snapshots", content=Ask(url=SOURCE, recursive=True).encode())
        return Resolved.decode(answer.raise_for_status().content).task


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def summary(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run: cores and bytes of the seed peer, and per node; `must` where the run is one that it is for."""
    run, rest, join = (raw["phases"][name] for name in ("run", "rest", "join"))
    cores, memory = run["seed_cpu"] / run["seconds"], raw["seed_memory"][-1]
    whole = raw["heard"][0] >= raw["segments"]
    asked = (raw["nodes"], raw["rate"]) == (MUST_NODES, MUST_RATE)
    return {
        "whole": whole,
        "cores": cores,
        "cores_at_rest": rest["seed_cpu"] / rest["seconds"],
        "cpu_per_node": 1e6 * run["seed_cpu"] / run["seconds"] / raw["nodes"],
        "cpu_per_join": 1e6 * join["seed_cpu"] / raw["nodes"],
        "memory": memory,
        "memory_per_node": (memory - raw["seed_memory"][0]) / raw["nodes"],
        "stream": raw["stream_bytes"][1] / run["seconds"],
        "simulator": run["simulator_cpu"] / run["seconds"],
        "must": whole and cores < MOST_CORES and memory < MOST_MEMORY if asked else None,
    }


def scale_table(raws: Sequence[dict[str, Any]]) -> str:
    """One row a run."""
    header = [
        "nodes",
        "segments / s",
        "seed cores",
        "at rest",
        "µs / s / node",
        "seed MB",
        "kB / node",
        "stream kB / s",
    ]
    header += ["all know: median ms", "p95", "worst", "report ms", "simulator cores", "< 1 core, 500 MB"]
    rows = []
    for raw in raws:
        s = summary(raw)
        figures = [number(s["cores"]), number(s["cores_at_rest"]), number(s["cpu_per_node"], 0)]
        figures += [number(s["memory"] / 1e6, 0), number(s["memory_per_node"] / 1e3, 1), number(s["stream"] / 1e3, 1)]
        figures += [number(raw["last_ms"].get(key), 0) for key in ("median", "p95", "worst")]
        figures += [number(raw["report_ms"].get("median"), 1), number(s["simulator"])]
        verdict = {None: "–", True: "holds", False: "FAILS"}[s["must"]]
        told = verdict if s["whole"] else f"FAILS: one heard {raw['heard'][0]} of {raw['segments']}"
        rows.append([str(raw["nodes"]), number(raw["rate"], 0), *figures, told])
    return table(header, rows)


def main(argv: list[str] | None = None) -> int:
    """Run each number of nodes, print the table, keep the raw results. Exit code 1 where one does not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1000, 5000], help="how many (1000 and 5000)")
    parser.add_argument("--rate", type=float, default=60, help="segments a second (60)")
    parser.add_argument("--seconds", type=float, default=20, help="for so long (20)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    given = parser.parse_args(argv)
    raws = []
    for count in given.nodes:
        with tempfile.TemporaryDirectory(prefix="dfly-bench-") as root:
            raws.append(run(count, rate=given.rate, seconds=given.seconds, root=Path(root)))
        print(f"raw: {save(raws[-1], directory=given.results)}", file=sys.stderr, flush=True)
    print(scale_table(raws))
    return 0 if all(summary(raw)["whole"] and summary(raw)["must"] is not False for raw in raws) else 1


if __name__ == "__main__":
    sys.exit(main())
