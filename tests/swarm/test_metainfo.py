"""The info dictionary is fixed byte for byte: another byte is another swarm."""

import hashlib

import libtorrent as lt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.layout import GIB, SMALLEST_PIECE, Layout
from dfly.swarm import info_hash, segment_info, whole_info

PIECE, SEGMENT = SMALLEST_PIECE, Layout(1).segment_length
SIZES = [1, PIECE - 1, PIECE, PIECE + 1, SEGMENT + 1, 130 * 10**9, 10**12]


def hashes_for(pieces: range) -> bytes:
    return b"".join(hashlib.sha1(str(piece).encode()).digest() for piece in pieces)


def test_the_bytes_of_a_one_byte_blob() -> None:
    digest = hashlib.sha1(b"x").digest()
    info = segment_info("sha256-ab", Layout(1), 0, digest)
    assert info == (
        b"d12:dfly segmenti0e6:lengthi1e4:name9:sha256-ab12:piece lengthi131072e6:pieces20:" + digest + b"e"
    )
    assert info_hash(info).hex() == "0727fb6d0dccb7870b6695356604544819720629"
    whole = whole_info("sha256-ab", Layout(1), digest)
    assert whole == b"d6:lengthi1e4:name9:sha256-ab12:piece lengthi131072e6:pieces20:" + digest + b"e"
    assert info_hash(whole).hex() == "fe3b9d669857927cf04d3f1143e496a2f10a8b3d"


@pytest.mark.parametrize(
    ("size", "index", "golden"),
    [
        (SEGMENT + 1, 0, "720ddee6347e78a0ede9f9c9d8363173661403f1"),
        (SEGMENT + 1, 1, "873e555662e0eeb8c1b72017e2a69c1341b4c975"),
        (130 * 10**9, 7, "e815281ea2cdd278153d419862c8713d8925e092"),
        (10**12, 200, "8f2dcd3de812e7b0c8d3b922a2a50130daa58a21"),
    ],
)
def test_the_info_hash_of_a_segment_never_changes(size: int, index: int, golden: str) -> None:
    layout = Layout(size)
    info = segment_info("sha256-" + "0" * 64, layout, index, hashes_for(layout.segment_pieces(index)))
    assert info_hash(info).hex() == golden


@pytest.mark.parametrize("size", SIZES)
def test_libtorrent_reads_what_we_wrote(size: int) -> None:
    layout = Layout(size)
    index = layout.segments - 1
    own = layout.segment_pieces(index)
    info = segment_info("blob", layout, index, hashes_for(own))
    torrent = lt.load_torrent_buffer(b"d4:info" + info + b"e").ti
    assert torrent is not None
    assert torrent.info_hashes().v1.to_bytes() == info_hash(info)
    assert (torrent.name(), torrent.total_size(), torrent.num_pieces()) == ("blob", size, layout.pieces)
    assert torrent.piece_length() == layout.piece_length
    assert torrent.hash_for_piece(own.start) == hashes_for(own)[:20]


@given(size=st.integers(1, 2 * 10**12), at=st.floats(0, 1, exclude_max=True))
def test_only_its_own_pieces_have_hashes(size: int, at: float) -> None:
    layout = Layout(size)
    index = int(at * layout.segments)
    own = layout.segment_pieces(index)
    info = segment_info("blob", layout, index, hashes_for(own))
    pieces = info[info.index(b"6:pieces") :].partition(b":")[2].partition(b":")[2][:-1]
    assert len(pieces) == 20 * layout.pieces
    assert pieces[20 * own.start : 20 * own.stop] == hashes_for(own)
    assert not any(pieces[: 20 * own.start])
    assert not any(pieces[20 * own.stop :])


def test_segments_with_equal_hashes_are_different_torrents() -> None:
    layout = Layout(3 * SEGMENT)
    same = hashes_for(range(16))
    assert len({info_hash(segment_info("zeros", layout, index, same)) for index in range(3)}) == 3


def test_the_largest_torrent_stays_small() -> None:
    layout = Layout(GIB)
    assert layout.pieces == 4096
    assert len(segment_info("blob", layout, 0, hashes_for(range(16)))) < 85_000


@pytest.mark.parametrize(("index", "hashes"), [(0, 15), (0, 17), (1, 1), (2, 16), (-1, 16)])
def test_hashes_that_do_not_fit_are_refused(index: int, hashes: int) -> None:
    layout = Layout(2 * SEGMENT)
    with pytest.raises(ValueError, match="segment"):
        segment_info("blob", layout, index, bytes(20 * hashes))


def test_a_whole_torrent_needs_all_hashes() -> None:
    with pytest.raises(ValueError, match="3 pieces"):
        whole_info("blob", Layout(2 * PIECE + 1), bytes(40))
    with pytest.raises(ValueError, match="empty"):
        whole_info("blob", Layout(0), b"")
