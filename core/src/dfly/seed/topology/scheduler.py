"""One task's topology: who is whose neighbour, and (in `entries`) through whom each segment enters the ring.

Pure logic: every call changes what is known and returns what to tell whom, in order. No sockets, no threads, no waiting; time is
what `clock` says. A ring, because in it nobody competes: each byte enters and leaves a node once, at 0.97 of what plain TCP
reaches, where a random mesh has 0.72. It stands or falls with the entries, so those go to nodes that keep up, and are watched.
"""

import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Mapping
from heapq import nsmallest

import attrs

from dfly.seed.topology.chords import Chords
from dfly.seed.topology.complaints import Complaints, Outcome
from dfly.seed.topology.duties import Duties
from dfly.seed.topology.entries import Entries
from dfly.seed.topology.finding import Finding
from dfly.seed.topology.holdings import mask_of
from dfly.seed.topology.members import SILENT, Member
from dfly.seed.topology.needed import Needed
from dfly.seed.topology.ring import Ring
from dfly.seed.topology.telling import Outbox, Telling
from dfly.seed.watching.counts import believable
from dfly.wire import Address, Doubted, Report

#: Seconds for which a node whose stream broke keeps its place.
GRACE = 2.0
#: Nodes that may stand in for the seed peer.
_STAND_INS = 3
#: Nodes that are gone are remembered, so that one that comes back need not tell everything again.
_MOST_GONE = 4096
#: No blob has as many segments; a number from the wire becomes a bit, and bits are memory.
_MOST_SEGMENTS = 1 << 16


