"""Members that hold a segment, found by chance: for a seed peer that lacks it, and for a node that sees no progress on it.

By chance, so that not everybody turns to the same few.
"""

import random
from collections.abc import Mapping

import attrs

from dfly.seed.topology.chords import Chords
from dfly.seed.topology.members import Member
from dfly.seed.topology.ring import Ring

#: Far members that one stall gets a node.
_CHORDS = 2
#: Members looked at for a holder before all of them are.
_SAMPLE = 32


@attrs.define(kw_only=True, eq=False)
class Finding:
    """Among the `members` (by node) of one task's ring. Chance comes from `pick`."""

    members: Mapping[str, Member]
    ring: Ring
    chords: Chords
    pick: random.Random

    def holders(self, blob: str, index: int, *, most: int) -> list[Member]:
        """Some that hold a segment and can be dialled."""
        found = [m for m in self._in_the_ring() if m.addresses and m.holds(blob, index)]
        return self.pick.sample(found, min(most, len(found)))

    def far(self, node: str, blob: str, index: int) -> list[Member]:
        """Whom a node may turn to besides its neighbours: those that hold the segment, else any."""
        near = {node, *self.ring.neighbours(node)}
        far = [m for m in self._in_the_ring() if m.node not in near and not self.ring.apart(node, m.node)]
        sample = self.pick.sample(far, min(_SAMPLE, len(far)))
        found = [m for m in sample if m.holds(blob, index)] or [m for m in far if m.holds(blob, index)] or sample
        linked = self.chords.of(node)
        # one it has and one it has not, while there are both: what it has does not seem to help
        old, new = [m for m in found if m.node in linked], [m for m in found if m.node not in linked]
        return [*new[: _CHORDS - min(1, len(old))], *old][:_CHORDS]

    def _in_the_ring(self) -> list[Member]:
        return [m for m in self.members.values() if m.connected and m.seated]
