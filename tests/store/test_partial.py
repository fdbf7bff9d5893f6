"""A blob that arrives: in any order, by many threads, as one stream, from another writer."""

import contextlib
import hashlib
import os
import tempfile
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfly.layout import KIB, MIB, SMALLEST_PIECE, Layout
from dfly.store.partial import Partial

PIECE, SEGMENT = SMALLEST_PIECE, Layout(1).segment_length
#: Two whole segments, and one of two pieces of which the last is short.
SIZE = 2 * SEGMENT + PIECE + 12345


def test_bytes_that_arrive_in_order_are_there_and_hashed(tmp_path, open_partial, content, fill):
    data = content(SIZE)
    partial = open_partial(SIZE)
    assert (partial.had, partial.missing_segments(), partial.complete) == (0, [0, 1, 2], False)
    fill(partial, data)
    assert partial.complete
    assert partial.digest("sha256") == hashlib.sha256(data).hexdigest()
    partial.commit(str(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == data
    assert os.listdir(tmp_path) == ["final"]


def test_the_digest_keeps_up_with_bytes_in_order_and_catches_up_over_a_filled_gap(open_partial, content, fill):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE), [1])
    assert partial._prefix.done == 0
    fill(partial, content(SIZE), [0])
    assert SEGMENT < partial._prefix.done < 2 * SEGMENT
    partial.reset()
    fill(partial, content(SIZE), [0, 1, 2])
    assert partial._prefix.done == SIZE


def test_a_digest_that_did_not_run_along_is_computed_late(open_partial, content, fill):
    data = content(SIZE)
    partial = open_partial(SIZE, algorithms=())
    fill(partial, data)
    assert partial.digest("md5") == hashlib.md5(data).hexdigest()


@settings(max_examples=8, deadline=None, database=None)
@given(data=st.data())
def test_any_order_of_spans_and_chunks_with_a_restart_between_gives_the_right_digests(data):
    layout = Layout(SIZE)
    whole = os.urandom(1) * SIZE if data.draw(st.booleans()) else bytes(SIZE - 3) + b"end"
    spans = list(layout.spans(range(layout.segments), pieces=data.draw(st.sampled_from([1, 3, 16, 20]))))
    order = data.draw(st.permutations(spans))
    chunk = data.draw(st.sampled_from([64 * KIB, 300_001, 3 * MIB]))
    restart = data.draw(st.integers(0, len(order)))
    hash_pieces = data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        wanted = {"blob": "b", "size": SIZE, "validator": "v", "algorithms": ("sha256", "git-sha1")}
        partial = Partial.open(f"{folder}/p", **wanted, hash_pieces=hash_pieces)
        for at, (start, stop) in enumerate(order):
            if at == restart:
                partial.close()
                partial = Partial.open(f"{folder}/p", **wanted, hash_pieces=hash_pieces)
            _write(partial, whole, start, stop, chunk)
        for start, stop in list(layout.spans(partial.missing_segments(), pieces=16)):
            _write(partial, whole, start, stop, chunk)
        assert partial.complete
        assert partial.digest("sha256") == hashlib.sha256(whole).hexdigest()
        assert partial.digest("git-sha1") == hashlib.sha1(b"blob %d\0" % SIZE + whole).hexdigest()
        for segment in range(layout.segments if hash_pieces else 0):
            ranges = map(layout.piece_range, layout.segment_pieces(segment))
            expected = b"".join(hashlib.sha1(whole[start:stop]).digest() for start, stop in ranges)
            assert partial.segment_hashes(segment) == expected
        partial.discard()


def _write(partial, whole, start, stop, chunk):
    with partial.writer(start, stop) as writer:
        for at in range(start, stop, chunk):
            writer.write(whole[at : min(at + chunk, stop)])


def _break_after(writer, data):
    with contextlib.suppress(ConnectionError), writer:
        writer.write(data)
        raise ConnectionError


