"""What nobody near a node needs from it any more: a segment's torrent takes memory, and a model has tens of thousands.

A blob is over for a node that holds all of it, once all its neighbours and chords do, or take no part in it. Only what is
complete at the seed peer counts: one that has taken over and lacks a blob takes it from nodes itself.
"""

from collections.abc import Collection, Iterator

import attrs

from dfly.seed.topology.members import Member
from dfly.wire import Needs

#: Blobs in one message: a line of the event stream has a longest length.
_AT_ONCE = 4000


@attrs.define
class Needed:
    """The complete blobs of a task, each with the mask of all its segments."""

    _full: dict[str, int] = attrs.field(factory=dict)

    def complete(self, blob: str, segments: int) -> None:
        """All segments of a blob are at the seed peer."""
        if segments:
            self._full[blob] = (1 << segments) - 1

    def withdrawn(self, blob: str) -> None:
        """They are not any more."""
        self._full.pop(blob, None)

    def has(self, member: Member, blob: str) -> bool:
        """Whether a member said that it holds every segment of a complete blob."""
        full = self._full.get(blob)
        return full is not None and member.held.get(blob, 0) & full == full

    def news(self, member: Member, near: Collection[Member], blobs: Collection[str] | None = None) -> list[Needs]:
        """What is to be told a member that has `near` it: of `blobs`, or of all; nothing where it knows."""
        over: list[str] = []
        again: list[str] = []
        for blob in {**self._full, **dict.fromkeys(member.over)} if blobs is None else sorted(blobs):
            free = self.has(member, blob) and all(blob in m.declined or self.has(m, blob) for m in near)
            if free != (blob in member.over):
                (over if free else again).append(blob)
        member.over.update(over)
        member.over.difference_update(again)
        return [*(Needs(over=part) for part in _parts(over)), *(Needs(again=part) for part in _parts(again))]


def _parts(blobs: list[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(blobs[at : at + _AT_ONCE]) for at in range(0, len(blobs), _AT_ONCE))
