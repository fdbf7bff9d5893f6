"""What can go wrong in a chaos run, and the plan of one: which faults, when, to whom, all from one seed.

The plan knows no processes: it is data that is printed, kept with the result, and made again from its seed.
"""

import random
from collections.abc import Sequence
from typing import Any

import attrs

#: kind → what it does, for the table's legend.
KINDS = {
    "kill": "kill -9 of a node; the same command again some seconds later",
    "pause": "SIGSTOP of a node for some seconds",
    "cut": "a node's cable pulled for some seconds",
    "slow": "a node's link ten times slower for some seconds",
    "corrupt": "a node joins that serves wrong bytes",
    "silent": "a node joins that promises everything and sends nothing",
    "seed kill": "kill -9 of a seed peer, restarted some seconds later",
    "hub 429": "the hub answers 429 with Retry-After a few times",
    "hub 503": "the hub answers 503 a few times",
    "hub cut": "the hub ends some bodies in the middle",
    "hub links": "all signed links of the hub run out",
    "full disk": "a node's disk is filled up; the same command again once there is room",
    "node flip": "a bit changes in a segment that a node holds",
    "seed flip": "a bit changes in a segment that a seed peer has published",
}
#: What occurs more than once in a run of many faults.
FREQUENT = ("kill", "pause", "cut", "slow", "hub 429", "hub 503", "hub cut")


@attrs.frozen(kw_only=True)
class Fault:
    """`kind` at `at` seconds after the start, for `seconds`, to the first of `order` that can have it; `amount` as it needs."""

    kind: str
    at: float
    seconds: float
    amount: float
    order: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Without the order, which the seed gives again."""
        return {"kind": self.kind, "at": round(self.at, 1), "seconds": round(self.seconds, 1)}


def plan(seed: int, *, faults: int, nodes: int, span: float, kinds: Sequence[str] = tuple(KINDS)) -> list[Fault]:
    """`faults` of them in the first `span` seconds, in order. Every kind occurs where there is room for all."""
    rng = random.Random(seed)
    chosen = rng.sample(kinds, min(faults, len(kinds)))
    frequent = [kind for kind in FREQUENT if kind in kinds]
    chosen += rng.choices(frequent, k=faults - len(chosen))
    made = [
        Fault(
            kind=kind,
            at=rng.uniform(0.05, 0.75) * span,
            seconds=rng.uniform(0.05, 0.25) * span,
            amount=rng.random(),
            order=tuple(rng.sample(range(nodes), nodes)),
        )
        for kind in chosen
    ]
    return sorted(made, key=lambda fault: fault.at)
