"""How many members hold each segment, as bit planes: adding or taking away a whole member costs a few integer operations.

A set of segments is an integer with one bit for each. Plane k holds bit k of every segment's count, so that a thousand members
leaving one after the other, with 512 segments of a hundred blobs each, is no work worth naming.
"""

from collections.abc import Iterable, Iterator

import attrs


def mask_of(segments: Iterable[int]) -> int:
    """Segment numbers as one integer.

    >>> bin(mask_of([0, 3]))
    '0b1001'
    """
    mask = 0
    for segment in segments:
        mask |= 1 << segment
    return mask


def segments_of(mask: int) -> Iterator[int]:
    """The numbers back, in order."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


@attrs.define
class Holdings:
    """Counts of holders for the segments of every blob."""

    _planes: dict[str, list[int]] = attrs.field(factory=dict)

    def add(self, blob: str, mask: int) -> None:
        """One more member holds the segments of `mask`."""
        planes = self._planes.setdefault(blob, [])
        carry = mask
        for k, plane in enumerate(planes):
            planes[k], carry = plane ^ carry, plane & carry
        if carry:
            planes.append(carry)

    def remove(self, blob: str, mask: int) -> int:
        """One member less; returns the segments that nobody holds now."""
        planes = self._planes.get(blob, [])
        borrow = mask
        for k, plane in enumerate(planes):
            planes[k], borrow = plane ^ borrow, ~plane & borrow
        return mask & ~self.held(blob)

    def forget(self, blob: str) -> None:
        """Nobody holds anything of `blob`."""
        self._planes.pop(blob, None)

    def held(self, blob: str) -> int:
        """The segments that at least one member holds."""
        held = 0
        for plane in self._planes.get(blob, ()):
            held |= plane
        return held
