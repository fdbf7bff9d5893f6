"""What the scheduler knows of one node, and which nodes keep up with the others.

A node that does not keep up is never given a segment to bring in: in a ring a slow node delays only itself, except through
the segments that enter by it.
"""

import math
from collections.abc import Iterable, Mapping

import attrs

from dfly.wire import Address

#: Seconds over which the rate of finished segments is smoothed, and for which it must be known before it is believed.
RATE_TIME = 3.0
#: Seconds without a report after which a node brings nothing in any more, and after which it leaves the ring.
QUIET, SILENT = 5.0, 15.0
#: Seconds for which a node that let a segment wait is not asked again.
SUSPECT = 10.0
#: Seconds for which a node that two others found silent has no place in the ring; twice as long each time, up to the longest.
BENCH, LONGEST_BENCH = 10.0, 300.0


@attrs.define
class Rate:
    """How many more of something per second, smoothed; None until it has been watched for RATE_TIME."""

    _since: float | None = None
    _at: float = 0.0
    _count: int = 0
    _smooth: float = 0.0

    def seen(self, count: int, now: float) -> None:
        """`count` in all at `now`."""
        if self._since is None:
            self._since, self._at, self._count = now, now, count
            return
        elapsed = now - self._at
        if elapsed < 0.5:
            return
        share = 1 - math.exp(-elapsed / RATE_TIME)
        self._smooth += share * ((count - self._count) / elapsed - self._smooth)
        self._at, self._count = now, count

    @property
    def known(self) -> float | None:
        """So many per second."""
        watched = self._since is not None and self._at - self._since >= RATE_TIME
        return self._smooth if watched else None


@attrs.define(kw_only=True, eq=False)
class Member:
    """One node of a task. Times are seconds of the scheduler's clock, `held` maps a blob to a mask of its segments.

    `given` counts entry duties so far, `load` those not served yet. `known` are the nodes whose addresses it was told.
    `sources` are the bytes it says it took so far, by source; `since` is when it first came, `rank` its place among stand-ins.
    """

    node: str
    addresses: tuple[Address, ...]
    location: str
    last_seen: float
    rank: bytes = b""
    #: Where it would stand in for the seed peer.
    control: Address | None = None
    connected: bool = True
    #: In the ring, and what it holds counts.
    seated: bool = False
    #: Since when the stream is broken without a goodbye; None while it is whole, and after the grace.
    lost: float | None = None
    #: Whether it said goodbye: what it held is kept to be shown, and is not believed any more.
    goodbye: bool = False
    held: dict[str, int] = attrs.field(factory=dict)
    count: int = 0
    given: int = 0
    load: int = 0
    suspect_until: float = -math.inf
    benched_until: float = -math.inf
    benches: int = 0
    reported: bool = False
    done: bool = False
    released: bool = False
    expelled: bool = False
    known: set[str] = attrs.field(factory=set)
    #: Blobs that it takes no part in.
    declined: set[str] = attrs.field(factory=set)
    #: Those of which it was told that nobody near needs them from it, and who was near then; None: nothing was told yet.
    over: set[str] = attrs.field(factory=set)
    near: frozenset[str] | None = None
    rate: Rate = attrs.field(factory=Rate)
    sources: Mapping[str, int] = attrs.field(factory=dict)
    since: float = 0.0
    #: Bytes per second, as its reports tell; and segments without progress as of the last one.
    flow: Rate = attrs.field(factory=Rate)
    stalled: int = 0

    @property
    def present(self) -> bool:
        """Whether it is connected, or was until a moment ago."""
        return self.connected or self.lost is not None

    def holds(self, blob: str, index: int) -> bool:
        """Whether it said that it has this segment."""
        return bool(self.held.get(blob, 0) >> index & 1)


def keeping_up(members: Iterable[Member], *, now: float, everything: int) -> list[Member]:
    """Those that may bring segments in; all where nobody keeps up. `everything` is how many segments could be held."""
    members = list(members)
    heard = [m for m in members if m.reported]
    count = _upper_median([m.count for m in heard])
    rate = _upper_median([r for m in heard if (r := m.rate.known) is not None])

    def able(member: Member) -> bool:
        if member.suspect_until > now or now - member.last_seen > QUIET:
            return False
        if not member.reported or member.count >= everything:
            return True
        known = member.rate.known
        return member.count >= count - max(4, count / 10) and (known is None or known >= rate / 2)

    return [m for m in members if able(m)] or members


def _upper_median(values: list[float] | list[int]) -> float:
    return sorted(values)[len(values) // 2] if values else 0
