"""What each node is told of those around it, where that is news: its neighbours, what they need of it, and that it may go."""

from collections.abc import Collection, Iterable, Mapping

import attrs

from dfly.seed.topology.chords import Chords
from dfly.seed.topology.members import Member
from dfly.seed.topology.needed import Needed
from dfly.seed.topology.ring import Ring
from dfly.wire import Address, Message, Released
from dfly.wire import Ring as RingLine

#: What to tell whom, in order.
Outbox = dict[str, list[Message]]


@attrs.define(kw_only=True, eq=False)
class Telling:
    """Of one task's `members` (by node). `stand_ins` are where those can be reached who would take our place."""

    members: Mapping[str, Member]
    ring: Ring
    chords: Chords
    needed: Needed
    stand_ins: tuple[Address, ...] = ()
    _told: dict[str, RingLine] = attrs.field(factory=dict)

    def near(self, node: str) -> frozenset[str]:
        """Its neighbours, and the far ends of its chords."""
        return frozenset((*self.ring.neighbours(node), *self.chords.of(node)))

    def forget(self, node: str) -> None:
        """A node's stream is a new one: all is news to it."""
        self._told.pop(node, None)

    def ring_lines(self, concerned: set[str]) -> Outbox:
        """Their neighbours now, for those to whom that is news; and that they may go, for those whom nobody needs."""
        outbox: Outbox = {}
        for member in self._connected(concerned):
            line = self._line(member)
            before = self._told.get(member.node)
            if before is None or attrs.evolve(before, members=line.members) != line:
                self._told[member.node] = line
                outbox.setdefault(member.node, []).append(line)
        self.needs(outbox, (node for node in concerned if self._has_moved(node)))
        self.release(outbox, concerned)
        return outbox

    def needs_around(self, outbox: Outbox, node: str, blobs: Collection[str]) -> None:
        """Something has changed for a node and some `blobs`."""
        if blobs:
            self.needs(outbox, {node, *self.near(node)}, blobs)

    def needs(self, outbox: Outbox, nodes: Iterable[str], blobs: Collection[str] | None = None) -> None:
        """What is needed of nodes now, where it is news: of `blobs`, or of all where somebody else is near them."""
        for member in self._connected(nodes):
            near = self.near(member.node)
            if blobs is None:
                member.near = near
            lines = self.needed.news(member, [self.members[node] for node in near], blobs)
            if lines:
                outbox.setdefault(member.node, []).extend(lines)

    def release(self, outbox: Outbox, nodes: Iterable[str]) -> None:
        """Tell those who are done, and whose neighbours are, that nobody needs them; once."""
        for member in self._connected(nodes):
            if not member.done or member.released:
                continue
            if all(self.members[node].done for node in self.ring.neighbours(member.node)):
                member.released = True
                outbox.setdefault(member.node, []).append(Released())

    def _connected(self, nodes: Iterable[str]) -> list[Member]:
        found = (self.members.get(node) for node in sorted(nodes))
        return [member for member in found if member is not None and member.connected]

    def _has_moved(self, node: str) -> bool:
        member = self.members.get(node)
        return member is not None and member.near != self.near(node)

    def _line(self, member: Member) -> RingLine:
        neighbours = [self.members[node] for node in self.ring.neighbours(member.node)]
        chords = [self.members[node] for node in self.chords.of(member.node)]
        member.known.update(m.node for m in (*neighbours, *chords))
        return RingLine(
            neighbours=tuple(a for m in neighbours for a in m.addresses),
            admitted=tuple(a for m in chords for a in m.addresses),
            members=max(1, len(self.ring)),
            stand_ins=self.stand_ins,
        )
