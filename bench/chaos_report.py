"""What a chaos run came to: figures and a table from raw results."""

from collections.abc import Sequence
from typing import Any

from bench.chaos_faults import KINDS
from bench.report import _cpu_share, number, table

#: What must hold: hub bytes per byte of the blob.
MOST_HUB = 1.05

_PAGE = """# Chaos

`python -m bench.chaos --seeds 10` builds a swarm in network namespaces, lets faults happen that a printed seed has chosen, and
compares every node's file with the hub's at the end. `--seed N` makes one run again. This page is written by
`python -m bench.chaos --write docs/chaos.md` from the raw results in `bench/results`.

{case}

{table}

*nodes* are those that have the whole file, byte for byte, of all; a node that was killed or ran out of disk counts once it has
been started again. *hub ×* is what the hub sent for each byte of the file ({most} at most); *last / bound* compares the last node
with the time that the hub's rate alone would take, were nothing to go wrong. A run that used more than 80 % of the machine's CPU
measured the machine.

What happens, and how often in these runs:

{legend}

Not among the faults: a bit that changes on a node's disk after its bytes were read for the file's SHA-256, in a segment that no
other node asks that node for. Nothing would notice it, as nothing notices it in any other file.
"""


def summary(raw: dict[str, Any]) -> dict[str, Any]:
    """The figures of one run."""
    nodes = raw["nodes"]
    right = [node for node in nodes if node["identical"] and node["code"] == 0]
    done = [node["done"] for node in right if node["done"] is not None]
    hub = raw["hub"]["content_bytes"] / raw["case"]["size"]
    last = max(done, default=None)
    return {
        "right": len(right),
        "nodes": len(nodes),
        "hub": hub,
        "last": last,
        "last/bound": last / raw["case"]["bound"] if last else None,
        "faults": sum(h["whom"] != "nobody" for h in raw["happened"] if h["kind"] in KINDS),
        "again": sum(node["runs"] - 1 for node in nodes),
        "from_hub": sum(node["sources"].get("hub", 0) > 0 for node in nodes),
        "cpu": _cpu_share(raw["cpu"], 0.0, last or float("inf")),
        "held": len(right) == len(nodes) and hub <= MOST_HUB and raw["over"],
    }


def chaos_table(raws: Sequence[dict[str, Any]]) -> str:
    """One row a run."""
    header = ["seed", "faults", "nodes", "started again", "hub ×", "last s", "last / bound", "CPU %", "verdict"]
    rows = []
    for raw in raws:
        s = summary(raw)
        rows.append(
            [
                str(raw["seed"]),
                str(s["faults"]),
                f"{s['right']} of {s['nodes']}",
                str(s["again"]),
                number(s["hub"], 3),
                number(s["last"], 1),
                number(s["last/bound"]),
                number(100 * s["cpu"], 0),
                "holds" if s["held"] else "FAILS",
            ]
        )
    return table(header, rows)


def troubles(raw: dict[str, Any]) -> str:
    """The nodes that did not get there, and why."""
    return "\n".join(
        f"{node['name']}: exit {node['code']}, identical {node['identical']}: {node['log'].strip()[-400:]}"
        for node in raw["nodes"]
        if not (node["identical"] and node["code"] == 0)
    )


def page(raws: Sequence[dict[str, Any]]) -> str:
    """docs/chaos.md."""
    case = raws[-1]["case"]
    what = (
        f"{case['nodes']} nodes with links of {case['nic'] / 125_000:g} Mbit/s, {case['seeds']} seed peers, a hub of "
        f"{case['origin'] / 125_000:g} Mbit/s, one file of {case['size'] >> 20} MiB, {case['faults']} faults each."
    )
    counts = dict.fromkeys(KINDS, 0)
    for raw in raws:
        for happened in raw["happened"]:
            if happened["kind"] in counts and happened["whom"] != "nobody":
                counts[happened["kind"]] += 1
    legend = "\n".join(f"- **{kind}** ({counts[kind]}): {what}" for kind, what in KINDS.items())
    rows = "\n".join(f"    {line}" for line in chaos_table(raws).splitlines())
    return _PAGE.format(case=what, table=rows, legend=legend, most=MOST_HUB)
