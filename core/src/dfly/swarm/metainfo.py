"""The info dictionary of a torrent, byte for byte. Pure, and the same on every machine: it decides the info hash.

A segment torrent describes the whole blob (same name, length and piece length for all segments), but only its own pieces
carry real SHA-1 hashes; all others are zero. So every segment torrent of a blob writes into one sparse file at the right
offsets. A private key, `dfly segment`, tells segment torrents apart even where their hashes are equal.

A whole blob's torrent is named after the blob between nodes. The one for stock clients has a file's name, which is what they
write, and is *private*: they ask our tracker for peers and nobody else, so nothing of it gets into the DHT.
"""

import hashlib

from dfly.layout import Layout

HASH_LENGTH = 20


def segment_info(blob: str, layout: Layout, index: int, hashes: bytes) -> bytes:
    """The bencoded info dictionary of segment `index`; `hashes` are the SHA-1 of its pieces, joined.

    Raises ValueError where `hashes` is not exactly the segment's, or the blob has no such segment.
    """
    if not 0 <= index < layout.segments:
        raise ValueError(f"{blob} has {layout.segments} segments, no number {index}")
    own = layout.segment_pieces(index)
    _check(hashes, len(own), f"segment {index} of {blob}")
    zeros_before = bytes(HASH_LENGTH * own.start)
    zeros_after = bytes(HASH_LENGTH * (layout.pieces - own.stop))
    return b"".join(
        (b"d12:dfly segmenti%de" % index, _head(blob, layout), zeros_before, hashes, zeros_after, b"e"),
    )


def whole_info(blob: str, layout: Layout, hashes: bytes, *, name: str = "") -> bytes:
    """The bencoded info dictionary of the whole blob; `hashes` are the SHA-1 of all pieces, joined. Raises ValueError.

    With the `name` of a file it is the torrent for stock clients.
    """
    if not layout.pieces:
        raise ValueError(f"{blob} is empty: there is nothing to share")
    _check(hashes, layout.pieces, blob)
    return b"".join((b"d", _head(name or blob, layout), hashes, b"7:privatei1ee" if name else b"e"))


def info_hash(info: bytes) -> bytes:
    """The torrent's name on the wire: SHA-1 of its info dictionary, 20 bytes."""
    return hashlib.sha1(info, usedforsecurity=False).digest()


def piece_hash(piece: bytes | memoryview) -> bytes:
    """What peers check a piece by: its SHA-1. It finds broken peers; the blob's own digest is checked end to end as well."""
    return hashlib.sha1(piece, usedforsecurity=False).digest()


def _head(called: str, layout: Layout) -> bytes:
    """The keys all torrents of a blob share, in bencode's sorted order, up to the start of the hashes."""
    name = called.encode()
    head = b"6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:"
    return head % (layout.size, len(name), name, layout.piece_length, HASH_LENGTH * layout.pieces)


def _check(hashes: bytes, pieces: int, what: str) -> None:
    if len(hashes) != HASH_LENGTH * pieces:
        raise ValueError(f"{what} has {pieces} pieces, so {HASH_LENGTH * pieces} bytes of hashes, not {len(hashes)}")
