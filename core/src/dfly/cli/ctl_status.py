"""`dfctl status`: what goes on right now: tasks, where their bytes come from, how fast, and what they wait for.

It is watched, so it fits a terminal of 80 columns: `dfctl peers` tells more of each node.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from dfly.cli.columns import table
from dfly.cli.desk import CaFile, Desk, Json, SeedPeerUrl, TokenFile, at_desk, written
from dfly.cli.units import count_text, duration_text, printable, rate_text, size_text

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")]

#: Seconds between looks, and nodes of a ring that are shown.
_EVERY, _MOST_NODES = 1.0, 32
#: What empties a terminal.
_CLEAR = "\x1b[H\x1b[2J"


def status(
    watch: Watch = False,  # noqa: FBT002 - typer calls it by name
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as above
) -> int:
    """Show what goes on: tasks, the bytes of each by source, rates, stalls, and in a ring how far every node is."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        try:
            while True:
                shown = written(desk.get("status")) if json else _text(desk)
                sys.stdout.write((_CLEAR if watch and not json and sys.stdout.isatty() else "") + shown)
                sys.stdout.flush()
                if not watch:
                    return 0
                time.sleep(_EVERY)
        except KeyboardInterrupt:
            return 0


def _text(desk: Desk) -> str:
    said = desk.get("status")
    heading = f"{desk.what}: dfly {said['version']}, up {duration_text(said['seconds'])}\n"
    if said["role"] == "seed-peer":
        rings = {task["task"]: task for task in desk.get("peers")["tasks"]}
        return printable(heading) + _seed_peer(said, rings)
    return printable(heading) + _node(said)


def _seed_peer(said: Mapping[str, Any], rings: Mapping[str, Any]) -> str:
    names = {"hub": "from hubs", "web seed": "to nodes", "control": "control plane"}
    flows = [(names.get(kind, kind), size_text(n), rate_text(said["rates"][kind])) for kind, n in said["moved"].items()]
    lines = [table(("BYTES", ">SO FAR", ">NOW"), flows)]
    if said["waiting_for"]:
        lines.append(f"waiting: {printable(said['waiting_for'])}\n")
    for task in said["tasks"]:
        got = " + ".join(f"{size_text(count)} from {source}" for source, count in task["received"].items() if count)
        lines.append(
            f"\n{printable(task['url'])}\n"
            f"  {size_text(task['bytes'])}, {task['published']:,} of {task['segments']:,} segments published; "
            f"{count_text(task['nodes'], 'node')}, {task['done']:,} done, {task['stalled']:,} stalled segments\n"
            + (f"  nodes took {got}\n" if got else "")
        )
        lines.append(_ring(rings.get(task["task"], {"nodes": []})["nodes"]))
    return "".join(lines)


def _ring(nodes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            node["addresses"][0] if node["addresses"] else node["node"],
            node["state"],
            f"{node['held']:,} of {node['segments']:,}",
            *(size_text(node["received"].get(source, 0)) for source in ("seed-peer", "peer", "hub")),
            rate_text(node["rate"]),
        )
        for node in nodes[:_MOST_NODES]
    ]
    more = len(nodes) - len(rows)
    text = table(("NODE", "STATE", ">SEGMENTS", ">SEED PEER", ">PEERS", ">HUB", ">RATE"), rows, indent="  ")
    return text + (f"  and {count_text(more, 'more node')}\n" if more else "")


def _moved(counts: Mapping[str, int], *, to: bool) -> str:
    """Bytes since the start, by who sent or got them; "" where none moved. An older daemon does not tell them."""
    word = "to" if to else "from"
    return ", ".join(f"{size_text(count)} {word} {who}" for who, count in sorted(counts.items()) if count)


def _node(said: Mapping[str, Any]) -> str:
    cache = said["cache"]
    limit = f" of {size_text(cache['limit'])}" if cache["limit"] is not None else ""
    lines = [
        f"cache: {count_text(cache['blobs'], 'blob')}, {size_text(cache['bytes'])}{limit}; "
        f"in {count_text(said['rings'], 'ring')}\n",
        f"seed peers: {printable(' '.join(said['seed_peers'])) or 'none'}\n",
        *(
            f"{did}: {moved}\n"
            for did in ("received", "sent")
            if (moved := _moved(said.get(did, {}), to=did == "sent"))
        ),
    ]
    for task in said["tasks"]:
        got = ", ".join(f"{size_text(count)} from {source}" for source, count in task["received"].items())
        lines.append(
            f"\n{printable(task['url'])}\n"
            f"  {size_text(task['arrived'])} of {size_text(task['bytes'])} in {count_text(task['files'], 'file')}, "
            f"{rate_text(task['rate'])}, {duration_text(task['seconds'])} so far\n"
            + (f"  {got}\n" if got else "")
            + f"  last byte {duration_text(task['idle'])} ago, {count_text(task['stalls'], 'stall')}"
            + (f", waiting: {printable(task['waiting_for'])}" if task["waiting_for"] else "")
            + "\n"
        )
    return "".join(lines) + ("" if said["tasks"] else "nothing is being fetched\n")
