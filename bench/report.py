"""Figures from raw results, and the tables that people read: `python -m bench.report bench/results/*.json`.

Everything is computed here and only here, so that a result of last week and one of today are judged alike.
"""

import itertools
import json
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine import MOST_CPU

_ROLES = ("ordinary", "slow", "late")
FIRST_SHARE = 0.05  # every node holds a verified segment before this share of the blob has left the hub


def swarm_summary(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of one swarm run. Times in seconds from the moment the hub was let go; None where nobody got there.

    `first` and `last` are those of ordinary nodes: slow and late ones have figures of their own.
    """
    case, nodes = raw["case"], raw["nodes"]
    done = {role: sorted(n["done"] for n in nodes if n["role"] == role and n["done"] is not None) for role in _ROLES}
    ordinary = done["ordinary"]
    first, last = (ordinary[0], ordinary[-1]) if ordinary else (None, None)
    complete = all(node["done"] is not None and node["identical"] and node["code"] == 0 for node in nodes)
    ends = [time for times in done.values() for time in times]
    cpu = _cpu_share(raw["cpu"], 0.0, max(ends, default=float("inf")))
    first_segments = [first_segment(node) for node in nodes if node["role"] == "ordinary"]
    all_started = [at for at in first_segments if at is not None]
    share_left = _when_left_hub(raw, FIRST_SHARE)
    pairs = raw["baseline"].get("pairs", {}).get("mean")
    return {
        "complete": complete,
        "valid": complete and raw["aligned"] and cpu <= MOST_CPU,
        "bound": case["bound"],
        "first": first,
        "last": last,
        "last_slow": max(done["slow"], default=None),
        "last_late": max(done["late"], default=None),
        "last/bound": _ratio(last, case["bound"]),
        "bound/last": _ratio(case["bound"], last),
        "last/first": _ratio(last, first),
        "hub": raw["hub"]["content_bytes"] / case["size"],
        "seed_egress": sum(seed["out"] for seed in raw["seeds"]) / case["size"],
        "first_segment": max(all_started) if all_started and len(all_started) == len(first_segments) else None,
        "five_percent_left_hub": share_left,
        "cpu": cpu,
        "tcp_ring": raw["baseline"].get("ring", {}).get("mean"),
        "tcp_pairs": pairs,
        "bound/last/tcp_pairs": _ratio(_ratio(case["bound"], last), pairs),
        "node_use": _mean_use(raw, last),
        "thin": {name: raw["links"]["into"][name][-1] / case["size"] for name in _racks(raw)},
        "node_peak_memory": max((node.get("peak_memory", 0) for node in nodes), default=0),
        "seed_peak_memory": max((seed.get("peak_memory", 0) for seed in raw["seeds"]), default=0),
        "cpu_per_gb": {
            "seed": _ratio(sum(seed.get("cpu", 0.0) for seed in raw["seeds"]), case["size"] / 1e9),
            "node": _ratio(sum(node.get("cpu", 0.0) for node in nodes), len(nodes) * case["size"] / 1e9),
        },
        "busiest_thread_per_gb": {
            "seed": _busiest(raw["seeds"], case["size"]),
            "node": _busiest(nodes, case["size"]),
        },
    }


def _busiest(hosts: Sequence[dict[str, Any]], size: int) -> float | None:
    """Core-seconds per GB of the busiest thread of any of these; None where threads were not read."""
    found = [max(host["threads"]) for host in hosts if host.get("threads")]
    return _ratio(max(found, default=None), size / 1e9)


def first_segment(node: dict[str, Any]) -> float | None:
    """When a node held its first verified segment."""
    return min((at for at, _ in node["segments"]), default=None)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _racks(raw: dict[str, Any]) -> list[str]:
    return [name for name in raw["links"]["into"] if name.startswith("rack")]


def _cpu_share(readings: Sequence[Sequence[float]], start: float, end: float) -> float:
    """Busy share of all CPUs between two times, from [time, busy, total] readings."""
    inside = [reading for reading in readings if start <= reading[0] <= end]
    if len(inside) < 2 or inside[-1][2] == inside[0][2]:
        inside = [readings[0], readings[-1]]
    return (inside[-1][1] - inside[0][1]) / max(inside[-1][2] - inside[0][2], 0.01)


def _when_left_hub(raw: dict[str, Any], share: float) -> float | None:
    """When this share of the blob had left the hub, whose link counts headers too: scaled by the final content.

    None where it had all left before the clock started.
    """
    sent = raw["links"]["out"]["hub"]
    content = raw["hub"]["content_bytes"]
    if not content or not sent[-1] or raw["case"].get("warm"):
        return None
    index = bisect_left(sent, share * raw["case"]["size"] * sent[-1] / content)
    return float(raw["links"]["time"][index]) if index < len(sent) else None


def _mean_use(raw: dict[str, Any], last: float | None) -> float | None:
    """Share of the ordinary nodes' NICs that was in use, inwards, until the last of them was done."""
    times = raw["links"]["time"]
    names = [node["name"] for node in raw["nodes"] if node["role"] == "ordinary"]
    if last is None or not names:
        return None
    begin, end = bisect_left(times, 0.0), min(bisect_left(times, last), len(times) - 1)
    into = raw["links"]["into"]
    moved = sum(into[name][end] - into[name][begin] for name in names)
    return _ratio(moved, (times[end] - times[begin]) * raw["case"]["nic"] * len(names))


def link_use(raw: dict[str, Any], name: str, direction: str, *, buckets: int = 60) -> list[float]:
    """Share of the NIC's rate used by one link over time, in at most `buckets` equal steps."""
    times, counts = raw["links"]["time"], raw["links"][direction][name]
    step = max(1, -(-(len(times) - 1) // buckets))
    marks = [*range(0, len(times) - 1, step), len(times) - 1]
    spans = [(a, b) for a, b in itertools.pairwise(marks) if times[b] > times[a]]
    return [(counts[b] - counts[a]) / (times[b] - times[a]) / raw["case"]["nic"] for a, b in spans]


def sparkline(shares: Sequence[float]) -> str:
    """Shares of 1 as a line of bars."""
    bars = " ▁▂▃▄▅▆▇█"
    return "".join(bars[max(0, min(8, round(share * 8)))] for share in shares)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be; the first is aligned left, the others right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return "  ".join(padded).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *map(line, rows)])


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table; – where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def mib(value: float) -> str:
    """Bytes as MiB."""
    return f"{value / (1 << 20):.1f}"


def swarm_table(raws: Sequence[dict[str, Any]]) -> str:
    """One row a run."""
    header = ["case", "bound s", "first", "last", "last/bound", "last/first", "hub ×", "seed ×", "1st seg", "5% left"]
    header += ["tcp ring", "tcp pairs", "vs pairs", "CPU %", "verdict"]
    rows = []
    for raw in raws:
        s = swarm_summary(raw)
        figures = [s["bound"], s["first"], s["last"]]
        rows.append(
            [
                _case_name(raw["case"]),
                *(number(x, 1) for x in figures),
                number(s["last/bound"], 3),
                number(s["last/first"], 3),
                *(number(s[k], 3) for k in ("hub", "seed_egress")),
                *(number(s[k], 1) for k in ("first_segment", "five_percent_left_hub")),
                *(number(s[k]) for k in ("tcp_ring", "tcp_pairs", "bound/last/tcp_pairs")),
                number(100 * s["cpu"], 0),
                verdict(raw, s),
            ]
        )
    return table(header, rows)


def verdict(raw: dict[str, Any], s: dict[str, Any]) -> str:
    """ "ok", or why this run says nothing about the swarm."""
    problems = []
    if not s["complete"]:
        good = sum(node["identical"] for node in raw["nodes"])
        problems.append(f"only {good} of {len(raw['nodes'])} nodes right")
    if not raw["aligned"]:
        problems.append("nodes did not start together")
    if s["cpu"] > MOST_CPU:
        problems.append("CPU-bound")
    return "ok" if not problems else "INVALID: " + ", ".join(problems)


def _case_name(case: dict[str, Any]) -> str:
    origin = "warm" if case.get("warm") else f"{case['origin'] / case['nic']:.2g} ×"
    rates = f"{origin} {case['nic'] / 125_000:g} Mbit/s"
    name = f"{case['nodes']} × {case['size'] >> 20} MiB, {rates}"
    extra = [f"{case[key]} {key}" for key in ("slow", "late") if case[key]]
    extra += [f"{case['racks']} racks"] if case["racks"] > 1 else []
    extra += [f"seed killed at {case['kill_seed_at']:.0%}"] if case["kill_seed_at"] is not None else []
    return ", ".join([name, *extra])


def nodes_table(raw: dict[str, Any]) -> str:
    """One row a node of one run, with what its link did over time."""
    header = [
        "node",
        "role",
        "1st seg s",
        "done s",
        "hub MiB",
        "seed MiB",
        "peers MiB",
        "CPU s",
        "peak MiB",
        "link in use",
    ]
    rows = []
    for node in raw["nodes"]:
        sources = [mib(node["sources"].get(source, 0)) for source in ("hub", "seed-peer", "peer")]
        cost = [number(node.get("cpu"), 1), mib(node.get("peak_memory", 0))]
        use = sparkline(link_use(raw, node["name"], "into", buckets=40))
        rows.append(
            [node["name"], node["role"], number(first_segment(node), 1), number(node["done"], 1), *sources, *cost, use]
        )
    failures = [f"{node['name']}: {node['log'].strip()}" for node in raw["nodes"] if node["log"]]
    busiest = swarm_summary(raw)["busiest_thread_per_gb"]
    threads = [f"busiest thread, core s / GB: {role} {number(cost)}" for role, cost in busiest.items() if cost]
    return "\n".join([table(header, rows), *threads, *failures])


def single_table(raw: dict[str, Any]) -> str:
    """Medians per case and client, and their ratio to the case's reference (its first client that ran)."""
    header = ["case", "client", "seconds", "× ref", "CPU s", "× ref", "peak MiB", "runs"]
    rows, notes = [], []
    for case in raw["cases"]:
        ran = [client for client in case["clients"] if client.get("runs")]
        reference = _medians(ran[0]) if ran else {}
        for client in case["clients"]:
            if not client.get("runs"):
                notes.append(f"{case['name']}: {client['name']} did not run: {client['missing']}")
                continue
            m = _medians(client)
            times = [number(m["seconds"], 3), number(_ratio(m["seconds"], reference["seconds"]))]
            cpu = [number(m["cpu"], 3), number(_ratio(m["cpu"], reference["cpu"]))]
            rows.append([case["name"], client["name"], *times, *cpu, mib(m["peak_memory"]), str(len(client["runs"]))])
    return "\n".join([table(header, rows), *notes])


def _medians(client: dict[str, Any]) -> dict[str, float]:
    return {key: median(run[key] for run in client["runs"]) for key in ("seconds", "cpu", "peak_memory")}


def main(paths: Sequence[str]) -> None:
    """Print the tables of the given result files."""
    raws = [json.loads(Path(path).read_text()) for path in paths]
    show: dict[str, Callable[[list[dict[str, Any]]], str]] = {
        "swarm": swarm_table,
        "single": lambda found: "\n\n".join(map(single_table, found)),
    }
    for kind, render in show.items():
        if found := [raw for raw in raws if raw["kind"] == kind]:
            print(render(found), end="\n\n")


if __name__ == "__main__":
    main(sys.argv[1:])
