"""A swarm benchmark's case: how big, how many, how fast, and what goes wrong. Sizes in bytes, rates in bytes/s."""

import argparse
from typing import Any

import attrs

MIB = 1 << 20
MBIT = 125_000


@attrs.frozen(kw_only=True)
class Case:
    """One blob from one hub to `nodes` nodes; with `source` "model" or "small" a real model or 2,000 small files instead.

    `late` nodes join, and the first seed peer is killed, when the given share of the blob has left the hub. `slow`
    nodes have a NIC `slow_factor` times slower. Racks but the first are joined to it by links of `thin` bytes/s. Where the
    seed peers are `warm` they have all of it before the clock starts.
    """

    nodes: int = 8
    size: int = 256 * MIB
    origin: float = 40 * MBIT
    nic: float = 100 * MBIT
    seeds: int = 1
    racks: int = 1
    thin: float | None = None
    slow: int = 0
    slow_factor: float = 10.0
    late: int = 0
    late_at: float = 0.5
    kill_seed_at: float | None = None
    source: str = "blob"
    warm: bool = False

    @property
    def bound(self) -> float:
        """Seconds below which no swarm can bring the blob to every node: F / min(R, B), whatever their number; R is that of
        a seed peer's NIC where it is warm.
        """
        return self.size / (self.nic if self.warm else min(self.origin, self.nic))

    @property
    def patience(self) -> float:
        """Seconds after which a run is given up."""
        slowest = self.size / (self.nic / self.slow_factor) if self.slow else 0.0
        return 60 + 4 * self.bound + 2 * slowest

    @property
    def rack_sizes(self) -> list[int]:
        """Nodes in each rack, as even as can be."""
        return [self.nodes // self.racks + (rack < self.nodes % self.racks) for rack in range(self.racks)]

    def role(self, node: int) -> str:
        """Of node number `node`: "late", "slow" or "ordinary". The last nodes are late, those before them slow."""
        if node >= self.nodes - self.late:
            return "late"
        return "slow" if node >= self.nodes - self.late - self.slow else "ordinary"

    def as_dict(self) -> dict[str, Any]:
        """The fields and the bound."""
        return {**attrs.asdict(self), "bound": self.bound}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags for each field, in the units that people use for them."""
    add = parser.add_argument
    add("--nodes", type=int, default=8, help="how many nodes (8)")
    add("--size", type=float, default=256, metavar="MIB", help="the blob (256 MiB)")
    add("--origin", type=float, default=40, metavar="MBIT", help="the hub's rate in Mbit/s (40)")
    add("--nic", type=float, default=100, metavar="MBIT", help="a seed peer's and a node's NIC in Mbit/s (100)")
    add("--seeds", type=int, default=1, help="seed peers (1)")
    add("--racks", type=int, default=1, help="racks, hub and seed peers in the first (1)")
    add("--thin", type=float, metavar="MBIT", help="the link between racks in Mbit/s")
    add("--slow", type=int, default=0, metavar="N", help="nodes with a slower NIC (0)")
    add("--slow-factor", type=float, default=10, metavar="X", help="how much slower (10)")
    add("--late", type=int, default=0, metavar="N", help="nodes that join late (0)")
    add("--late-at", type=float, default=0.5, metavar="SHARE", help="share of the blob sent by then (0.5)")
    add("--source", choices=("blob", "model", "small"), default="blob", help="what is fetched (blob)")
    add("--warm", action="store_true", help="the seed peers have it before the clock starts")
    add("--kill-seed-at", type=float, metavar="SHARE", help="kill -9 the first seed peer at this share of the blob")


def from_arguments(given: argparse.Namespace) -> Case:
    """The case that the flags describe."""
    return Case(
        nodes=given.nodes,
        size=int(given.size * MIB),
        origin=given.origin * MBIT,
        nic=given.nic * MBIT,
        seeds=given.seeds,
        racks=given.racks,
        thin=given.thin * MBIT if given.thin else None,
        slow=given.slow,
        slow_factor=given.slow_factor,
        late=given.late,
        late_at=given.late_at,
        kill_seed_at=given.kill_seed_at,
        source=given.source,
        warm=given.warm,
    )
