"""What another run goes on with is written down from when on it is worth its cost, and never says more than is there."""

import os

import pytest

from dfly.layout import SMALLEST_PIECE, Layout
from dfly.store.journal import Header, Loose
from dfly.store.resuming import Resuming

SIZE = 2 * Layout(1).segment_length
SMALL = SMALLEST_PIECE


@pytest.fixture
def resuming(tmp_path):
    """`resuming(size)`: of a data file of this size in `tmp_path`; all are closed at the end."""
    made, fds = [], []

    def make(size):
        fds.append(os.open(tmp_path / "data", os.O_RDWR | os.O_CREAT))
        os.ftruncate(fds[-1], size or 0)
        header = None if size is None else Header(blob="sha256-b", size=size, validator="v1")
        made.append(Resuming(str(tmp_path / "journal"), fd=fds[-1], header=header, boot="boot-a"))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for fd in fds:
        os.close(fd)


def test_a_blob_of_several_segments_is_journalled_from_the_start(resuming, tmp_path):
    first = resuming(SIZE)
    assert first.begun
    first.add_piece(20, b"")
    first.add(0, b"", length=SIZE // 2)
    again = resuming(SIZE)
    assert [record.segment for record in again.records] == [0]
    assert again.loose == (Loose(20),)


def test_a_blob_of_one_segment_has_a_journal_only_when_all_of_it_is_there(resuming, tmp_path):
    first = resuming(SMALL)
    first.add(0, b"", length=SMALL)
    assert not first.begun
    assert not (tmp_path / "journal").exists()
    first.add_whole(b"")
    assert [record.segment for record in resuming(SMALL).records] == [0]


def test_a_blob_that_has_a_journal_is_not_told_whole_over_it(resuming, tmp_path):
    first = resuming(SIZE)
    before = (tmp_path / "journal").read_bytes()
    first.add_whole(b"")
    assert (tmp_path / "journal").read_bytes() == before


def test_of_a_blob_of_unknown_size_nothing_is_kept(resuming, tmp_path):
    resuming(SIZE).add(0, b"", length=SIZE // 2)
    unknown = resuming(None)
    assert not unknown.possible
    unknown.add_whole(b"")
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize("size", [SIZE, SMALL], ids=["several-segments", "one-segment"])
def test_what_is_forgotten_is_not_gone_on_with(resuming, size):
    first = resuming(size)
    first.add(0, b"", length=size)
    first.add_whole(b"")
    first.restart()
    assert resuming(size).records == ()


def test_the_journal_of_another_process_is_left_alone_at_the_end(resuming, tmp_path):
    first = resuming(SIZE)
    resuming(SIZE).add(1, b"", length=SIZE // 2)
    first.remove()
    assert [record.segment for record in resuming(SIZE).records] == [1]
