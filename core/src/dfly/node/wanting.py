"""Which blobs a node in the swarm brings: those it began with, those that are wanted later, less those that are given up.

What a seed peer says of a blob it says once. So a node that grows remembers what it hears of blobs that it does not bring.
"""

from collections.abc import Iterable, Mapping

import attrs

from dfly import wire
from dfly.node.arrival import Arrival
from dfly.node.flow import Flow
from dfly.node.readers import Readers
from dfly.node.reporting import Reports
from dfly.node.segments import Segments

#: Segments that the seed peer is asked to bring first, at most.
MOST_FIRST = 32

Told = wire.Segment | wire.Blob


@attrs.define(kw_only=True, eq=False)
class Wanting:
    """Changes `flows` (by blob id). `unheard` is what was heard of other blobs, None where none will be wanted later."""

    flows: dict[str, Flow]
    segments: Segments
    reports: Reports
    readers: Readers | None
    unheard: dict[str, list[Told]] | None

    def add(self, arrivals: Mapping[str, Arrival]) -> list[Told]:
        """Bring these as well. Returns what was heard of them before."""
        heard: list[Told] = []
        for blob, arrival in arrivals.items():
            if blob not in self.flows:
                self.flows[blob] = Flow(arrival, readers=self.readers)
                self.reports.want([blob])
                heard += (self.unheard or {}).pop(blob, ())
        return heard

    def give_up(self, blobs: Iterable[str]) -> None:
        """Bring these no more, unless they are here already."""
        for blob in self.flows.keys() & set(blobs):
            flow = self.flows[blob]
            if flow.arrival.settled or flow.settling or self.unheard is None:
                continue
            del self.flows[blob]
            self.segments.drop(flow)
            flow.doubted = True  # what is still being hashed of it leads to nothing more
            self.reports.forget(blob)
            self.reports.decline(blob)
            told: list[Told] = [*flow.records(held_only=False)]
            if flow.sha256:
                told.append(
                    wire.Blob(blob=blob, state="complete", size=flow.size, attempt=flow.attempt, sha256=flow.sha256)
                )
            self.unheard[blob] = told

    def keep_for_later(self, told: Told) -> None:
        """This was said of a blob that is not wanted, or not yet."""
        if self.unheard is not None:
            self.unheard.setdefault(told.blob, []).append(told)

    def mind_readers(self) -> None:
        """What somebody waits to read comes before the rest: from the web seed, which is told what to bring first."""
        if self.readers is None:
            return
        self.segments.hurry()
        first = [(flow.blob, index) for flow in self.flows.values() for index in flow.awaited()]
        self.reports.hurry(first[:MOST_FIRST])
