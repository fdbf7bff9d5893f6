"""Which held segments have a torrent: those that somebody near may need. One takes 40 KB, and a model has tens of thousands.

    served ──nobody near needs its blob, and that was found right──▶ resting
       ▲                                                                │
       └──somebody new does, or there is another seed peer──────────────┘

Who is near, and what they have, only the seed peer knows; a node does as it is told. A few segments at each turn, the first
blobs' first: leaving or joining a swarm takes up to a millisecond, and the one thread has other things to do.
"""

from collections.abc import Mapping
from itertools import islice

import attrs

from dfly import wire
from dfly.node.circle import Circle
from dfly.node.flow import Flow
from dfly.node.segments import Segments

#: Torrents to add or remove at one turn.
AT_ONCE = 64


@attrs.define(kw_only=True, eq=False)
class Keeping:
    """Acts on `flows` (by blob id)."""

    flows: Mapping[str, Flow]
    segments: Segments
    circle: Circle
    _moving: set[str] = attrs.field(factory=set)

    def told(self, needs: wire.Needs) -> None:
        """The seed peer's word on what those near need."""
        near = frozenset(self.circle.near())
        for blob in self.flows.keys() & set(needs.over):
            flow = self.flows[blob]
            if not flow.over:
                flow.over, flow.near_then = True, near
                self._moving.add(blob)
        for blob in self.flows.keys() & set(needs.again):
            flow = self.flows[blob]
            if near <= flow.near_then:
                flow.near_then = frozenset()  # it is another node now that has the address of one that had all
            self._serve_again(flow)

    def serve_all(self) -> None:
        """What was said does not hold any more: there is another seed peer, or a new stream from this one."""
        for flow in self.flows.values():
            self._serve_again(flow)

    def turn(self) -> bool:
        """Do a part of what is to be done. False where nothing is left that can be done now."""
        if not self._moving:
            return False
        room = AT_ONCE
        self._moving &= self.flows.keys()
        for flow in [flow for blob, flow in self.flows.items() if blob in self._moving]:
            if flow.over and not flow.arrival.settled:
                continue  # what is not found right may have to come again
            room -= self._move(flow, room)
            if room <= 0:
                return True
            self._moving.discard(flow.blob)
        return False

    def _serve_again(self, flow: Flow) -> None:
        if flow.over:
            flow.over = False
            self._moving.add(flow.blob)

    def _move(self, flow: Flow, room: int) -> int:
        """Bring at most `room` segments to where they belong. Returns how many."""
        if flow.over:
            chosen = list(islice((index for index in flow.held if index not in flow.resting), room))
            for index in chosen:
                self.segments.rest(flow, index)
            return len(chosen)
        # whoever was near then has all of it, and who is refused once does not dial again for long: so it is for us to dial
        peers = [peer for peer in self.circle.near() if peer not in flow.near_then]
        chosen = sorted(flow.resting)[:room]
        for index in chosen:
            self.segments.wake(flow, index, peers)
        return len(chosen)
