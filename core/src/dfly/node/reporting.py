"""What a node tells the seed peer: collected while it works, sent by a worker, kept until it was answered."""

from collections.abc import Iterable
from typing import Any

import attrs

from dfly import wire

#: Nodes in a ring that each report once a second. In a larger one each reports less often, up to so many seconds, or reports
#: would be most of what the seed peer does. It passes by who has said nothing for five.
MANY, LONGEST = 2000, 4.0


def interval(members: int) -> float:
    """Seconds between two reports of a node in a ring of so many, where nobody waits for one."""
    return min(LONGEST, max(1.0, members / MANY))


@attrs.define(eq=False)
class Reports:
    """The untold part of a node's state. Times are seconds of one monotonic clock."""

    node: str
    declined: tuple[str, ...] = ()
    accepted: set[str] = attrs.field(factory=set)
    first: tuple[tuple[str, int], ...] = ()
    sources: dict[str, int] = attrs.field(factory=dict)
    bad_peers: set[wire.Address] = attrs.field(factory=set)
    silent_peers: set[wire.Address] = attrs.field(factory=set)
    doubts: set[tuple[str, int, str, int]] = attrs.field(factory=set)
    bad_segments: set[tuple[str, int]] = attrs.field(factory=set)
    opened: set[int] = attrs.field(factory=set)
    under_way: bool = False
    last: float = 0.0
    _held: dict[str, set[int]] = attrs.field(factory=dict)
    _accused: set[wire.Address] = attrs.field(factory=set)
    _urgent: bool = False
    _wanted: set[str] = attrs.field(factory=set)
    _undeclined: tuple[str, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._undeclined = self.declined

    def hold(self, blob: str, index: int, *, urgent: bool = False) -> None:
        """A segment is readable here. `urgent`: others wait to take it from here."""
        self._held.setdefault(blob, set()).add(index)
        self._urgent |= urgent

    def open(self, number: int) -> None:
        """An outsider was let in, who is told of this node once that is known."""
        self.opened.add(number)
        self._urgent = True

    def forget(self, blob: str) -> None:
        """A blob was withdrawn."""
        self._held.pop(blob, None)

    def retell(self, held: Iterable[tuple[str, int]]) -> None:
        """A seed peer that knows nothing must hear it all again, at once."""
        for blob, index in held:
            self.hold(blob, index, urgent=True)
        self._undeclined = self.declined
        self.accepted |= self._wanted
        self.bad_peers |= self._accused
        self.last = 0.0

    def decline(self, blob: str) -> None:
        """A blob is taken no part in from now on."""
        self.declined = tuple(sorted({*self.declined, blob}))
        self._undeclined = tuple(sorted({*self._undeclined, blob}))
        self.accepted.discard(blob)
        self._wanted.discard(blob)

    def want(self, blobs: Iterable[str]) -> None:
        """These are wanted, though they may have been declined: the next report says so, at once."""
        new = set(blobs) - self._wanted
        self._wanted |= new
        self.accepted |= new
        self.declined = tuple(blob for blob in self.declined if blob not in new)
        self._undeclined = tuple(blob for blob in self._undeclined if blob not in new)
        self._urgent |= bool(new)

    def hurry(self, segments: Iterable[tuple[str, int]]) -> None:
        """Somebody waits for these segments, and for no others: the next report says so, at once where there are new ones."""
        before, self.first = self.first, tuple(segments)
        self._urgent |= not set(before).issuperset(self.first)

    def count(self, source: str, arrived: int) -> None:
        """More bytes from a source."""
        self.sources[source] = self.sources.get(source, 0) + arrived

    def accuse(self, peers: Iterable[wire.Address]) -> None:
        """These sent wrong bytes again and again: every seed peer is to know."""
        self._accused.update(peers)
        self.bad_peers.update(peers)

    def due(self, now: float, *, members: int = 1) -> bool:
        """Whether to report now, in a ring of so many: about once a second, sooner where somebody waits for it."""
        return not self.under_way and now - self.last >= (0.1 if self._urgent else interval(members))

    def make(self, now: float, **more: Any) -> wire.Report:
        """What to tell now."""
        self.last, self._urgent = now, False
        held = {blob: tuple(sorted(segments)) for blob, segments in self._held.items() if segments}
        return wire.Report(
            node=self.node,
            held=held,
            declined=self._undeclined,
            accepted=tuple(sorted(self.accepted)),
            first=self.first,
            bad_peers=tuple(sorted(self.bad_peers)),
            silent_peers=tuple(sorted(self.silent_peers)),
            doubts=tuple(sorted(self.doubts)),
            bad_segments=tuple(sorted(self.bad_segments)),
            sources=dict(self.sources),
            opened=tuple(sorted(self.opened)),
            **more,
        )

    def answered(self, told: wire.Report) -> None:
        """The seed peer has it: no need to tell that again."""
        self._undeclined = tuple(blob for blob in self._undeclined if blob not in told.declined)
        self.accepted.difference_update(told.accepted)
        for blob, segments in told.held.items():
            if blob in self._held:
                self._held[blob] -= set(segments)
        self.bad_peers.difference_update(told.bad_peers)
        self.silent_peers.difference_update(told.silent_peers)
        self.doubts.difference_update(told.doubts)
        self.bad_segments.difference_update(told.bad_segments)
        self.opened.difference_update(told.opened)
