"""Which node brings which segment into the ring. Pure bookkeeping: who may be asked is for the scheduler to say.

A *duty* is live from the moment a node is told until somebody holds the segment. It weighs on its node only until the web seed
has sent the bytes: holding is reported up to a second later, and to wait for that would cap four fast nodes at a few segments
a second. What is under way at once is kept to about two seconds of what the web seed really sends (the same idea as TCP's
window): more would only make every segment late, look stalled, and be sent twice.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import attrs

from dfly.seed.topology.members import SUSPECT, Member

Segment = tuple[str, int]

#: Unserved duties of one node: as a rule, and for a segment that has just been published while all have that many.
MOST, MOST_LIVE = 4, 8
#: Seconds without a byte, and without an end, after which another node is asked as well; more where more is usual.
UNSTARTED, UNFINISHED = 1.0, 3.0
_SMALLEST_WINDOW = 8


@attrs.define(kw_only=True, eq=False)
class Duty:
    """`member` was told at `since`, and has been sent `served` of the segment's bytes; `begun` with the first request."""

    member: Member
    since: float
    begun: bool = False
    served: int = 0
    #: Whether it still weighs on the member: the bytes are not all sent, and nobody else was asked in its place.
    weighs: bool = True
    blamed: bool = False


@attrs.define(kw_only=True, eq=False)
class _Asked:
    """A published segment of `size` bytes that nobody holds, and the duties for it, the latest last."""

    size: int
    duties: list[Duty] = attrs.field(factory=list)


class Duties:
    """All duties of a task."""

    def __init__(self) -> None:
        self._waiting: dict[Segment, int] = {}
        self._asked: dict[Segment, _Asked] = {}
        self._of_node: dict[str, set[Segment]] = {}
        self._under_way = 0
        self._largest = 0
        self._flow = _Flow()
        self._start, self._finish = _Usual(), _Usual()

    def live(self, segment: Segment) -> tuple[str, ...]:
        """The nodes that are to bring this segment in."""
        asked = self._asked.get(segment)
        return tuple(duty.member.node for duty in asked.duties) if asked else ()

    @property
    def waiting(self) -> tuple[Segment, ...]:
        """Segments that nobody was asked for yet, in order."""
        return tuple(self._waiting)

    @property
    def room(self) -> bool:
        """Whether something waits, and as much as the web seed sends is not under way yet."""
        return bool(self._waiting) and self._under_way < self._window

    def need(self, segment: Segment, size: int) -> None:
        """Nobody holds `segment`: somebody must bring it in."""
        self._largest = max(self._largest, size)
        if segment not in self._asked:
            self._waiting.setdefault(segment, size)

    def assign_live(self, segment: Segment, able: Sequence[Member], now: float) -> Member | None:
        """Find a member for what has just been published, before all that waits: the stream must not fall behind."""
        size = self._waiting[segment]
        able = _willing(able, segment)
        if self._under_way >= max(len(able) * size, 2 * self._window):
            return None
        member = _choose(segment, able, most=MOST) or _choose(segment, able, most=MOST_LIVE)
        return self._assign(segment, member, now) if member else None

    def assign_waiting(self, able: Sequence[Member], now: float) -> Iterator[tuple[Segment, Member]]:
        """Find members for what waits, in order, as far as they have room."""
        for segment in list(self._waiting) if self.room else ():
            willing = _willing(able, segment)
            if not willing:
                continue
            member = _choose(segment, willing, most=MOST)
            if member is None or self._under_way >= self._window:
                return
            yield segment, self._assign(segment, member, now)

    def assign_overdue(self, able: Sequence[Member], now: float) -> Iterator[tuple[Segment, Member]]:
        """Ask another member as well where the last one that was asked lets the segment wait."""
        queue = self._under_way / self._flow.rate if self._flow.rate else 0.0
        unstarted, unfinished = max(UNSTARTED, 4 * self._start.time), max(UNFINISHED, 4 * max(self._finish.time, queue))
        for segment, asked in list(self._asked.items()):
            last = asked.duties[-1]
            waited = now - last.since
            if waited <= (unfinished if last.begun else unstarted):
                continue
            if not last.blamed and last.served < asked.size:
                last.blamed, last.member.suspect_until = True, now + SUSPECT
            had = {duty.member.node for duty in asked.duties}
            others = [m for m in _willing(able, segment) if m.node not in had and m.suspect_until <= now]
            member = _choose(segment, others, most=MOST_LIVE)
            if member is not None:
                self._relieve(last, asked)
                yield segment, self._assign(segment, member, now)

    def served(self, node: str, segment: Segment, count: int, now: float) -> None:
        """The web seed has sent `count` bytes of `segment` to a node; 0 where it has begun to."""
        self._flow.add(count)
        asked = self._asked.get(segment)
        for duty in asked.duties if asked else ():
            if asked is None or duty.member.node != node:
                continue
            if not duty.begun:
                duty.begun = True
                self._start.took(now - duty.since)
            duty.served += count
            if duty.served >= asked.size:
                self._relieve(duty, asked)

    def held(self, segment: Segment, now: float) -> None:
        """Somebody has it: nobody need bring it in any more."""
        asked = self._asked.get(segment)
        if asked is not None:
            self._finish.took(now - asked.duties[-1].since)
        self.drop(segment)

    def drop(self, segment: Segment) -> None:
        """The segment is no longer wanted."""
        self._waiting.pop(segment, None)
        asked = self._asked.pop(segment, None)
        for duty in asked.duties if asked else ():
            if asked is not None:
                self._relieve(duty, asked)
            self._of_node[duty.member.node].discard(segment)

    def release(self, node: str) -> None:
        """A node is gone. What only it was asked for waits again, first in line."""
        self._take_back(node, self._of_node.pop(node, set()))

    def decline(self, node: str, blob: str) -> None:
        """A node takes no part in a blob. What only it was asked for waits again."""
        its = self._of_node.get(node, set())
        declined = {segment for segment in its if segment[0] == blob}
        its -= declined
        self._take_back(node, declined)

    def _take_back(self, node: str, segments: set[Segment]) -> None:
        orphans: dict[Segment, int] = {}
        for segment in sorted(segments):
            asked = self._asked[segment]
            for duty in [d for d in asked.duties if d.member.node == node]:
                self._relieve(duty, asked)
                asked.duties.remove(duty)
            if not asked.duties:
                del self._asked[segment]
                orphans[segment] = asked.size
        if orphans:
            self._waiting = orphans | self._waiting

    def tick(self, now: float) -> None:
        """Measure what the web seed sends. To be called a few times a second."""
        self._flow.tick(now)

    @property
    def _window(self) -> float:
        # by the largest segment: a small one that waits behind large ones would find any window of its own size full
        return max(_SMALLEST_WINDOW * self._largest, 2 * self._flow.rate)

    def _assign(self, segment: Segment, member: Member, now: float) -> Member:
        if segment in self._waiting:
            self._asked[segment] = _Asked(size=self._waiting.pop(segment))
        asked = self._asked[segment]
        asked.duties.append(Duty(member=member, since=now))
        self._of_node.setdefault(member.node, set()).add(segment)
        self._under_way += asked.size
        member.load += 1
        member.given += 1
        return member

    def _relieve(self, duty: Duty, asked: _Asked) -> None:
        if duty.weighs:
            duty.weighs = False
            duty.member.load -= 1
            self._under_way -= asked.size


