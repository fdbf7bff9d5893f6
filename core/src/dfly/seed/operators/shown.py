"""What operators are shown of a snapshot, a task and a node: rows of plain values, the same from every place that shows them.

Nothing here opens anything: a private task goes by its id without the seal.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed.operators.remembered import Remembered
from dfly.seed.task import Task
from dfly.seed.topology.members import QUIET, Member
from dfly.values import Snapshot, bare_task


def snapshot_row(
    snapshot: Snapshot, freight: Freight, *, task: str, here: Callable[[str], bool], blobs: bool = False
) -> dict[str, Any]:
    """A snapshot and how many of its blobs are `here`; with `blobs`, which those are."""
    contents = {blob: entry for blob, entry in freight.ids if entry.size != 0}
    found = sum(map(here, contents))
    row: dict[str, Any] = {
        "task": bare_task(task),
        "url": snapshot.source,
        "revision": snapshot.revision,
        "public": snapshot.public,
        "files": len(snapshot.entries),
        "bytes": snapshot.size,
        "blobs": len(contents),
        "here": found,
        "complete": found == len(contents),
    }
    if blobs:
        files: dict[str, list[str]] = {}
        for blob, entry in freight.ids:
            files.setdefault(blob, []).append(entry.path)
        row["contents"] = [
            {"blob": blob, "bytes": entry.size, "here": here(blob), "files": files[blob]}
            for blob, entry in contents.items()
        ]
    return row


def remembered_row(found: Remembered, *, here: Collection[str], nodes: int, blobs: bool = False) -> dict[str, Any]:
    """A snapshot that a seed peer remembers, with `nodes` in its ring."""
    freight = Freight.of(found.snapshot, task=found.task)
    # of what nodes brought along there is the pack only, which is as good
    packed = frozenset(freight.pack.blobs) if freight.pack and freight.pack.blob in here else frozenset[str]()

    def is_here(blob: str) -> bool:
        return blob in here or blob in packed

    return {
        **snapshot_row(found.snapshot, freight, task=found.task, here=is_here, blobs=blobs),
        "revisions": list(found.revisions),
        "asked": list(found.urls),
        "pinned": found.pinned,
        "imported": found.imported,
        "resolved": found.resolved,
        "used": found.used,
        "nodes": nodes,
    }


def task_row(task: Task, *, sizes: Mapping[str, int | None]) -> dict[str, Any]:
    """A task: what of it is published (segments), who is in its ring, and what those say they took (bytes by source)."""
    rows = []
    for blob, size in sizes.items():
        segments = Layout(size).segments if size is not None else None
        complete = task.is_complete(blob)
        published = segments if complete else len(task.published(blob))
        rows.append({"blob": blob, "bytes": size, "segments": segments, "published": published, "complete": complete})
    members = task.scheduler.known()
    received: Counter[str] = Counter()
    for member in task.scheduler.everyone:
        received.update(member.sources)
    return {
        "task": task.name,
        "url": task.source,
        "bytes": sum(size or 0 for size in sizes.values()),
        "segments": sum(row["segments"] or 0 for row in rows),
        "published": sum(row["published"] or 0 for row in rows),
        "complete": all(row["complete"] for row in rows),
        "nodes": sum(m.connected for m in members),
        "in_ring": len(task.scheduler.members),
        "done": sum(m.done for m in members),
        "stalled": sum(m.stalled for m in members if m.connected),
        "received": dict(received),
        "blobs": rows,
    }


def node_rows(task: Task, *, sizes: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """The nodes of a task: those in the ring in its order, then the others."""
    scheduler, now = task.scheduler, task.scheduler.clock()
    order = {node: at for at, node in enumerate(scheduler.members)}
    segments = {blob: Layout(size).segments for blob, size in sizes.items() if size is not None}
    return [
        {
            "node": member.node,
            "place": order.get(member.node),
            "state": _state(member, now),
            "addresses": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in member.addresses],
            "location": member.location,
            "neighbours": list(scheduler.neighbours(member.node)),
            "held": member.count,
            "segments": sum(count for blob, count in segments.items() if blob not in member.declined),
            "done": member.done,
            "stalled": member.stalled,
            "received": dict(member.sources),
            # who has everything takes nothing more, and says so only now and then
            "rate": round(member.flow.known or 0) if not member.done and now - member.last_seen <= QUIET else 0,
            "heard": round(now - member.last_seen, 3),
            "benched": round(max(0.0, member.benched_until - now), 3),
            "expelled": member.expelled,
        }
        for member in scheduler.known()
    ]


def _state(member: Member, now: float) -> str:
    if member.expelled:
        return "expelled"
    if member.benched_until > now:
        return "benched"
    if not member.connected:
        return "lost"
    if not member.seated:
        return "silent"
    return "done" if member.done else "fetching"
