"""Tables, plots and verdicts of a suite's folder of raw results: `python -m bench.suite_report bench/results/suite-…`."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from bench.report import number, swarm_summary, swarm_table, table
from bench.scale import scale_table
from bench.scale import summary as scale_summary
from dfly.layout import Layout

Raw = dict[str, Any]


@attrs.frozen(kw_only=True)
class Verdict:
    """One thing that must hold: what, what was seen, and whether it held; None where no valid run says."""

    what: str
    seen: str
    held: bool | None


def report(folder: Path) -> tuple[bool, str]:
    """Whether all that was judged held, and the text; writes `report.md` and the plots beside the results."""
    raws = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    ours = [raw for raw in raws if raw["kind"] == "swarm"]
    rivals = [raw for raw in raws if raw["kind"] == "rival"]
    control = [raw for raw in raws if raw["kind"] == "scale"]
    verdicts = [*judge(ours, rivals), control_plane(control)]
    groups = dict.fromkeys(raw["group"] for raw in ours)
    parts = [f"{group}\n{swarm_table([raw for raw in ours if raw['group'] == group])}" for group in groups]
    if rivals:
        parts.append("beside others\n" + rivals_table(ours, rivals))
    if control:
        parts.append("control\n" + scale_table(control))
    shown = {None: "–", True: "holds", False: "FAILS"}
    parts.append(table(["must hold", "seen", "verdict"], [[v.what, v.seen, shown[v.held]] for v in verdicts]))
    text = "\n\n".join(parts)
    (folder / "report.md").write_text(f"```\n{text}\n```\n")
    parts.append(f"raw results, tables and plots: {folder}" + _plots(folder, raws))
    return all(verdict.held is not False for verdict in verdicts), "\n\n".join(parts)


def _plots(folder: Path, raws: Sequence[Raw]) -> str:
    try:
        from bench.plots import draw
    except ImportError:
        return "\nno plots: matplotlib is not installed (uv pip install --group bench)"
    draw(raws, folder)
    return ""


def judge(ours: Sequence[Raw], rivals: Sequence[Raw]) -> Iterator[Verdict]:
    """What must hold, one by one."""
    good = {(raw["group"], raw["name"]): swarm_summary(raw) for raw in ours if swarm_summary(raw)["valid"]}
    sixteen = good.get(("nodes", "16 nodes"))
    yield _judged("origin half the NIC, 16 nodes: bound / last ≥ 0.98", sixteen, "bound/last", lambda x: x >= 0.98)
    full = good.get(("origin", "origin 1 × NIC"))
    what = "origin as fast as the NIC: bound / last ≥ 0.95 × plain TCP between all pairs"
    yield _judged(what, full, "bound/last/tcp_pairs", lambda x: x >= 0.95)
    yield _judged("16 nodes: last / first ≤ 1.05", sixteen, "last/first", lambda x: x <= 1.05)
    hub = {name: summary["hub"] for (_, name), summary in good.items()}
    worst = max(hub, key=lambda name: hub[name], default="")
    seen = f"{hub[worst]:.3f} ({worst})" if hub else "no valid run"
    yield Verdict(what="hub bytes ≤ 1.01 × in every case", seen=seen, held=hub[worst] <= 1.01 if hub else None)
    yield _delay(good)
    racks = good.get(("trouble", "two racks, a thin link"))
    thin = max(racks["thin"].values(), default=None) if racks else None
    what = "two racks: at most 2.1 × the blob crosses the thin link"
    yield Verdict(what=what, seen=number(thin), held=None if thin is None else thin <= 2.1)
    yield _flat(good)
    yield from _faster(ours, rivals)
    yield from _one_node(ours, rivals)


def control_plane(raws: Sequence[Raw]) -> Verdict:
    """What the seed peer's part without bytes must not cost."""
    what = "1,000 nodes, 60 segments/s: control plane below 1 core and 500 MB"
    judged = [s for raw in raws if (s := scale_summary(raw))["must"] is not None]
    if not judged:
        return Verdict(what=what, seen="no run", held=None)
    worst = max(judged, key=lambda s: float(s["cores"]))
    seen = f"{number(worst['cores'])} cores, {number(worst['memory'] / 1e6, 0)} MB"
    return Verdict(what=what, seen=seen, held=all(s["must"] for s in judged))


