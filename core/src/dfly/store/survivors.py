"""Which segments of an earlier run count as had, and which pieces of unfinished ones.

Within one boot every journalled one does: what a process has written, its death does not undo. After another boot those
that were synced do, and those whose piece hashes are in the journal and still right; the others are fetched again.
"""

import hashlib
import os

import attrs

from dfly.layout import Layout
from dfly.store.hashing import read_into
from dfly.store.journal import Header, Loose, Record, read

Survivors = tuple[tuple[Record, ...], tuple[Loose, ...]]


def survivors(fd: int, journal: str, header: Header, boot: str) -> Survivors:
    """What of the file `journal` has its bytes certainly in the open data file `fd`. Raises OSError."""
    if os.fstat(fd).st_size != header.size:
        return (), ()
    written_in, records, loose = read(journal, header)
    layout = Layout(header.size)
    kept: dict[int, Record] = {}
    for record in records:
        if not 0 <= record.segment < layout.segments:
            continue
        if record.pieces and len(record.pieces) != 20 * len(layout.segment_pieces(record.segment)):
            continue
        if written_in == boot:
            kept[record.segment] = record
        elif record.synced or (record.pieces and piece_hashes(fd, layout, record.segment) == record.pieces):
            # what a new boot reads has come from the disk
            kept[record.segment] = attrs.evolve(record, synced=True)
    pieces: dict[int, Loose] = {}
    for piece in loose if written_in == boot else ():
        if 0 <= piece.piece < layout.pieces and len(piece.sha1) in (0, 20):
            segment = layout.segment_of(piece.piece * layout.piece_length)
            if segment not in kept:
                pieces[piece.piece] = piece
    return tuple(kept.values()), tuple(pieces.values())


def piece_hashes(fd: int, layout: Layout, segment: int) -> bytes:
    """The SHA-1s of a segment's pieces as they are in the open file `fd`, joined. Raises OSError."""
    hashes = []
    for piece in layout.segment_pieces(segment):
        sha1 = hashlib.sha1(usedforsecurity=False)
        read_into([sha1], fd, *layout.piece_range(piece))
        hashes.append(sha1.digest())
    return b"".join(hashes)
