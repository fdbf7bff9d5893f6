"""What a seed peer looks like at one moment: what is published, who holds what, how fast it moves. For the page, and for tests.

Taken in the event loop by copying numbers, no more; counted, drawn and encoded elsewhere. Sources of private snapshots, and what
would tell them, are left out by `hiding`.
"""

import math
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import attrs

from dfly.layout import Layout
from dfly.seed.mirroring import Mirror
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks
from dfly.seed.topology.holdings import mask_of
from dfly.seed.topology.members import Member

#: Tasks, and nodes of all of them together, that are shown: a page is for a person, and is drawn while others are served.
MOST_TASKS, MOST_NODES = 32, 512
#: Seconds over which rates are taken.
WINDOW = 5.0


@attrs.frozen(kw_only=True)
class BlobPicture:
    """A blob of `size` bytes in so many `segments` (None: nobody knows yet); `published` is a mask of them."""

    blob: str
    size: int | None
    segments: int | None
    published: int
    complete: bool


@attrs.frozen(kw_only=True)
class NodePicture:
    """A node of a task: what it holds of each blob, as masks, and the bytes it says it took, by source.

    `rates` are in bytes/s, by source. `bringing` counts segments that it brings into the ring and has not got yet.
    """

    node: str
    address: str
    location: str
    state: str
    place: int | None
    neighbours: tuple[str, ...]
    held: Mapping[str, int]
    sources: Mapping[str, int]
    stalled: int
    bringing: int
    rates: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class TaskPicture:
    """A task; `source` is None where it is not for whoever looks. `others` counts nodes that are not shown."""

    name: str
    source: str | None
    public: bool
    blobs: tuple[BlobPicture, ...]
    nodes: tuple[NodePicture, ...]
    others: int = 0

    @property
    def segments(self) -> int:
        """How many there are, as far as that is known."""
        return sum(blob.segments or 0 for blob in self.blobs)

    @property
    def published(self) -> int:
        """All blobs' published segments as one mask, in the order of the blobs."""
        return self._joined({blob.blob: blob.published for blob in self.blobs})

    def held(self, node: NodePicture) -> int:
        """The same of what a node holds."""
        return self._joined(node.held)

    def hiding(self) -> "TaskPicture":
        """Without what tells the source of a private one: its blobs are numbered."""
        if self.public:
            return self
        names = {blob.blob: str(number) for number, blob in enumerate(self.blobs, 1)}
        return attrs.evolve(
            self,
            source=None,
            blobs=tuple(attrs.evolve(blob, blob=names[blob.blob]) for blob in self.blobs),
            nodes=tuple(
                attrs.evolve(node, held={names[blob]: mask for blob, mask in node.held.items() if blob in names})
                for node in self.nodes
            ),
        )

    def _joined(self, masks: Mapping[str, int]) -> int:
        joined = at = 0
        for blob in self.blobs:
            joined |= masks.get(blob.blob, 0) << at
            at += blob.segments or 0
        return joined


@attrs.frozen(kw_only=True)
class Picture:
    """All of it. `received` and `sent` are this seed peer's own bytes, by source and receiver, `nodes_received` what nodes say.

    `rates` are in bytes/s, named "in hub", "out web seed", "nodes peer".
    """

    received: Mapping[str, int]
    sent: Mapping[str, int]
    nodes_received: Mapping[str, int]
    waiting_for: str
    tasks: tuple[TaskPicture, ...]
    others: int = 0
    rates: Mapping[str, float] = attrs.field(factory=dict)

    @classmethod
    def of(cls, tasks: Tasks, egress: Mapping[str, int]) -> "Picture":
        """As it is now, with the tasks used last first."""
        found = sorted(tasks.all(), key=lambda task: task.last_used, reverse=True)
        shown, room = [], MOST_NODES
        for task in found[:MOST_TASKS]:
            shown.append(_task(task, tasks.mirror, room=room))
            room -= len(shown[-1].nodes)
        return cls(
            received={"hub": tasks.mirror.hub_bytes, "peer": tasks.pulled_bytes},
            sent={kind: count for kind, count in egress.items() if kind != "control"},
            nodes_received=dict(tasks.counts.received),
            waiting_for=tasks.waiting_for,
            tasks=tuple(shown),
            others=max(0, len(found) - MOST_TASKS),
        )

    def hiding(self) -> "Picture":
        """For who may not see the sources of private snapshots."""
        waiting = "a hub" if self.waiting_for else ""
        return attrs.evolve(self, waiting_for=waiting, tasks=tuple(task.hiding() for task in self.tasks))

    def as_json(self) -> dict[str, Any]:
        """The JSON form: masks as [first, last] runs."""

        def plain(_: object, field: "attrs.Attribute[Any] | None", value: Any) -> Any:
            if field is not None and field.name == "published":
                return runs(value)
            if field is not None and field.name == "held":
                return {blob: runs(mask) for blob, mask in value.items() if mask}
            return value

        return attrs.asdict(self, value_serializer=plain)