def _judged(what: str, summary: Raw | None, key: str, holds: Callable[[float], bool]) -> Verdict:
    value = summary[key] if summary else None
    return Verdict(what=what, seen=number(value, 3), held=None if value is None else holds(value))


def _delay(good: dict[tuple[str, str], Raw]) -> Verdict:
    what = "a node ten times slower delays the others by less than 3 %"
    slow = good.get(("trouble", "one node ten times slower"))
    usual = good.get(("nodes", "8 nodes"))
    if not slow or not usual:
        return Verdict(what=what, seen="no valid run", held=None)
    delay = slow["last/bound"] / usual["last/bound"] - 1
    return Verdict(what=what, seen=f"{delay:+.1%}", held=delay < 0.03)


def _flat(good: dict[tuple[str, str], Raw]) -> Verdict:
    what = "time against nodes, 1 to 32: flat within 5 %"
    ratios = [summary["last/bound"] for (group, _), summary in good.items() if group == "nodes"]
    if len(ratios) < 2:
        return Verdict(what=what, seen="no valid runs", held=None)
    spread = max(ratios) / min(ratios) - 1
    return Verdict(what=what, seen=f"{spread:.1%} over {len(ratios)} sizes", held=spread <= 0.05)


def _faster(ours: Sequence[Raw], rivals: Sequence[Raw]) -> Iterator[Verdict]:
    for raw in ours:
        if raw["group"] != "rivals" or raw["case"]["nodes"] < 2:
            continue
        last = swarm_summary(raw)["last"]
        others = {r["rival"]: _last(r) for r in rivals if r["name"] == raw["name"]}
        best = min((name for name in others if others[name]), key=lambda name: others[name] or 0, default=None)
        if best and last:
            seen = f"{(others[best] or 0) / last:.2f} × {best}"
            yield Verdict(what=f"faster than every rival: {raw['name']}", seen=seen, held=last <= (others[best] or 0))


def _one_node(ours: Sequence[Raw], rivals: Sequence[Raw]) -> Iterator[Verdict]:
    """On one node there is nobody to share with: no slower than the others by itself, and hardly through a seed peer."""
    named = {(raw["group"], raw["name"]): raw for raw in ours}
    best = min((last for r in rivals if r["name"] == "1 nodes" and (last := _last(r))), default=None)
    alone, helped = named.get(("alone", "1 node, no seed peer")), named.get(("rivals", "1 nodes"))
    if best is None or alone is None or helped is None:
        return
    case = helped["case"]
    segment = Layout(case["size"]).segment_length / case["origin"]
    for what, raw, most in (
        ("one node without a seed peer: not slower than the best rival (1 % is the clock's)", alone, 1.01 * best),
        ("one node through a seed peer: ≤ 1.03 × the best rival and a segment", helped, 1.03 * best + segment),
    ):
        last = _last(raw)
        seen = f"{number(last)} s, the best rival {number(best)} s"
        yield Verdict(what=what, seen=seen, held=None if last is None else last <= most)


def _last(raw: Raw) -> float | None:
    times = [node["done"] for node in raw["nodes"]]
    good = all(times) and all(node["identical"] for node in raw["nodes"])
    return max(times) if good else None


def rivals_table(ours: Sequence[Raw], rivals: Sequence[Raw]) -> str:
    """Seconds until the last node had it, and what the hub sent, by number of nodes."""
    header = ["case", "who", "last s", "× bound", "hub ×", "core s / GB / node"]
    rows = []
    for raw in ours:
        if raw["group"] != "rivals":
            continue
        s, case = swarm_summary(raw), raw["case"]
        figures = [number(s["last"], 1), number(s["last/bound"]), number(s["hub"]), number(s["cpu_per_gb"]["node"], 1)]
        rows.append([raw["name"], "dfly", *figures])
        for rival in rivals:
            if rival["name"] != raw["name"]:
                continue
            last = _last(rival)
            hub = rival["hub"]["content_bytes"] / case["size"]
            cpu = sum(node["cpu"] for node in rival["nodes"]) / len(rival["nodes"]) / (case["size"] / 1e9)
            ratio = None if last is None else last / case["bound"]
            rows.append(["", rival["rival"], number(last, 1), number(ratio), number(hub), number(cpu, 1)])
    return table(header, rows)


def main(argv: Sequence[str]) -> int:
    """Judge a folder again."""
    held, text = report(Path(argv[0]))
    print(text)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
