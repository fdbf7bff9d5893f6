"""How published segments get into the ring: which of them somebody in it holds, and through whom the others enter.

A segment that nobody holds is some able node's duty, or waits for room. That is so again when its last holder has gone.
"""

from collections.abc import Callable, Mapping

import attrs

from dfly.seed.topology.duties import Duties
from dfly.seed.topology.holdings import Holdings, segments_of
from dfly.seed.topology.members import Member, keeping_up
from dfly.seed.topology.telling import Outbox
from dfly.wire import EntryDuty


@attrs.define(kw_only=True, eq=False)
class Entries:
    """Of one task's `members` (by node). `clock` is monotonic, in seconds."""

    members: Mapping[str, Member]
    clock: Callable[[], float]
    duties: Duties = attrs.field(factory=Duties)
    _holdings: Holdings = attrs.field(factory=Holdings)
    _published: dict[str, dict[int, int]] = attrs.field(factory=dict)
    _able: list[Member] | None = None

    def held(self, blob: str) -> int:
        """The segments of a blob that somebody in the ring holds, as a mask."""
        return self._holdings.held(blob)

    def publish(self, blob: str, index: int, size: int) -> Outbox:
        """A segment of `size` bytes can be had from the web seed."""
        self._published.setdefault(blob, {})[index] = size
        if self._holdings.held(blob) >> index & 1:
            return {}
        self.duties.need((blob, index), size)
        member = self.duties.assign_live((blob, index), self.able(), self.clock())
        return {member.node: [EntryDuty(blob=blob, index=index)]} if member else {}

    def retire(self, blob: str) -> None:
        """A blob was withdrawn: nobody has it, nobody is to bring it in."""
        for index in self._published.pop(blob, ()):
            self.duties.drop((blob, index))
        self._holdings.forget(blob)

    def come(self, blob: str, mask: int) -> None:
        """One more member of the ring holds the segments of `mask`."""
        now = self.clock()
        for index in segments_of(mask & ~self._holdings.held(blob)):
            self.duties.held((blob, index), now)
        self._holdings.add(blob, mask)

    def gone(self, blob: str, mask: int) -> None:
        """One holder less in the ring: what only it held must be brought in again."""
        published = self._published.get(blob, {})
        for index in segments_of(self._holdings.remove(blob, mask)):
            if index in published:
                self.duties.need((blob, index), published[index])

    def able(self) -> list[Member]:
        """Those in the ring that may bring segments in."""
        if self._able is None:
            everything = sum(len(segments) for segments in self._published.values())
            seated = [m for m in self.members.values() if m.connected and m.seated]
            self._able = keeping_up(seated, now=self.clock(), everything=everything)
        return self._able

    def ask_anew(self) -> None:
        """Who is able may have changed."""
        self._able = None

    def give(self, outbox: Outbox) -> Outbox:
        """Find somebody for what waits, as far as there is room; `outbox`, with what those are told."""
        # who is able is a question to all: a thousand that come or go at once must not each ask it for nothing
        if not self.duties.room:
            return outbox
        for (blob, index), member in self.duties.assign_waiting(self.able(), self.clock()):
            outbox.setdefault(member.node, []).append(EntryDuty(blob=blob, index=index))
        return outbox

    def give_overdue(self, outbox: Outbox) -> None:
        """Find somebody else as well for what a node lets wait."""
        for (blob, index), member in self.duties.assign_overdue(self.able(), self.clock()):
            outbox.setdefault(member.node, []).append(EntryDuty(blob=blob, index=index))
        # whoever let a segment wait is not able any more
        self.ask_anew()
