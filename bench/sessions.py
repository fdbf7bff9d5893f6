"""A long ring of bare libtorrent sessions: what a hop costs without dfly's control plane, and on fewer CPUs.

    python -m bench.sessions --nodes 200 --size 64 --rate 1

All sessions live in this process, which is their scheduler: whenever the origin would have sent a segment, it publishes that
from a session of its own and has every node add its torrent at once. Neighbours and entries are those of a ring, as the seed
peer chooses them; there is no event stream, no report and no journal. Beside `bench.hops` it tells libtorrent's part of a
hop.
"""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import attrs

from bench import machine
from bench.blobs import identical, write_blob
from bench.hops import Long, arguments, measure
from dfly.layout import Layout
from dfly.swarm import SegmentKey, SegmentReadable, Swarm, SwarmEvent, SwarmSettings, piece_hash

_HERE = "127.0.0.1"
_BLOB = "sessions"


@attrs.frozen
class _Seen:
    """Node number `node` holds segment `index` since `at`."""

    node: int
    index: int
    at: float


def run(case: Long, *, root: Path) -> dict[str, Any]:
    """The raw result, of the same form as that of `bench.hops`. Raises RuntimeError where a node never gets everything."""
    source = root / "source.bin"
    write_blob(source, case.size)
    layout, seen = Layout(case.size), SimpleQueue[_Seen]()
    verified: list[list[float | None]] = [[None] * case.nodes for _ in range(layout.segments)]
    published: list[float] = []
    with _sessions(case.nodes, seen) as (origin, nodes), machine.CpuMeter(0.25) as cpu:
        left = deque(range(layout.segments))
        files = [_file(root, number) for number in range(case.nodes)]
        used, began = time.process_time(), time.monotonic()
        for index in range(layout.segments):
            arrives = began + layout.segment_range(index)[1] / case.rate
            _collect(seen, verified, until=lambda at=arrives: time.monotonic() >= at)
            published.append(time.monotonic() - began)
            _leave_finished(left, verified, [origin, *nodes])
            _publish(origin, nodes, layout, index, source=source, files=files)
        deadline = time.monotonic() + 60
        _collect(seen, verified, until=lambda: _whole(verified) or time.monotonic() > deadline)
        used = time.process_time() - used
    if not _whole(verified) or not all(identical(file, source) for file in files):
        raise RuntimeError("not every node has everything")
    rows = [[round(at - began, 4) for at in row if at is not None] for row in verified]
    offset = time.time() - time.monotonic()
    return {
        "kind": "hops",
        "bare": True,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.facts(),
        "case": attrs.asdict(case) | {"bound": case.bound},
        "in_order": True,
        "published": [round(at, 4) for at in published],
        "verified": rows,
        "done": [max(column) for column in zip(*rows, strict=True)],
        "node_cpu": [round(used / case.nodes, 3)] * case.nodes,
        "node_memory": [_memory() // case.nodes] * case.nodes,
        "egress": {},
        "hub_bytes": 0,
        "cpu": [[round(r.time - offset - began, 3), round(r.busy, 2), round(r.total, 2)] for r in cpu.readings],
    }


@contextmanager
def _sessions(count: int, seen: "SimpleQueue[_Seen]") -> Iterator[tuple[Swarm, list[Swarm]]]:
    """The origin's session and those of the nodes, which say what they hold."""

    def told(node: int) -> Any:
        def hear(event: SwarmEvent) -> None:
            if isinstance(event, SegmentReadable):
                seen.put(_Seen(node, event.key.index, time.monotonic()))

        return hear

    settings = SwarmSettings(interfaces=(_HERE,))
    with ExitStack() as stack:
        origin = stack.enter_context(Swarm(settings, on_event=lambda _: None))
        origin.allow([_HERE])
        nodes = [stack.enter_context(Swarm(settings, on_event=told(number))) for number in range(count)]
        yield origin, nodes


def _file(root: Path, number: int) -> Path:
    folder = root / f"node{number:04}"
    folder.mkdir()
    return folder / "blob.bin"


def _publish(origin: Swarm, nodes: list[Swarm], layout: Layout, index: int, *, source: Path, files: list[Path]) -> None:
    """Every node asks its two neighbours; one of them, another for each segment, the origin as well."""
    hashes = b"".join(_piece_hash(source, layout, piece) for piece in layout.segment_pieces(index))
    origin.add_segment(_BLOB, layout, index, hashes, path=str(source), have=True)
    entry = index * len(nodes) // layout.segments
    for number, node in enumerate(nodes):
        beside = {(number - 1) % len(nodes), (number + 1) % len(nodes)} - {number}
        peers = [(_HERE, nodes[other].port) for other in sorted(beside)]
        if number == entry:
            peers.append((_HERE, origin.port))
        node.add_segment(_BLOB, layout, index, hashes, path=str(files[number]), peers=peers)


def _leave_finished(left: deque[int], verified: list[list[float | None]], sessions: list[Swarm]) -> None:
    """Leave the swarms of segments that everybody has: two hundred sessions in one process have few descriptors each."""
    while left and all(at is not None for at in verified[left[0]]):
        key = SegmentKey(_BLOB, left.popleft())
        for session in sessions:
            session.remove(key)


def _piece_hash(source: Path, layout: Layout, piece: int) -> bytes:
    start, stop = layout.piece_range(piece)
    with source.open("rb") as file:
        file.seek(start)
        return piece_hash(file.read(stop - start))


def _collect(seen: "SimpleQueue[_Seen]", verified: list[list[float | None]], *, until: Any) -> None:
    """Note who holds what, until it is enough."""
    while not until():
        try:
            news = seen.get(timeout=0.01)
        except Empty:
            continue
        verified[news.index][news.node] = news.at


def _whole(verified: list[list[float | None]]) -> bool:
    return all(at is not None for row in verified for at in row)


def _memory() -> int:
    """Resident bytes of this process."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def main(argv: list[str] | None = None) -> int:
    """A ring of bare sessions. Returns the exit code."""
    return measure(run, arguments("bench.sessions", __doc__).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
