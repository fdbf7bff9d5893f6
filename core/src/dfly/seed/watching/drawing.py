"""Draws a picture as HTML: whole, for a browser without scripts, and in sections, of which only those that changed are sent.

Names come from strangers (repositories, locations, nodes): every one goes through `_text`, and none into an attribute that means
something. There are no `style` attributes, because the page's policy forbids them.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from importlib import resources

from dfly.output.preflight import readable
from dfly.seed.watching.picture import NodePicture, Picture, TaskPicture, cells

#: Cells of a strip: with no more segments, each has its own.
CELLS = 128
#: Seconds after which a browser without scripts asks again.
_AGAIN = 5
_SOURCES = (("seed-peer", "seed", "from here"), ("peer", "peer", "from nodes"), ("hub", "hub", "from the hub"))
_CENTRE, _RADIUS = 60.0, 48.0


def page(picture: Picture, *, nonce: str, operator: bool) -> str:
    """The whole page. `nonce` is what its style and script are let in by."""
    drawn = sections(picture)
    tasks = "".join(f'<section id="{_text(i)}">{drawn[i]}</section>' for i in order(picture))
    who = "" if operator else '<span class="faint">private sources are shown to operators only</span>'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dfly seed peer</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="{_AGAIN}"></noscript>
<style nonce="{nonce}">{_part("style.css")}</style>
</head>
<body>
<header><h1>dfly seed peer</h1><span id="state" class="faint">as of now</span>{who}</header>
<main><section id="totals">{drawn["totals"]}</section><div id="tasks">{tasks}</div></main>
<script nonce="{nonce}">{_part("live.js")}</script>
</body>
</html>
"""


def order(picture: Picture) -> list[str]:
    """The ids of the tasks' sections, first to last."""
    return [f"task-{task.name}" for task in picture.tasks]


def sections(picture: Picture) -> dict[str, str]:
    """The inside of each section, by its id: `totals`, and one for each task."""
    return {"totals": _totals(picture)} | {f"task-{task.name}": _task(task) for task in picture.tasks}


def event(picture: Picture, known: dict[str, str]) -> bytes:
    """What to send to a browser that has the sections in `known`, which is brought up to date; b"" where nothing changed."""
    drawn = sections(picture)
    fresh = {name: html for name, html in drawn.items() if known.get(name) != html}
    if not fresh and known.keys() == drawn.keys():
        return b""
    known.clear()
    known.update(drawn)
    # JSON has no line break outside of strings, and none inside: one `data` line it is
    return b"event: picture\ndata: " + json.dumps({"order": order(picture), "drawn": fresh}).encode() + b"\n\n"


def strip(mask: int, count: int, *, label: str) -> str:
    """Segments as an SVG: full cells, and cells of which only some segments are there."""
    found = cells(mask, count, most=CELLS)
    paths = (_path(kind, [_level(share) == kind for share in found]) for kind in ("some", "full"))
    wide = max(1, len(found))
    return (
        f'<svg class="strip" viewBox="0 0 {wide} 1" preserveAspectRatio="none" role="img" aria-label="{_text(label)}">'
        f"{''.join(paths)}</svg>"
    )


def _level(share: float) -> str:
    return "full" if share == 1 else "some" if share else ""


def _path(kind: str, present: list[bool]) -> str:
    runs: list[list[int]] = []
    for at, here in enumerate(present):
        if here and runs and runs[-1][0] + runs[-1][1] == at:
            runs[-1][1] += 1
        elif here:
            runs.append([at, 1])
    return f'<path class="{kind}" d="{"".join(f"M{at} 0h{long}v1h-{long}z" for at, long in runs)}"/>' if runs else ""


def _totals(picture: Picture) -> str:
    sent = sum(rate for name, rate in picture.rates.items() if name.startswith("out "))
    rows = [
        ("", "from the hub", picture.received.get("hub", 0), picture.rates.get("in hub", 0)),
        ("", "sent to nodes", sum(picture.sent.values()), sent),
    ]
    rows += [
        (
            f"from-{kind}",
            f"nodes took {what}",
            picture.nodes_received.get(source, 0),
            picture.rates.get(f"nodes {source}", 0),
        )
        for source, kind, what in _SOURCES
    ]
    shown = [
        f'<div><dt class="{kind}">{name}</dt><dd>{readable(count)}{_rate(rate)}</dd></div>'
        for kind, name, count, rate in rows
    ]
    taken = sum(picture.nodes_received.values())
    share = f"{100 * picture.nodes_received.get('peer', 0) / taken:.0f} %" if taken else "–"
    shown.append(f"<div><dt>of it from each other</dt><dd>{share}</dd></div>")
    waiting = f'<p class="bad">waiting for {_name(picture.waiting_for)}</p>' if picture.waiting_for else ""
    nothing = "" if picture.tasks else '<p class="faint">no snapshot is open</p>'
    more = f'<p class="faint">and {picture.others} more snapshots</p>' if picture.others else ""
    return f"<dl>{''.join(shown)}</dl>{waiting}{nothing}{more}"