class Paces:
    """Turns the totals of pictures, taken now and then, into rates."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], deque[tuple[float, int]]] = {}

    def of(self, picture: Picture, now: float) -> Picture:
        """The same picture with its rates; `now` in seconds."""
        known = set(self._seen)
        moved = {f"in {source}": count for source, count in picture.received.items()}
        moved |= {f"out {to}": count for to, count in picture.sent.items()}
        moved |= {f"nodes {source}": count for source, count in picture.nodes_received.items()}
        rates = {name: self._rate((name,), count, now, known) for name, count in moved.items()}
        tasks = tuple(
            attrs.evolve(task, nodes=tuple(self._paced(task, node, now, known) for node in task.nodes))
            for task in picture.tasks
        )
        for gone in known:
            del self._seen[gone]
        return attrs.evolve(picture, tasks=tasks, rates=rates)

    def _paced(self, task: TaskPicture, node: NodePicture, now: float, known: set[tuple[str, ...]]) -> NodePicture:
        rates = {s: self._rate((task.name, node.node, s), count, now, known) for s, count in node.sources.items()}
        return attrs.evolve(node, rates=rates)

    def _rate(self, key: tuple[str, ...], count: int, now: float, known: set[tuple[str, ...]]) -> float:
        known.discard(key)
        seen = self._seen.setdefault(key, deque([(now, count)]))
        while len(seen) > 1 and now - seen[0][0] > WINDOW:
            seen.popleft()
        since, had = seen[0]
        if now > seen[-1][0]:
            seen.append((now, count))
        return max(0.0, (count - had) / (now - since)) if now > since else 0.0


def cells(mask: int, count: int, *, most: int) -> list[float]:
    """A strip of `count` segments as at most `most` cells: the share of each that is in `mask`.

    >>> cells(0b0111, 4, most=2)
    [1.0, 0.5]
    """
    wide = min(count, most)
    edges = [cell * count // wide for cell in range(wide + 1)] if wide else []
    return [(mask >> start & ((1 << stop - start) - 1)).bit_count() / (stop - start) for start, stop in pairwise(edges)]


def runs(mask: int) -> list[list[int]]:
    """The segments of a mask as [first, last] pairs.

    >>> runs(0b1011)
    [[0, 1], [3, 3]]
    """
    found: list[list[int]] = []
    at = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        long = (~mask & mask + 1).bit_length() - 1
        found.append([at + skip, at + skip + long - 1])
        mask >>= long
        at += skip + long
    return found


def _task(task: Task, mirror: Mirror, *, room: int) -> TaskPicture:
    order = {node: place for place, node in enumerate(task.scheduler.members)}
    here: list[Member] = []
    gone: list[Member] = []
    for member in reversed(task.scheduler.everyone):
        (here if member.connected or member.node in order else gone).append(member)
    # the ring in its order, then who is here without a place, then who has left, the last first
    here.sort(key=lambda member: order.get(member.node, math.inf))
    return TaskPicture(
        name=task.name,
        source=task.source,
        public=task.public,
        blobs=tuple(_blobs(task, mirror)),
        nodes=tuple(_node(task, member, order) for member in [*here, *gone][:room]),
        others=max(0, len(here) + len(gone) - room),
    )


def _blobs(task: Task, mirror: Mirror) -> Iterator[BlobPicture]:
    for blob, told in task.freight.sizes().items():
        size = mirror.size(blob) if told is None else told
        segments = None if size is None else Layout(size).segments
        complete = task.is_complete(blob)
        published = (1 << (segments or 0)) - 1 if complete else mask_of(task.published(blob))
        yield BlobPicture(blob=blob, size=size, segments=segments, published=published, complete=complete)


def _node(task: Task, member: Member, order: Mapping[str, int]) -> NodePicture:
    host, port = member.addresses[0] if member.addresses else ("", 0)
    return NodePicture(
        node=member.node,
        address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else "",
        location=member.location,
        state=_state(member, task.scheduler.clock()),
        place=order.get(member.node),
        neighbours=task.scheduler.neighbours(member.node),
        held=dict(member.held),
        sources=dict(member.sources),
        stalled=member.stalled if member.connected else 0,
        bringing=member.load if member.connected else 0,
    )


def _state(member: Member, now: float) -> str:
    """In words that the page shows."""
    if member.expelled:
        return "expelled"
    if member.benched_until > now:
        return "benched"
    if not member.connected:
        return "left, done" if member.done else "lost" if member.lost is not None else "left"
    if not member.seated:
        return "silent"
    return "done" if member.done else "fetching"