@attrs.define(kw_only=True, eq=False)
class Scheduler:
    """The members of `task`, whose freight is `blobs`. `clock` is monotonic, in seconds; chance comes from `pick`."""

    blobs: Collection[str]
    clock: Callable[[], float]
    task: str = ""
    pick: random.Random = attrs.field(factory=random.Random)
    _members: dict[str, Member] = attrs.field(factory=dict)
    _ring: Ring = attrs.field(factory=Ring)
    _chords: Chords = attrs.field(factory=Chords)
    _needed: Needed = attrs.field(factory=Needed)
    _complaints: Complaints = attrs.field(init=False)
    _telling: Telling = attrs.field(init=False)
    _entries: Entries = attrs.field(init=False)
    _finding: Finding = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        members, ring, chords = self._members, self._ring, self._chords
        self._complaints = Complaints(members=members, ring=ring, chords=chords, clock=self.clock)
        self._telling = Telling(members=members, ring=ring, chords=chords, needed=self._needed)
        self._entries = Entries(members=members, clock=self.clock)
        self._finding = Finding(members=members, ring=ring, chords=chords, pick=self.pick)

    @property
    def duties(self) -> Duties:
        """Which node brings which segment into the ring."""
        return self._entries.duties

    @property
    def members(self) -> tuple[str, ...]:
        """The nodes in the ring, in its order."""
        return tuple(self._ring)

    @property
    def everyone(self) -> tuple[Member, ...]:
        """All nodes that are remembered, those that have left among them; who came last is last."""
        return tuple(self._members.values())

    def neighbours(self, node: str) -> tuple[str, ...]:
        """The nodes that a node has beside it in the ring."""
        return self._ring.neighbours(node)

    def near(self, node: str) -> frozenset[str]:
        """Those, and the far ends of its chords."""
        return self._telling.near(node)

    def member(self, node: str) -> Member | None:
        """What is known of a node that is connected or was until a moment ago; None for others."""
        member = self._members.get(node)
        return member if member is not None and member.present else None

    def known(self) -> list[Member]:
        """All nodes that are connected or were until a moment ago: those in the ring in its order, then the others."""
        seated = [self._members[node] for node in self._ring]
        others = [m for m in self._members.values() if not m.seated and m.present]
        return [*seated, *others]

    @property
    def undone(self) -> tuple[str, ...]:
        """The nodes that are connected and still lack something."""
        return tuple(m.node for m in list(self._members.values()) if m.connected and not m.done)

    def held(self, blob: str) -> int:
        """The segments of a blob that somebody in the ring holds, as a mask."""
        return self._entries.held(blob)

    def holders(self, blob: str, index: int, *, most: int) -> tuple[Address, ...]:
        """Where nodes that hold a segment can be dialled: some of them, by chance."""
        return tuple(member.addresses[0] for member in self._finding.holders(blob, index, most=most))

    def join(
        self, node: str, addresses: Iterable[Address], location: str = "", *, control: Address | None = None
    ) -> Outbox:
        """A node's stream is open. Its first address is the one it was seen at; at `control` it would stand in for us."""
        now, addresses = self.clock(), tuple(addresses)
        # taken out and put back, so that those who went longest ago are the first to be forgotten
        member = self._members.pop(node, None)
        if member is None:
            member = Member(
                node=node,
                addresses=addresses,
                location=location,
                last_seen=now,
                since=now,
                given=self._average_given(),
                rank=_rank(self.task, node),
            )
        self._members[node] = member
        if member.goodbye:  # it may have been told to throw it all away meanwhile, and tells what it has
            member.goodbye, member.done, member.held, member.count = False, False, {}, 0
        moved = member.addresses != addresses
        self._entries.ask_anew()
        member.connected, member.lost, member.last_seen, member.released = True, None, now, False
        member.addresses, member.location, member.control = addresses, location, control
        member.over, member.near = set(), None
        member.expelled = member.expelled or self._complaints.expelled(addresses)
        self._telling.forget(node)
        concerned = self._seat(member) | {node}
        if moved:
            concerned |= {*self._ring.neighbours(node), *self._chords.of(node)}
        return self._entries.give(self._telling.ring_lines(concerned))

    def leave(self, node: str, *, goodbye: bool = False) -> Outbox:
        """A node's stream has ended. After a goodbye its place closes at once, else after the grace."""
        member = self.member(node)
        if member is None:
            return {}
        self._entries.ask_anew()
        member.connected, member.lost = False, None if goodbye else self.clock()
        member.goodbye = goodbye
        self.duties.release(node)
        return self._entries.give(self._telling.ring_lines(self._unseat(member)) if goodbye else {})

    def report(self, node: str, report: Report) -> Outbox:
        """What a node told: what it holds, whether it is done or goes."""
        member = self.member(node)
        if member is None:
            return {}
        now = self.clock()
        member.last_seen, member.reported, member.done = now, True, report.done
        member.sources, member.stalled = dict(believable(report)), len(report.stalled)
        member.flow.seen(sum(member.sources.values()), now)
        accepted = member.declined & (set(report.accepted) - set(report.declined))
        member.declined -= accepted
        declined = {blob for blob in report.declined if blob in self.blobs} - member.declined
        member.declined |= declined
        for blob in declined:
            self.duties.decline(node, blob)
        outbox = self._telling.ring_lines(self._seat(member)) if member.connected else {}
        whole = self._hold_all(member, report.held)
        member.rate.seen(member.count, now)
        if report.goodbye:
            return self.leave(node, goodbye=True)
        self._telling.needs_around(outbox, node, whole | accepted | declined)
        if member.done:
            self._telling.release(outbox, {node, *self._ring.neighbours(node)})
        return self._entries.give(outbox)

    def hold(self, node: str, held: Mapping[str, Iterable[int]]) -> Outbox:
        """A node holds segments that an earlier seed peer published."""
        member = self.member(node)
        if member is None:
            return {}
        member.last_seen = self.clock()
        outbox = self._telling.ring_lines(self._seat(member)) if member.connected else {}
        self._telling.needs_around(outbox, node, self._hold_all(member, held))
        return self._entries.give(outbox)

    def publish(self, blob: str, index: int, size: int) -> Outbox:
        """A segment of `size` bytes can be had from the web seed."""
        return self._entries.publish(blob, index, size)

    def complete(self, blob: str, segments: int) -> Outbox:
        """All `segments` of a blob are here: who holds them as well, and has nobody near who lacks one, need not serve it."""
        self._needed.complete(blob, segments)
        outbox: Outbox = {}
        self._telling.needs(outbox, (m.node for m in self._members.values() if self._needed.has(m, blob)), {blob})
        return outbox

    def retire(self, blob: str) -> Outbox:
        """A blob was withdrawn: nobody has it, nobody is to bring it in."""
        self._needed.withdrawn(blob)
        self._entries.retire(blob)
        for member in self._members.values():
            member.count -= member.held.pop(blob, 0).bit_count()
            member.done = False
        outbox: Outbox = {}
        # whoever has its files by now has no reason to fetch them again, and perhaps the right bytes
        self._telling.needs(outbox, (m.node for m in self._members.values() if blob in m.over), {blob})
        return self._entries.give(outbox)

    def served(self, node: str, blob: str, index: int, count: int) -> Outbox:
        """The web seed has sent a node `count` bytes of a segment; 0 where it begins to."""
        self.duties.served(node, (blob, index), count, self.clock())
        return self._entries.give({}) if count else {}

    def tick(self) -> Outbox:
        """Time has passed; to be called a few times a second."""
        now = self.clock()
        self._entries.ask_anew()
        self.duties.tick(now)
        concerned: set[str] = set()
        for member in list(self._members.values()):
            if member.lost is not None and now - member.lost >= GRACE:
                member.lost = None
                concerned |= self._unseat(member)
            elif member.seated and member.connected and now - member.last_seen > SILENT:
                self.duties.release(member.node)
                concerned |= self._unseat(member) | {member.node}
        outbox = self._telling.ring_lines(concerned | self._name_stand_ins())
        self._entries.give_overdue(outbox)
        self._forget_the_oldest()
        return self._entries.give(outbox)

    def chords(self, node: str, blob: str, index: int) -> tuple[tuple[Address, ...], Outbox]:
        """Far members for a node that sees no progress on a segment: those that hold it, else any. Both sides are told."""
        member = self.member(node)
        if member is None or not member.seated:
            return (), {}
        chosen = self._finding.far(node, blob, index)
        concerned: set[str] = set()
        for other in chosen:
            concerned |= self._chords.link(node, other.node)
        return tuple(a for m in chosen for a in m.addresses), self._telling.ring_lines(concerned)

    def accuse(self, accuser: str, address: Address) -> Outbox:
        """`accuser` says that wrong bytes come from `address`. Its word parts the two, a second one's expels the accused."""
        return self._after(self._complaints.wrong_bytes(accuser, address))

    def silent(self, accuser: str, address: Address) -> Outbox:
        """`accuser` has asked `address` for bytes and gets none. As `accuse`, but a node that slept may come back."""
        return self._after(self._complaints.silence(accuser, address))

    def doubt(self, accuser: str, address: Address, blob: str, index: int) -> Outbox:
        """`accuser` got one wrong piece of a segment from `address`, whose disk may have changed it: it is to look."""
        suspect = self._complaints.doubt(accuser, address, blob, index) if blob in self.blobs else None
        return {suspect.node: [Doubted(blob=blob, index=index)]} if suspect else {}

    def heard_within(self, seconds: float) -> bool:
        """Whether any node has joined or reported in the last `seconds`."""
        now = self.clock()
        return any(m.connected and now - m.last_seen <= seconds for m in self._members.values())

    def is_expelled(self, address: Address) -> bool:
        """Whether a node at this address was expelled."""
        return self._complaints.expelled((address,))

    def is_benched(self, address: Address) -> bool:
        """Whether the node at this address has no place in the ring for a while."""
        now = self.clock()
        return any(m.benched_until > now for m in self._members.values() if address in m.addresses)

    def _after(self, outcome: Outcome | None) -> Outbox:
        """What follows where one member has complained of another."""
        if outcome is None:
            return {}
        concerned = set(outcome.concerned)
        if outcome.out is not None:
            self.duties.release(outcome.out.node)
            concerned |= self._unseat(outcome.out)
        return self._entries.give(self._telling.ring_lines(concerned))

    def _seat(self, member: Member) -> set[str]:
        """Give a member its place, and let what it holds count. Returns the nodes concerned."""
        if member.expelled or member.benched_until > self.clock():
            return set()
        if not member.seated:
            self._entries.ask_anew()
            member.seated = True
            for blob, mask in member.held.items():
                self._entries.come(blob, mask)
        return self._ring.add(member.node, member.location)

    def _unseat(self, member: Member) -> set[str]:
        """Close the place of a member; what only it held must be brought in again. Returns the nodes concerned."""
        if not member.seated:
            return set()
        self._entries.ask_anew()
        member.seated = False
        for blob, mask in member.held.items():
            self._entries.gone(blob, mask)
        return self._ring.remove(member.node) | self._chords.clear(member.node)

    def _name_stand_ins(self) -> set[str]:
        """Choose those who may take our place. Returns the nodes concerned: all, or none."""
        able = nsmallest(_STAND_INS, (m for m in self._entries.able() if m.control), key=lambda m: m.rank)
        chosen = tuple(m.control for m in able if m.control)
        if chosen == self._telling.stand_ins:
            return set()
        self._telling.stand_ins = chosen
        return {m.node for m in self._members.values() if m.connected}

    def _hold_all(self, member: Member, held: Mapping[str, Iterable[int]]) -> set[str]:
        """Note what a member holds. Returns the blobs of which it lacks nothing any more."""
        whole = set()
        for blob, segments in held.items():
            if blob in self.blobs:
                had = self._needed.has(member, blob)
                self._hold(member, blob, mask_of(s for s in segments if s < _MOST_SEGMENTS))
                if not had and self._needed.has(member, blob):
                    whole.add(blob)
        return whole

    def _hold(self, member: Member, blob: str, mask: int) -> None:
        had = member.held.get(blob, 0)
        fresh = mask & ~had
        if fresh:
            member.held[blob] = had | fresh
            member.count += fresh.bit_count()
            if member.seated:
                self._entries.come(blob, fresh)

    def _average_given(self) -> int:
        given = [m.given for m in self._members.values() if m.seated]
        return sum(given) // len(given) if given else 0

    def _forget_the_oldest(self) -> None:
        gone = [m.node for m in self._members.values() if not m.connected and m.lost is None]
        for node in gone[: max(0, len(gone) - _MOST_GONE)]:
            del self._members[node]
            self._ring.forget(node)
            self._complaints.forget(node)


def _rank(task: str, node: str) -> bytes:
    return hashlib.sha256(f"{task}\0{node}".encode()).digest()
