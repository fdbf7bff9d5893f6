"""Figures of a long ring (`bench.hops`) from its raw result: what a segment waits for, and what one hop costs."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from bench.machine import MOST_CPU
from bench.report import mib, number, table

Raw = dict[str, Any]


def hops_summary(raw: Raw) -> Raw:
    """The figures. Times in seconds, `total` from the moment the hub was let go.

    `verified` is from a segment's publication until a node has it, `entered` until the first one has it. `hop` is how much later
    a node has it than the first, for each of the hops between the two, the shorter way round.
    """
    verified, entered, hop = [], [], []
    for at, times in zip(raw["published"], raw["verified"], strict=True):
        entry = min(range(len(times)), key=times.__getitem__)
        entered.append(times[entry] - at)
        verified += [time - at for time in times]
        away = (distance(entry, node, len(times)) for node in range(len(times)))
        hop += [(time - times[entry]) / hops for time, hops in zip(times, away, strict=True) if hops]
    case, last = raw["case"], max(raw["done"])
    cpu = share(raw["cpu"], [(0.0, last)])
    return {
        "verified": spread(verified),
        "entered": spread(entered),
        "hop": spread(hop),
        "total": last,
        "last/bound": last / case["bound"],
        "after_the_last": last - raw["published"][-1],
        "cpu": cpu,
        "cpu_on_the_way": share(raw["cpu"], [(at, max(times)) for at, times in zip_rows(raw)]),
        "node_cpu_per_gb": sum(raw["node_cpu"]) / len(raw["node_cpu"]) / (case["size"] / 1e9),
        "node_memory": max(raw["node_memory"]),
        "seed_egress": raw["egress"].get("web seed", 0) / case["size"],
        "hub": raw["hub_bytes"] / case["size"],
        "valid": raw["in_order"] and cpu <= MOST_CPU,
    }


def zip_rows(raw: Raw) -> list[tuple[float, list[float]]]:
    """When each segment was published, and when each node had it."""
    return list(zip(raw["published"], raw["verified"], strict=True))


def distance(one: int, other: int, nodes: int) -> int:
    """Hops between two places of a ring, the shorter way.

    >>> distance(1, 9, 10)
    2
    """
    straight = abs(one - other)
    return min(straight, nodes - straight)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th of 100 and largest; nothing of nothing."""
    found = sorted(values)
    return {"median": median(found), "p95": found[len(found) * 95 // 100], "max": found[-1]} if found else {}


def share(readings: Sequence[Sequence[float]], spans: Sequence[tuple[float, float]]) -> float:
    """Busy share of all CPUs over the readings' intervals that begin within any of these spans."""
    busy = total = 0.0
    for before, after in pairwise(readings):
        if any(start <= before[0] <= stop for start, stop in spans):
            busy += after[1] - before[1]
            total += after[2] - before[2]
    return busy / total if total else 0.0


def hops_table(raws: Sequence[Raw]) -> str:
    """A few rows for each run: from publication to verified, to the first node, and per hop."""
    header = ["ring", "what", "median ms", "p95 ms", "max ms", "total s", "× bound", "CPU %", "on the way", "node MiB"]
    rows = []
    for raw in raws:
        s, case = hops_summary(raw), raw["case"]
        segments = f"{len(raw['published'])} segments"
        name = f"{case['nodes']} nodes, {mib(case['size'])} MiB, {case['rate'] / 1e6:g} MB/s, {segments}"
        whole = [number(s["total"], 1), number(s["last/bound"], 3), number(100 * s["cpu"], 0)]
        whole += [number(100 * s["cpu_on_the_way"], 0), mib(s["node_memory"])]
        for key, what in (("verified", "to verified"), ("entered", "to the first node"), ("hop", "per hop")):
            times = [number(1000 * s[key][part], 1) for part in ("median", "p95", "max")]
            rows.append([name, what, *times, *whole])
            name, whole = "", [""] * len(whole)
        if not s["valid"]:
            rows.append(["INVALID: " + ("CPU-bound" if raw["in_order"] else "the ring is in no order"), *[""] * 9])
    return table(header, rows)
