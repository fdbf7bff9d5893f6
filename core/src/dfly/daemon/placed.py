"""A place in a task's ring as operators see it: the same row while the task's bytes come and while they are served."""

from typing import Any

from dfly import wire
from dfly.node.succession import Seat
from dfly.values import bare_url


def placed(node: str, *, seat: Seat, ring: wire.Ring, held: int, offered: int) -> dict[str, Any]:
    """As JSON: who this node is there, with whom, and how many segments it has and offers to them now."""
    return {
        "task": seat.task,
        "url": seat.resolved.snapshot.source,
        "node": node,
        "seed_peer": bare_url(seat.seed_peer.url),
        "members": ring.members,
        "neighbours": [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ring.neighbours],
        "held": held,
        "offered": offered,
    }
