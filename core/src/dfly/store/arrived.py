"""What of a blob is there: pieces, segments, the gapless beginning. In memory only, shared by many threads."""

import threading
from collections.abc import Iterator

from dfly.layout import PIECES_PER_SEGMENT, Layout

_SHA1_BYTES = 20


class Arrived:
    """The pieces of one `layout` that are there, and their SHA-1s where they are known. Only ever grows."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._lock = threading.Lock()
        self._have = bytearray(layout.pieces)
        self._missing = [len(layout.segment_pieces(segment)) for segment in range(layout.segments)]
        self._segments_missing = layout.segments
        self._hashes: dict[int, bytes] = {}
        self._prefix_pieces = 0

    @property
    def complete(self) -> bool:
        """Whether every piece is there."""
        return not self._segments_missing

    @property
    def prefix(self) -> int:
        """How many bytes are there without a gap, from the start."""
        return min(self._prefix_pieces * self.layout.piece_length, self.layout.size)

    @property
    def piece_bytes(self) -> int:
        """Bytes of all pieces that are there."""
        ranges = (self.layout.piece_range(piece) for piece, there in enumerate(self._have) if there)
        return sum(stop - start for start, stop in ranges)

    def has_piece(self, piece: int) -> bool:
        """Whether this piece is there."""
        return bool(self._have[piece])

    def there(self, offset: int) -> int:
        """The end of the bytes that are there without a gap from `offset` on; `offset` where that byte is not."""
        length = self.layout.piece_length
        piece = offset // length
        while piece < len(self._have) and self._have[piece]:
            piece += 1
        return max(offset, min(piece * length, self.layout.size))

    def has_segment(self, segment: int) -> bool:
        """Whether all pieces of this segment are there."""
        return not self._missing[segment]

    def missing_segments(self) -> list[int]:
        """The segments of which a piece is missing, in order."""
        return [segment for segment, pieces in enumerate(self._missing) if pieces]

    def missing_spans(self, segments: Iterator[int] | list[int], *, pieces: int) -> Iterator[tuple[int, int]]:
        """As `Layout.spans`, less the pieces that are there."""
        length = self.layout.piece_length
        for start, stop in self.layout.spans(segments, pieces=pieces):
            begin: int | None = None
            for piece in range(start // length, -(-stop // length)):
                if not self._have[piece]:
                    begin = piece * length if begin is None else begin
                elif begin is not None:
                    yield begin, piece * length
                    begin = None
            if begin is not None:
                yield begin, stop

    def add_piece(self, piece: int, sha1: bytes = b"") -> bool:
        """Count one piece; True if it was the last one that its segment missed."""
        with self._lock:
            if self._have[piece]:
                return False
            self._add(piece, sha1)
            return not self._missing[piece // PIECES_PER_SEGMENT]

    def add_segment(self, segment: int, hashes: bytes = b"") -> bool:
        """Count all pieces of a segment, with their SHA-1s joined; False if they were there."""
        with self._lock:
            missing = [piece for piece in self.layout.segment_pieces(segment) if not self._have[piece]]
            first = segment * PIECES_PER_SEGMENT
            for piece in missing:
                at = (piece - first) * _SHA1_BYTES
                self._add(piece, hashes[at : at + _SHA1_BYTES])
            return bool(missing)

    def add_hashes(self, segment: int, hashes: bytes) -> None:
        """Note the SHA-1s of a segment that is there."""
        with self._lock:
            for at, piece in enumerate(self.layout.segment_pieces(segment)):
                self._hashes[piece] = hashes[at * _SHA1_BYTES : (at + 1) * _SHA1_BYTES]

    def segment_hashes(self, segment: int) -> bytes:
        """The SHA-1s of a segment's pieces joined; empty unless all are known."""
        hashes = [self._hashes.get(piece, b"") for piece in self.layout.segment_pieces(segment)]
        return b"".join(hashes) if all(hashes) else b""

    def _add(self, piece: int, sha1: bytes) -> None:
        segment = piece // PIECES_PER_SEGMENT
        self._have[piece] = 1
        if sha1:
            self._hashes[piece] = sha1
        self._missing[segment] -= 1
        self._segments_missing -= not self._missing[segment]
        while self._prefix_pieces < len(self._have) and self._have[self._prefix_pieces]:
            self._prefix_pieces += 1
