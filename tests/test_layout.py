"""How a blob is cut, for every size there is."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.layout import GIB, KIB, LARGEST_PIECE, MIB, MOST_SEGMENTS, PIECES_PER_SEGMENT, SMALLEST_PIECE, Layout

sizes = st.one_of(st.integers(0, 64 * MIB), st.integers(1, 4 * 10**12))


@pytest.mark.parametrize(
    ("size", "piece", "segment", "segments"),
    [
        (1, 128 * KIB, 2 * MIB, 1),
        (128 * KIB - 1, 128 * KIB, 2 * MIB, 1),
        (128 * KIB + 1, 128 * KIB, 2 * MIB, 1),
        (2 * MIB + 1, 128 * KIB, 2 * MIB, 2),
        (512 * MIB, 128 * KIB, 2 * MIB, 256),
        (512 * MIB + 1, 256 * KIB, 4 * MIB, 129),
        (GIB, 256 * KIB, 4 * MIB, 256),
        (5 * 10**9, 2 * MIB, 32 * MIB, 150),
        (130 * 10**9, 32 * MIB, 512 * MIB, 243),
        (10**12, 256 * MIB, 4 * GIB, 233),
    ],
)
def test_the_cut_of_well_known_sizes_never_changes(size: int, piece: int, segment: int, segments: int) -> None:
    layout = Layout(size)
    assert (layout.piece_length, layout.segment_length, layout.segments) == (piece, segment, segments)


def test_an_empty_blob_has_nothing_to_share() -> None:
    assert (Layout(0).pieces, Layout(0).segments) == (0, 0)
    assert list(Layout(0).segments_touched(0, 0)) == []


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="size"):
        Layout(-1)


@given(sizes)
def test_pieces_are_powers_of_two_that_libtorrent_takes(size: int) -> None:
    length = Layout(size).piece_length
    assert SMALLEST_PIECE <= length <= LARGEST_PIECE
    assert length & (length - 1) == 0


@given(sizes)
def test_there_are_at_most_256_segments_unless_pieces_cannot_grow(size: int) -> None:
    layout = Layout(size)
    assert layout.segments <= MOST_SEGMENTS or layout.piece_length == LARGEST_PIECE
    if layout.piece_length > SMALLEST_PIECE:
        assert size > MOST_SEGMENTS * PIECES_PER_SEGMENT * layout.piece_length // 2


@given(st.integers(1, 64 * MIB))
def test_pieces_and_segments_tile_the_blob(size: int) -> None:
    layout = Layout(size)
    for ranges in (
        [layout.piece_range(piece) for piece in range(layout.pieces)],
        [layout.segment_range(segment) for segment in range(layout.segments)],
    ):
        assert ranges[0][0] == 0
        assert ranges[-1][1] == size
        assert all(before[1] == after[0] for before, after in pairwise(ranges))
        assert all(start < stop for start, stop in ranges)


@given(sizes.filter(bool), st.floats(0, 1, exclude_max=True))
def test_a_segment_is_its_pieces(size: int, at: float) -> None:
    layout = Layout(size)
    segment = int(at * layout.segments)
    pieces = layout.segment_pieces(segment)
    assert 1 <= len(pieces) <= PIECES_PER_SEGMENT
    assert (layout.piece_range(pieces[0])[0], layout.piece_range(pieces[-1])[1]) == layout.segment_range(segment)


@given(sizes.filter(bool), st.floats(0, 1, exclude_max=True), st.integers(0, 40 * MIB))
def test_the_segments_touched_by_a_range_hold_its_bytes(size: int, at: float, length: int) -> None:
    layout = Layout(size)
    start = int(at * size)
    stop = min(start + length, size)
    touched = layout.segments_touched(start, stop)
    if start == stop:
        assert not touched
    else:
        assert (touched[0], touched[-1]) == (layout.segment_of(start), layout.segment_of(stop - 1))


@given(st.integers(1, 100 * MIB), st.data(), st.integers(1, 40))
def test_spans_cover_the_chosen_segments_once_in_order(size: int, data: st.DataObject, pieces: int) -> None:
    layout = Layout(size)
    chosen = data.draw(st.lists(st.integers(0, layout.segments - 1), unique=True).map(sorted))
    spans = list(layout.spans(chosen, pieces=pieces))
    assert all(0 < stop - start <= pieces * layout.piece_length for start, stop in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert all(start % layout.piece_length == 0 for start, _ in spans)
    covered = sum(stop - start for start, stop in spans)
    assert covered == sum(stop - start for start, stop in map(layout.segment_range, chosen))
    assert {s for span in spans for s in layout.segments_touched(*span)} == set(chosen)
