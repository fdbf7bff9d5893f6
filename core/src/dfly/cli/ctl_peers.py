"""`dfctl peers`: the ring of each task, and how far every node in it is."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dfly.cli.columns import table
from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk, written
from dfly.cli.units import duration_text, printable, rate_text, size_text

Url = Annotated[str | None, typer.Argument(metavar="URL", help="Only the ring of this one.", show_default=False)]


def peers(
    url: Url = None,
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - typer calls it by name
) -> int:
    """Show who is in which ring: of a seed peer all nodes, of a daemon its own places."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.get("peers", **({"url": url} if url else {}))
    sys.stdout.write(written(found) if json else _text(found))
    return 0


def _text(found: Mapping[str, Any]) -> str:
    if found["role"] != "seed-peer":
        return places(found) or "in no ring\n"
    shown = [f"{printable(task['url'])}\n" + (nodes(task) or "  no nodes\n") for task in found["tasks"]]
    return "\n".join(shown) or "no tasks\n"


def nodes(task: Mapping[str, Any]) -> str:
    """The nodes of a seed peer's task as a table."""
    rows = [
        (
            "-" if node["place"] is None else str(node["place"]),
            node["node"],
            " ".join(node["addresses"]),
            node["location"] or "-",
            node["state"],
            f"{node['held']:,} of {node['segments']:,}",
            size_text(node["received"].get("seed-peer", 0)),
            size_text(node["received"].get("peer", 0)),
            size_text(node["received"].get("hub", 0)),
            rate_text(node["rate"]),
            str(node["stalled"]),
            f"{duration_text(node['heard'])} ago",
        )
        for node in task["nodes"]
    ]
    headings = (
        *(">PLACE", "NODE", "ADDRESS", "LOCATION", "STATE", ">SEGMENTS"),
        *(">SEED PEER", ">PEERS", ">HUB", ">RATE", ">STALLED", ">HEARD"),
    )
    return table(headings, rows, indent="  ")


def places(found: Mapping[str, Any]) -> str:
    """The rings that a daemon is in as a table."""
    rows = [
        (
            task["node"],
            str(task["members"]),
            " ".join(task["neighbours"]) or "-",
            str(task["held"]),
            str(task["offered"]),
            task["seed_peer"],
            task["url"],
        )
        for task in found["tasks"]
    ]
    return table(("NODE", ">MEMBERS", "NEIGHBOURS", ">HELD", ">OFFERED", "SEED PEER", "SOURCE"), rows)
