"""A whole blob as others may have it from this node: how it is cut, and what proves each segment."""

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress

import attrs

from dfly import wire
from dfly.layout import Layout
from dfly.store.blobs import Committed

#: Hex digits of a segment's MAC.
_MAC = 32


@attrs.frozen(kw_only=True)
class Held:
    """A whole blob: where it is, its piece hashes, and the seed peer's MACs of its segments (see `macs_of_whole`)."""

    committed: Committed
    macs: str = ""

    @property
    def layout(self) -> Layout:
        """How it is cut."""
        return Layout(self.committed.size)

    def hashes(self, index: int) -> bytes:
        """Those of one segment."""
        pieces = self.layout.segment_pieces(index)
        return self.committed.hashes[20 * pieces.start : 20 * pieces.stop]

    def records(self) -> list[wire.Segment]:
        """Its segments as a seed peer once published them."""
        return [
            wire.Segment(
                blob=self.committed.blob,
                index=index,
                size=self.committed.size,
                hashes=self.hashes(index),
                mac=self.macs[_MAC * index : _MAC * (index + 1)],
            )
            for index in range(self.layout.segments)
        ]

    def right(self, index: int) -> bool:
        """Whether a segment's bytes are still what they were. Reads them; what cannot be read is not."""
        fd = -1
        with suppress(OSError):
            fd = os.open(self.committed.path, os.O_RDONLY | os.O_CLOEXEC)
            found = b""
            for piece in self.layout.segment_pieces(index):
                start, stop = self.layout.piece_range(piece)
                found += hashlib.sha1(os.pread(fd, stop - start, start), usedforsecurity=False).digest()
            os.close(fd)
            return found == self.hashes(index)
        if fd >= 0:
            os.close(fd)
        return False


def macs_of_whole(segments: Iterable[wire.Segment]) -> dict[str, str]:
    """The MACs of each blob's segments joined in order; only of blobs of which all are known."""
    found: dict[str, dict[int, str]] = {}
    for segment in segments:
        found.setdefault(segment.blob, {})[segment.index] = segment.mac
    whole = {}
    for blob, macs in found.items():
        row = "".join(macs[index] for index in sorted(macs))
        if len(row) == _MAC * len(macs) and len(macs) == max(macs) + 1:
            whole[blob] = row
    return whole