def test_many_threads_write_at_once_and_each_segment_is_told_once(open_partial, content, piece_hashes):
    data, told = content(SIZE), []
    partial = open_partial(SIZE, hash_pieces=True, on_segment=lambda *segment: told.append(segment))
    spans = list(partial.layout.spans(partial.missing_segments(), pieces=1))

    def work(mine):
        for start, stop in mine:
            _write(partial, data, start, stop, 64 * KIB)

    threads = [threading.Thread(target=work, args=(spans[n::6],)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [(segment, piece_hashes(data, segment)) for segment in range(3)]
    assert partial.digest("sha256") == hashlib.sha256(data).hexdigest()


def test_a_segment_is_in_the_journal_when_it_is_told(tmp_path, open_partial, content, fill):
    seen = []
    partial = open_partial(
        SIZE, on_segment=lambda *_: seen.append((tmp_path / "p" / "journal").read_bytes().count(b"segment"))
    )
    fill(partial, content(SIZE))
    assert seen == [1, 2, 3]


def test_a_piece_that_is_there_is_not_written_again(tmp_path, open_partial, content):
    data = content(SIZE)
    partial = open_partial(SIZE)
    length = partial.layout.piece_length
    _write(partial, data, 0, length, length)
    _write(partial, bytes(SIZE), 0, 2 * length, 64 * KIB)
    with open(partial.path, "rb") as file:
        assert file.read(2 * length) == data[:length] + bytes(length)


def test_an_unfinished_piece_counts_for_nothing(open_partial, content, fill):
    data = content(SIZE)
    partial = open_partial(SIZE)
    _break_after(partial.writer(0, SEGMENT), b"?" * (SEGMENT - 1))
    assert partial.missing_segments() == [0, 1, 2]
    partial.reset()
    fill(partial, data)
    assert partial.digest("sha256") == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(("start", "stop"), [(1, SEGMENT), (0, SEGMENT + 1), (0, SIZE + 1), (-PIECE, 0), (0, None)])
def test_a_span_that_is_not_whole_pieces_is_refused(open_partial, start, stop):
    with pytest.raises(ValueError, match=r"piece|unknown"):
        open_partial(SIZE).writer(start, stop)


def test_bytes_beyond_the_span_are_refused(open_partial):
    writer = open_partial(SIZE).writer(0, PIECE)
    with pytest.raises(ValueError, match="1 bytes more"):
        writer.write(bytes(PIECE + 1))


def test_a_segment_that_another_writer_put_there_counts(open_partial, content, piece_hashes, fill):
    data, told = content(SIZE), []
    partial = open_partial(SIZE, on_segment=lambda *segment: told.append(segment))
    with open(partial.path, "r+b") as other:
        other.write(data[:SEGMENT])
    partial.segment_arrived(0, piece_hashes(data, 0))
    assert (partial.missing_segments(), told) == ([1, 2], [])
    assert partial.segment_hashes(0) == piece_hashes(data, 0)
    fill(partial, data)
    assert partial.digest("sha256") == hashlib.sha256(data).hexdigest()
    partial.close()
    assert open_partial(SIZE).had == SIZE


def test_a_stream_of_unknown_size_is_whole_when_it_closes(tmp_path, open_partial, content, piece_hashes):
    data, told = content(SIZE), []
    partial = open_partial(
        None, hash_pieces=True, algorithms=("sha256", "git-sha1"), on_segment=lambda *segment: told.append(segment)
    )
    assert not partial.complete
    with partial.writer(0, None) as writer:
        for at in range(0, SIZE, 100_000):
            writer.write(data[at : at + 100_000])
        assert not partial.complete
    assert (partial.complete, partial.size, partial.layout) == (True, SIZE, Layout(SIZE))
    assert told == [(segment, piece_hashes(data, segment)) for segment in range(3)]
    assert partial.digest("sha256") == hashlib.sha256(data).hexdigest()
    assert partial.digest("git-sha1") == hashlib.sha1(b"blob %d\0" % SIZE + data).hexdigest()
    partial.commit(str(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == data


def test_a_broken_stream_is_not_taken_for_whole_and_the_next_starts_over(open_partial):
    partial = open_partial(None)
    _break_after(partial.writer(0, None), b"a longer beginning")
    assert not partial.complete
    with partial.writer(0, None) as writer:
        writer.write(b"short")
    assert partial.digest("sha256") == hashlib.sha256(b"short").hexdigest()


@pytest.mark.parametrize("size", [0, None])
def test_an_empty_blob_is_a_blob(tmp_path, open_partial, size):
    partial = open_partial(size)
    if size is None:
        partial.writer(0, None).close()
    assert partial.complete
    assert partial.digest("sha256") == hashlib.sha256(b"").hexdigest()
    partial.commit(str(tmp_path / "final"))
    assert (tmp_path / "final").read_bytes() == b""


def test_an_incomplete_blob_gets_no_final_path(tmp_path, open_partial, content, fill):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE), [0, 2])
    for refused in (partial.digest, partial.commit, partial.expose):
        with pytest.raises(ValueError, match="not complete"):
            refused(str(tmp_path / "final"))
    assert not (tmp_path / "final").exists()


def test_an_exposed_blob_has_two_names_until_the_partial_goes(tmp_path, open_partial, content, fill):
    data = content(SIZE)
    partial = open_partial(SIZE)
    fill(partial, data)
    (tmp_path / "final").write_bytes(b"old")
    for _ in range(2):
        partial.expose(str(tmp_path / "final"))
        assert os.path.samefile(partial.path, tmp_path / "final")
    partial.discard()
    assert (tmp_path / "final").read_bytes() == data
    assert os.listdir(tmp_path) == ["final"]


def test_a_committed_file_has_the_permissions_of_a_download(tmp_path, open_partial):
    old = os.umask(0o027)
    try:
        partial = open_partial(0)
        partial.commit(str(tmp_path / "final"))
    finally:
        os.umask(old)
    assert (tmp_path / "final").stat().st_mode & 0o777 == 0o640


def test_a_large_blob_takes_no_disk_before_its_bytes_arrive(open_partial):
    partial = open_partial(20 << 30)
    assert os.stat(partial.path).st_size == 20 << 30
    assert os.stat(partial.path).st_blocks * 512 < MIB
