"""Pictures of a suite's raw results, each as PNG and SVG: when nodes were done, where bytes came from, how full links were."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from bench.report import link_use, swarm_summary

Raw = dict[str, Any]
_SOURCES = {"hub": "#b5532d", "seed-peer": "#d9a441", "peer": "#2d7f8f"}


def draw(raws: Sequence[Raw], folder: Path) -> None:
    """Write what the results have data for."""
    ours = [raw for raw in raws if raw["kind"] == "swarm"]
    rivals = [raw for raw in raws if raw["kind"] == "rival"]
    for number, raw in enumerate(ours):
        stem = f"{number:02d}-{raw['group']}-{raw['name']}".replace(" ", "-").replace(",", "").replace("×", "x")
        _completion(raw, folder / f"{stem}-completion")
        _links(raw, folder / f"{stem}-links")
    if ours:
        _sources(ours, folder / "bytes-by-source")
        _scaling([raw for raw in ours if raw["group"] == "nodes"], folder / "time-against-nodes")
    if rivals:
        _rivals([raw for raw in ours if raw["group"] == "rivals"], rivals, folder / "beside-others")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    for kind in ("png", "svg"):
        # not with_suffix: a name may have a point in it
        figure.savefig(path.with_name(f"{path.name}.{kind}"), dpi=120)
    plt.close(figure)


def _completion(raw: Raw, path: Path) -> None:
    done = sorted(node["done"] for node in raw["nodes"] if node["done"] is not None)
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.bar(range(1, len(done) + 1), done, color=_SOURCES["peer"])
    axes.axhline(raw["case"]["bound"], color="black", linestyle="--", linewidth=1, label="bound F / min(R, B)")
    axes.set(xlabel="node, first to last", ylabel="done (s)", title=raw["name"])
    axes.legend(loc="lower right")
    _save(figure, path)


def _links(raw: Raw, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 3.2))
    times = raw["links"]["time"]
    for node in raw["nodes"]:
        shares = link_use(raw, node["name"], "into")
        step = (times[-1] - times[0]) / max(1, len(shares))
        axes.plot([times[0] + (i + 0.5) * step for i in range(len(shares))], shares, linewidth=0.8, alpha=0.7)
    axes.set(xlabel="s", ylabel="share of the NIC, inwards", ylim=(0, 1.05), title=raw["name"])
    _save(figure, path)


def _sources(ours: Sequence[Raw], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(ours) + 1.2))
    labels = [f"{raw['group']}: {raw['name']}" for raw in ours]
    left = [0.0] * len(ours)
    for source, colour in _SOURCES.items():
        moved = [sum(node["sources"].get(source, 0) for node in raw["nodes"]) for raw in ours]
        shares = [m / max(1, raw["case"]["size"] * len(raw["nodes"])) for m, raw in zip(moved, ours, strict=True)]
        axes.barh(labels, shares, left=left, color=colour, label=source)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="share of the bytes that nodes received")
    axes.legend(loc="lower right")
    _save(figure, path)


def _scaling(ours: Sequence[Raw], path: Path) -> None:
    points = sorted((raw["case"]["nodes"], swarm_summary(raw)["last/bound"]) for raw in ours)
    points = [(nodes, ratio) for nodes, ratio in points if ratio is not None]
    if not points:
        return
    figure, axes = plt.subplots(figsize=(6, 3.2))
    axes.plot(*zip(*points, strict=True), marker="o", color=_SOURCES["peer"])
    axes.axhline(1.0, color="black", linestyle="--", linewidth=1)
    axes.set(xlabel="nodes", ylabel="last node / bound", title="origin half as fast as a NIC")
    axes.set_ylim(0, 1.1 * max(1.0, *(ratio for _, ratio in points)))
    _save(figure, path)


def _rivals(ours: Sequence[Raw], rivals: Sequence[Raw], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4))
    lines: dict[str, list[tuple[int, float]]] = {}
    for raw in ours:
        last = swarm_summary(raw)["last"]
        if last:
            lines.setdefault("dfly", []).append((raw["case"]["nodes"], last / raw["case"]["bound"]))
    for raw in rivals:
        times = [node["done"] for node in raw["nodes"]]
        if all(times):
            lines.setdefault(raw["rival"], []).append((raw["case"]["nodes"], max(times) / raw["case"]["bound"]))
    for name, points in lines.items():
        width = 2.5 if name == "dfly" else 1.0
        axes.plot(*zip(*sorted(points), strict=True), marker="o", linewidth=width, label=name)
    axes.set(xlabel="nodes", ylabel="last node / bound", title="the same blob over the same links")
    axes.legend()
    _save(figure, path)
