"""How far a blob is for the nodes of one task: what they were told of it, and which of that on the word of other nodes."""

import attrs

from dfly.seed.topology.holdings import segments_of
from dfly.wire import Segment


@attrs.define(kw_only=True, eq=False)
class Carried:
    """A segment that was told on the word of nodes, and whose bytes are not here. `reclaimed`: they are fetched after all."""

    segment: Segment
    reclaimed: bool = False


@attrs.define(kw_only=True, eq=False)
class Progress:
    """What was told of one blob: the current attempt, its published segments, whether it is complete.

    `alone` maps carried segments that no node in the ring holds to when that was found.
    """

    attempt: int = 1
    segments: set[int] = attrs.field(factory=set)
    carried: dict[int, Carried] = attrs.field(factory=dict)
    alone: dict[int, float] = attrs.field(factory=dict)
    complete: bool = False
    #: The MACs of all its segments joined, and of which attempt, once somebody asked.
    macs: tuple[int, bytes] | None = None
    _mask: int = 0

    def carry(self, segment: Segment) -> None:
        """Tell of a segment on a node's word."""
        self.segments.add(segment.index)
        self.carried[segment.index] = Carried(segment=segment)
        self._mask |= 1 << segment.index

    def put_down(self, index: int) -> bool:
        """The bytes of a segment are here. False where it was not carried."""
        self._mask &= ~(1 << index)
        return self.carried.pop(index, None) is not None

    def lonely(self, held: int, now: float) -> dict[int, float]:
        """The carried segments that are not in the mask `held`, and since when they were not."""
        lonely = self._mask & ~held
        self.alone = {index: self.alone.get(index, now) for index in segments_of(lonely)} if lonely else {}
        return self.alone