def _task(task: TaskPicture) -> str:
    known, here = task.segments, task.published.bit_count()
    size = sum(blob.size or 0 for blob in task.blobs)
    name = _name(task.source) if task.source is not None else f"a private source ({_name(task.name)})"
    head = f"{here} of {known} segments are here, {readable(size)} in {len(task.blobs)} blobs"
    rows = "".join(_node(task, node) for node in task.nodes)
    more = f'<p class="faint">and {task.others} more nodes</p>' if task.others else ""
    return (
        f'<h2>{name}</h2><p class="faint">{head}</p>{strip(task.published, known, label=head)}'
        # a keyboard has to get there to scroll it
        '<div class="task"><div class="scroll" tabindex="0" role="region" aria-label="nodes">'
        "<table><thead><tr><th>node<th>place<th>holds<th>took<th>state</tr></thead>"
        f"<tbody>{rows}</tbody></table>{more}</div>{_ring(task)}</div>"
    )


def _node(task: TaskPicture, node: NodePicture) -> str:
    held, known = task.held(node), task.segments
    label = f"{held.bit_count()} of {known}"
    took = " ".join(
        f'<span class="from-{kind}" title="{what}">{readable(node.sources[source])}</span>'
        for source, kind, what in _SOURCES
        if node.sources.get(source)
    )
    said = _text(node.state) + (f", brings {node.bringing}" if node.bringing else "")
    said += f', <span class="bad">{node.stalled} stalled</span>' if node.stalled else ""
    return (
        f'<tr data-node="{_text(node.node)}"><td class="name">{_name(node.address or node.node)}<td class="name">'
        f'{_name(node.location)}<td class="wide">{strip(held, known, label=label)}'
        f"<td>{took}{_rate(sum(node.rates.values()))}<td>{said}</tr>"
    )


def _ring(task: TaskPicture) -> str:
    """The nodes that have a place, in a circle round this seed peer; what flows is as thick as it is fast."""
    seated = sorted((node for node in task.nodes if node.place is not None), key=lambda node: node.place or 0)
    where = {node.node: _at(index, len(seated)) for index, node in enumerate(seated)}
    fastest = max((rate for node in seated for rate in node.rates.values()), default=0.0)
    lines = [line for node in seated for line in _lines(node, where, fastest)]
    dots = [_dot(task, node, *where[node.node]) for node in seated]
    label = f"a ring of {len(seated)} nodes"
    centre = f'<circle class="hub" cx="{_CENTRE:g}" cy="{_CENTRE:g}" r="4"><title>this seed peer</title></circle>'
    inside = "".join([*lines, centre, *dots])
    return f'<svg class="ring" viewBox="0 0 120 120" role="img" aria-label="{label}">{inside}</svg>'


def _lines(node: NodePicture, where: Mapping[str, tuple[float, float]], fastest: float) -> Iterator[str]:
    x, y = where[node.node]
    from_peers = node.rates.get("peer", 0.0)
    for other in node.neighbours:
        if other in where:
            # half-way: what comes to this node; the other half is the neighbour's
            ox, oy = where[other]
            yield _line(x, y, (x + ox) / 2, (y + oy) / 2, "peer", from_peers, fastest)
    rate = node.rates.get("seed-peer", 0.0)
    if rate or node.bringing:
        yield _line(_CENTRE, _CENTRE, x, y, "seed", rate, fastest)


def _line(x: float, y: float, to_x: float, to_y: float, kind: str, rate: float, fastest: float) -> str:
    thick = math.ceil(3 * rate / fastest) if fastest else 0
    marks = f' class="{kind} flow{thick}"' if thick else ""
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"{marks}/>'


def _dot(task: TaskPicture, node: NodePicture, x: float, y: float) -> str:
    held = task.held(node).bit_count()
    kind = "done" if held and held >= task.segments else "some" if held else ""
    said = f"{node.address or node.node}: {held} of {task.segments}, {node.state}"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{_text(said)}</title></circle>'


def _at(index: int, count: int) -> tuple[float, float]:
    turn = 2 * math.pi * index / max(1, count) - math.pi / 2
    return _CENTRE + _RADIUS * math.cos(turn), _CENTRE + _RADIUS * math.sin(turn)


def _rate(rate: float) -> str:
    return f" <small>{readable(round(rate))}/s</small>" if rate >= 1 else ""


def _name(text: str) -> str:
    """A stranger's text where it may be seen: one that is written from right to left turns nothing else round."""
    return f"<bdi>{_text(text)}</bdi>"


def _text(text: str) -> str:
    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text), quote=True)


@cache
def _part(name: str) -> str:
    return (resources.files("dfly.seed.watching") / "ui" / name).read_text("utf-8")
