"""What a large cluster would see, from constants that were measured on a small one: `python -m bench.model` prints the tables.

`--write docs/scaling.md` puts them into the page, which has the formulas. A constant is a figure of raw results in
`bench/results`, computed here and nowhere else, so that a new measurement changes the page and nobody has to remember how.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from bench import scale
from bench.hops_report import hops_summary
from bench.report import number, swarm_summary
from bench.results import RESULTS
from dfly.layout import Layout

GBIT, GB = 125e6, 1e9
#: The model that is distributed: one blob, whose segments are the largest there are.
SIZE = 130 * GB
NODES, ORIGINS, NICS = (50, 200, 1000), (1, 5, 10), (10, 25, 100)
#: Flushes of the event stream a second, at most.
_FLUSHES = 20
_BEGIN, _END = "<!-- python -m bench.model -->", "<!-- end -->"

#: What is measured, in raw results of `bench/results`.
CONTROL = ("scale-2026-11-26T012431Z.json", "scale-2026-11-26T012451Z.json", "scale-2026-11-26T061605Z.json")
RING, FAST = "hops-2026-11-26T040212Z.json", "swarm-2026-11-26T031403Z.json"
THREADS = "swarm-2026-11-26T034929Z.json"
FULL = "suite-full-2026-11-26/swarm-2026-11-26T045236Z.json"
LONG = (RING, "hops-2026-11-26T035758Z.json", "hops-2026-11-26T041942Z.json", "hops-2026-11-26T041709Z.json")
EMULATED = tuple(
    f"suite-full-2026-11-26/swarm-2026-11-26T{at}Z.json"
    for at in ("043250", "043547", "043848", "044156", "044514", "044905")
)


@attrs.frozen(kw_only=True)
class Constants:
    """CPU in core-seconds, memory in bytes, times in seconds.

    `line` is what one segment adds to one node's event stream, in bytes. `report` is CPU for each node and second, `write` for
    each flush to one node. `base` and `listener` are the seed peer's memory without nodes and for each. `seed_cpu` and
    `node_cpu` are CPU for each GB. `egress` is what leaves the seed peer for each byte. `hop` is how long a piece takes to the
    next node, its transfer aside; `share` is how much of a NIC a ring uses where the origin is no limit. `session` is what one
    libtorrent session takes in and passes on, in bytes/s, until its one network thread fills a core.
    """

    line: float
    report: float
    write: float
    base: float
    listener: float
    seed_cpu: float
    node_cpu: float
    egress: float
    hop: float
    share: float
    session: float


@attrs.frozen(kw_only=True)
class Estimate:
    """For one blob and all nodes: `seconds` until the last has it, and what goes on meanwhile, in bytes/s and cores."""

    seconds: float
    rate: float
    limit: str
    egress: float
    stream: float
    seed_cores: float
    control_cores: float
    node_cores: float
    memory: float


def estimate(c: Constants, *, nodes: int, origin: float, nic: float, size: float = SIZE) -> Estimate:
    """`origin` and `nic` in bytes/s."""
    link = min(nic, c.session)
    rate = min(origin, c.share * link)
    limit = "origin" if origin <= c.share * link else "NIC" if nic <= c.session else "session"
    seconds = size / rate + tail(c, nodes=nodes, link=link, size=size)
    segments = rate / Layout(int(size)).segment_length
    control = nodes * (c.report + min(_FLUSHES, segments) * c.write)
    return Estimate(
        seconds=seconds,
        rate=rate,
        limit=limit,
        egress=c.egress * rate,
        stream=nodes * c.line * segments,
        seed_cores=rate / GB * c.seed_cpu + control,
        control_cores=control,
        node_cores=rate / GB * c.node_cpu,
        memory=c.base + nodes * c.listener,
    )


def tail(c: Constants, *, nodes: int, link: float, size: float) -> float:
    """Seconds from the last byte's arrival at the seed peer until the last node has it.

    The last segment goes through its entry node, which sends it on both ways, so a neighbour gets half a link; each further hop
    begins with the first piece.
    """
    layout = Layout(int(size))
    halves = 2 if nodes > 1 else 1
    return halves * layout.segment_length / link + nodes // 2 * (halves * layout.piece_length / link + c.hop)


def constants(directory: Path = RESULTS) -> Constants:
    """From the raw results."""
    control = [_raw(directory, name) for name in CONTROL]
    first = control[0]
    s = scale.summary(first)
    fast, ring = swarm_summary(_raw(directory, FAST)), hops_summary(_raw(directory, RING))
    measured = Constants(
        line=first["stream_bytes"][0] / first["segments"],
        report=s["cores_at_rest"] / first["nodes"],
        write=max(0.0, s["cores"] - s["cores_at_rest"]) / first["nodes"] / _FLUSHES,
        base=median(raw["seed_memory"][0] for raw in control),
        listener=max(scale.summary(raw)["memory_per_node"] for raw in control),
        seed_cpu=fast["cpu_per_gb"]["seed"],
        node_cpu=fast["cpu_per_gb"]["node"],
        egress=max(swarm_summary(_raw(directory, name))["seed_egress"] for name in EMULATED),
        hop=ring["hop"]["median"],
        share=1.0,
        session=GB / swarm_summary(_raw(directory, THREADS))["busiest_thread_per_gb"]["node"],
    )
    return attrs.evolve(measured, share=_share(measured, _raw(directory, FULL)))


def _share(c: Constants, raw: dict[str, Any]) -> float:
    """The rate, as a share of the NIC, that explains a run whose origin was as fast."""
    case, last = raw["case"], swarm_summary(raw)["last"]
    at_rate = last - tail(c, nodes=case["nodes"], link=case["nic"], size=case["size"])
    return float(case["size"] / at_rate / case["nic"])


def _raw(directory: Path, name: str) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads((directory / name).read_text())
    return raw


def tables(c: Constants, directory: Path = RESULTS) -> Iterator[str]:
    """The tables of the page."""
    yield markdown(["constant", "measured", "from"], list(_constants_rows(c)))
    header = ["nodes", "origin Gbit/s", "NIC Gbit/s", "time", "limit", "GB/s", "without a swarm", "seed egress Gbit/s"]
    header += ["stream kB/s", "seed cores", "of these control", "seed MB", "node cores"]
    yield markdown(header, list(_estimate_rows(c)))
    header = ["emulated", "last node s", "model s", "model / emulated", "hub ×", "from"]
    yield markdown(header, list(_emulated_rows(c, directory)))
    header = ["ring", "to verified: median s", "p95", "max", "a hop: median ms", "× bound", "CPU", "on the way", "from"]
    yield markdown(header, list(_long_rows(directory)))


def _constants_rows(c: Constants) -> Iterator[list[str]]:
    control = f"`{CONTROL[0]}`"
    yield ["a segment in one event stream", f"{c.line:.0f} bytes", control]
    yield ["a node that listens and reports, for a second", f"{1e6 * c.report:.0f} µs of a core", control]
    yield ["a flush to one node", f"{1e6 * c.write:.0f} µs of a core", control]
    yield ["a seed peer without nodes", f"{c.base / 1e6:.0f} MB", ", ".join(f"`{name}`" for name in CONTROL)]
    yield ["a node more", f"{c.listener / 1e3:.0f} kB", "the same"]
    yield ["a GB through the seed peer", f"{c.seed_cpu:.1f} core s", f"`{FAST}`"]
    yield ["a GB into a node, and on to the next", f"{c.node_cpu:.1f} core s", f"`{FAST}`"]
    yield ["what leaves the seed peer for each byte", f"{c.egress:.2f} bytes", f"the worst of `{EMULATED[0]}` …"]
    yield ["a hop, its transfer aside", f"{1000 * c.hop:.0f} ms", f"`{RING}`"]
    yield ["the ring's share of a NIC", f"{c.share:.2f}", f"`{FULL}`"]
    yield ["one session, its thread on a core of its own", f"{c.session / GB:.2f} GB/s", f"`{THREADS}`"]


def _estimate_rows(c: Constants) -> Iterator[list[str]]:
    for nodes in NODES:
        for origin in ORIGINS:
            found: dict[tuple[str, ...], list[int]] = {}
            for nic in NICS:
                e = estimate(c, nodes=nodes, origin=origin * GBIT, nic=nic * GBIT)
                found.setdefault(_figures(e, alone=nodes * SIZE / (origin * GBIT)), []).append(nic)
            for figures, nics in found.items():
                yield [f"{nodes:,}", f"{origin}", ", ".join(map(str, nics)), *figures]


def _figures(e: Estimate, *, alone: float) -> tuple[str, ...]:
    whole = (clock(e.seconds), e.limit, number(e.rate / GB), clock(alone))
    seed = (number(e.egress / GBIT, 1), number(e.stream / 1e3, 0), number(e.seed_cores, 1), number(e.control_cores))
    return (*whole, *seed, number(e.memory / 1e6, 0), number(e.node_cores, 1))


def _emulated_rows(c: Constants, directory: Path) -> Iterator[list[str]]:
    for name in EMULATED:
        raw = _raw(directory, name)
        case, s = raw["case"], swarm_summary(raw)
        e = estimate(c, nodes=case["nodes"], origin=case["origin"], nic=case["nic"], size=case["size"])
        told = f"{case['nodes']} × {case['size'] >> 20} MiB, origin {case['origin'] / GBIT * 1000:.0f} Mbit/s, "
        told += f"NIC {case['nic'] / GBIT * 1000:.0f} Mbit/s"
        figures = [number(s["last"], 1), number(e.seconds, 1), number(e.seconds / s["last"]), number(s["hub"], 3)]
        yield [told, *figures, f"`{name}`"]


def _long_rows(directory: Path) -> Iterator[list[str]]:
    for name in LONG:
        raw = _raw(directory, name)
        case, s = raw["case"], hops_summary(raw)
        who = "bare sessions" if raw.get("bare") else "nodes"
        told = f"{case['nodes']} {who} × {case['size'] >> 20} MiB, origin {case['rate'] / 1e6:g} MB/s"
        figures = [number(s["verified"][part], 1) for part in ("median", "p95", "max")]
        figures += [number(1000 * s["hop"]["median"], 0), number(s["last/bound"])]
        cpu = [f"{s['cpu']:.0%}" + ("" if s["valid"] else ": invalid"), f"{s['cpu_on_the_way']:.0%}"]
        yield [told, *figures, *cpu, f"`{name}`"]


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes.

    >>> clock(65), clock(7260)
    ('1 min 05 s', '2 h 01 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as the docs have it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def filled(page: str, parts: Sequence[str]) -> str:
    """`page` with these between its marks, in order. Raises ValueError where it has not as many."""
    pieces = page.split(_BEGIN)
    if len(pieces) != len(parts) + 1:
        raise ValueError(f"the page has {len(pieces) - 1} marks for {len(parts)} tables")
    whole = pieces[0]
    for part, piece in zip(parts, pieces[1:], strict=True):
        whole += f"{_BEGIN}\n{part}\n{_END}{piece.partition(_END)[2]}"
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    given = parser.parse_args(argv)
    parts = list(tables(constants()))
    if given.write:
        given.write.write_text(filled(given.write.read_text(), parts))
    else:
        print("\n\n".join(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
