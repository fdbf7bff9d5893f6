"""How a blob is cut: size → pieces → segments. Pure arithmetic, the same on every machine, versioned with the snapshot.

A *piece* is what the swarm hashes and passes on, a *segment* (16 pieces) is what is fetched, published and journalled. Pieces
start at 128 KiB and double until the blob has at most 256 segments, so 512 MiB stream in steps of 2 MiB and 130 GB in 512 MiB.
What everybody waits for at the end is one segment and a few pieces, at most 1/128 of the blob where it is not a small one; and
the torrent of a segment names all pieces of the blob, so more of them would cost memory with the square of their number.
"""

from collections.abc import Iterator

import attrs

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PIECES_PER_SEGMENT = 16
SMALLEST_PIECE = 128 * KIB
LARGEST_PIECE = 256 * MIB
MOST_SEGMENTS = 256
#: A blob of at most this many bytes is not worth a journal or a torrent of its own: it gathers in memory and travels in a pack.
SMALL = 512 * KIB


@attrs.frozen
class Layout:
    """The cut of a blob of `size` bytes. Ranges are half-open `(start, stop)` byte offsets."""

    size: int = attrs.field(validator=attrs.validators.ge(0))
    piece_length: int = attrs.field(init=False)

    @piece_length.default
    def _piece_length(self) -> int:
        length = SMALLEST_PIECE
        while length < LARGEST_PIECE and self.size > MOST_SEGMENTS * PIECES_PER_SEGMENT * length:
            length *= 2
        return length

    @property
    def segment_length(self) -> int:
        """Bytes of every segment but the last."""
        return self.piece_length * PIECES_PER_SEGMENT

    @property
    def pieces(self) -> int:
        """How many pieces; 0 for an empty blob."""
        return -(-self.size // self.piece_length)

    @property
    def segments(self) -> int:
        """How many segments; 0 for an empty blob."""
        return -(-self.size // self.segment_length)

    def piece_range(self, piece: int) -> tuple[int, int]:
        """The bytes of one piece."""
        start = piece * self.piece_length
        return start, min(start + self.piece_length, self.size)

    def segment_range(self, segment: int) -> tuple[int, int]:
        """The bytes of one segment."""
        start = segment * self.segment_length
        return start, min(start + self.segment_length, self.size)

    def segment_pieces(self, segment: int) -> range:
        """The pieces of one segment."""
        first = segment * PIECES_PER_SEGMENT
        return range(first, min(first + PIECES_PER_SEGMENT, self.pieces))

    def segment_of(self, offset: int) -> int:
        """The segment that holds byte `offset`."""
        return offset // self.segment_length

    def segments_touched(self, start: int, stop: int) -> range:
        """The segments that hold any byte of `[start, stop)`."""
        return range(start // self.segment_length, -(-stop // self.segment_length)) if stop > start else range(0)

    def spans(self, segments: Iterator[int] | range | list[int], *, pieces: int) -> Iterator[tuple[int, int]]:
        """Cut `segments` into byte ranges of at most `pieces` whole pieces, in order; neighbours of one run are joined.

        `pieces` may be more than a segment has: then a span covers several adjacent segments.
        """
        run_start: int | None = None
        run_stop = 0
        length = pieces * self.piece_length
        for segment in segments:
            start, stop = self.segment_range(segment)
            if run_start is None:
                run_start, run_stop = start, stop
            elif start == run_stop:
                run_stop = stop
            else:
                yield from _cut(run_start, run_stop, length)
                run_start, run_stop = start, stop
            while run_stop - run_start >= length:
                yield run_start, run_start + length
                run_start += length
            if run_start >= run_stop:
                run_start = None
        if run_start is not None:
            yield from _cut(run_start, run_stop, length)


def _cut(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    for at in range(start, stop, length):
        yield at, min(at + length, stop)
