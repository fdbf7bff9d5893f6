"""Names that become files, and bytes that become torrents: what is let through stays in its folder and is what it says."""

import os

import libtorrent as lt
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import fuzz, texts

from dfly.errors import UnsafePath
from dfly.globs import select
from dfly.layout import GIB, MIB, SMALLEST_PIECE, Layout
from dfly.paths import problem, refuse_unsafe
from dfly.swarm.metainfo import info_hash, segment_info, whole_info
from dfly.values import Entry

PARTS = st.sampled_from(["..", ".", "", "a", "A", "~", "C:", "con", "nul.txt", ".dfly", ".dﬂy", ".DFLY", "\0", "a\\..", "é",
    "e\u0301", " ", "x.", "\u202e", "\u2024\u2024", "．．", "%2e%2e", "\ud800", "x" * 256]) | texts  # fmt: skip
PATHS = st.lists(PARTS, max_size=5).map("/".join) | texts


@fuzz(PATHS, examples=300)
@example("a/../../b")
@example("．．/x")
@example("/x")
@example("a//b")
@example("x" * 256)
def test_a_name_that_is_let_through_is_a_file_below_its_folder(tmp_path_factory, path):
    if problem(path) is not None:
        return
    root = os.path.realpath(_root(tmp_path_factory))
    full = os.path.join(root, path)
    # looked at first, so that a mistake makes no file elsewhere
    assert os.path.normpath(full) == full
    assert full.startswith(root + os.sep)
    assert os.path.realpath(full).startswith(root + os.sep)
    try:
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "x"):
            pass
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return  # another example was there before
    assert os.path.isfile(full)
    os.unlink(full)


@fuzz(st.lists(PATHS, max_size=6), examples=150)
def test_names_that_are_let_through_together_are_as_many_files(paths):
    try:
        refuse_unsafe(paths)
    except UnsafePath:
        return
    assert len({path.casefold() for path in paths}) == len(paths)
    assert not any(other.startswith(path + "/") for path in paths for other in paths)


ENTRIES = [Entry(path=p, size=1, url="u", identity="i") for p in ("a.bin", "b/c.json", "b/[x].txt", "é*")]


@fuzz(
    st.lists(texts | st.text("*?[]!-ab./", max_size=30), max_size=3), st.lists(st.text("*?[]a", max_size=9), max_size=2)
)
@example(["[" * 1000], [])
@example(["*a" * 500], ["[!"])
@example(["[b-a]"], ["[]"])
def test_whatever_the_globs_the_choice_is_among_the_files(include, exclude):
    assert set(select(ENTRIES, include=include, exclude=exclude)) <= set(ENTRIES)


SEGMENT = Layout(1).segment_length
SIZES = st.integers(1, 10 * MIB) | st.sampled_from([1, SMALLEST_PIECE, SEGMENT, SEGMENT + 1, 5 * GIB])


#: What ids of blobs are made of.
IDS = st.text("abcxyz019-", min_size=1, max_size=80).filter(lambda name: name.strip("-"))


@fuzz(IDS, SIZES, st.data())
def test_a_torrent_is_what_libtorrent_reads_in_it(blob, size, data):
    layout = Layout(size)
    index = data.draw(st.integers(0, layout.segments - 1))
    hashes = data.draw(st.randoms(use_true_random=False)).randbytes(20 * len(layout.segment_pieces(index)))
    info = segment_info(blob, layout, index, hashes)
    torrent = lt.torrent_info(lt.bdecode(b"d4:info" + info + b"e"))
    assert torrent.info_hashes().v1.to_bytes() == info_hash(info)
    assert (torrent.total_size(), torrent.piece_length(), torrent.num_files()) == (size, layout.piece_length, 1)
    first = layout.segment_pieces(index).start
    assert torrent.hash_for_piece(first) == hashes[:20]


@fuzz(texts, st.integers(0, 40 * MIB), st.integers(-3, 9), st.binary(max_size=400))
def test_hashes_that_are_not_exactly_the_segments_make_no_torrent(blob, size, index, hashes):
    layout = Layout(size)
    fits = 0 <= index < layout.segments and len(hashes) == 20 * len(layout.segment_pieces(index))
    if fits:
        return
    with pytest.raises(ValueError, match=r"segment|pieces|surrogate"):
        segment_info(blob, layout, index, hashes)
    if len(hashes) != 20 * layout.pieces or not size:
        with pytest.raises(ValueError, match=r"pieces|empty|surrogate"):
            whole_info(blob, layout, hashes)


_ROOTS: list[str] = []


def _root(factory):
    if not _ROOTS:
        _ROOTS.append(str(factory.mktemp("names")))
    return _ROOTS[0]