@attrs.define
class _Flow:
    """Bytes per second that the web seed sends: quick to rise, slow to fall."""

    rate: float = 0.0
    _bytes: int = 0
    _since: float | None = None

    def add(self, count: int) -> None:
        self._bytes += count

    def tick(self, now: float) -> None:
        if self._since is not None and now > self._since:
            seen = self._bytes / (now - self._since)
            self.rate = max(seen, self.rate + 0.2 * (seen - self.rate))
            self._bytes = 0
        self._since = now


@attrs.define
class _Usual:
    """How long something takes as a rule, in seconds; 0 while nothing is known."""

    time: float = 0.0

    def took(self, seconds: float) -> None:
        self.time = seconds if not self.time else self.time + 0.1 * (seconds - self.time)


def _willing(members: Sequence[Member], segment: Segment) -> Sequence[Member]:
    if not any(member.declined for member in members):
        return members
    return [member for member in members if segment[0] not in member.declined]


def _choose(segment: Segment, members: Iterable[Member], *, most: int) -> Member | None:
    """The member with the least to do, and among equals the one that rendezvous hashing names."""
    best: list[Member] = []
    least = (most, 0)
    for member in members:
        burden = (member.load, member.given)
        if burden < least:
            best, least = [member], burden
        elif best and burden == least:
            best.append(member)
    return max(best, key=lambda m: _rendezvous(m.node, segment)) if best else None


def _rendezvous(node: str, segment: Segment) -> bytes:
    return hashlib.sha256(f"{node}\0{segment[0]}\0{segment[1]}".encode()).digest()
