"""What another run finds: after a close, a kill, a power loss, a change upstream, a full disk, another process."""

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest

from dfly.errors import OutputError
from dfly.layout import KIB, Layout
from dfly.store.partial import Partial

SEGMENT = Layout(1).segment_length
SIZE = 3 * SEGMENT + 5

#: Fills a partial with zeros, tells each segment, and waits for a line in the middle of the segment named in argv.
CHILD = f"""
import sys
from dfly.store.partial import Partial
directory, stop_in = sys.argv[1], int(sys.argv[2])
partial = Partial.open(directory, blob="sha256-b", size={SIZE}, validator="v1", boot="boot-a",
                       on_segment=lambda index, _: print(index, flush=True))
for segment in partial.missing_segments():
    start, stop = partial.layout.segment_range(segment)
    writer = partial.writer(start, stop)
    middle = (start + stop) // 2
    writer.write(bytes(middle - start))
    if segment == stop_in:
        print("inside", flush=True)
        sys.stdin.readline()
    writer.write(bytes(stop - middle))
partial.commit(sys.argv[3])
"""


def _child(directory, stop_in, final="unused"):
    argv = [sys.executable, "-c", CHILD, str(directory), str(stop_in), str(final)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _until(process, line):
    said = []
    while not said or said[-1] != line:
        said.append(process.stdout.readline().strip())
        assert said[-1], f"the child ended after {said}"
    return said


def test_a_closed_partial_goes_on_where_it_was(open_partial, content, fill):
    data = content(SIZE)
    partial = open_partial(SIZE)
    fill(partial, data, [0, 2])
    partial.close()
    again = open_partial(SIZE)
    assert (again.had, again.missing_segments()) == (2 * SEGMENT, [1, 3])
    fill(again, data)
    assert again.digest("sha256") == hashlib.sha256(data).hexdigest()


def test_a_killed_process_loses_only_the_segment_it_was_in(tmp_path, open_partial, fill):
    with _child(tmp_path / "p", stop_in=2) as process:
        assert _until(process, "inside") == ["0", "1", "inside"]
        process.kill()
    partial = open_partial(SIZE)
    assert partial.missing_segments() == [2, 3]
    fill(partial, bytes(SIZE))
    assert partial.digest("sha256") == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_a_killed_process_keeps_the_finished_pieces_of_the_segment_it_was_in(tmp_path, open_partial, fill):
    with _child(tmp_path / "p", stop_in=2) as process:
        _until(process, "inside")
        process.kill()
    partial = open_partial(SIZE)
    assert partial.had == 5 * SEGMENT // 2
    assert list(partial.missing_spans([2, 3], pieces=16)) == [(5 * SEGMENT // 2, 3 * SEGMENT), (3 * SEGMENT, SIZE)]
    partial.close()
    again = open_partial(SIZE)
    assert again.had == 5 * SEGMENT // 2
    fill(again, bytes(SIZE))
    assert again.digest("sha256") == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_finished_pieces_of_an_unfinished_segment_do_not_count_after_another_boot(tmp_path, open_partial):
    with _child(tmp_path / "p", stop_in=2) as process:
        _until(process, "inside")
        process.kill()
    assert open_partial(SIZE, boot="boot-b").had == 0


def test_finished_pieces_without_hashes_do_not_count_where_hashes_are_wanted(tmp_path, open_partial):
    with _child(tmp_path / "p", stop_in=2) as process:
        _until(process, "inside")
        process.kill()
    assert open_partial(SIZE, hash_pieces=True).had == 2 * SEGMENT


def test_a_process_killed_at_any_moment_leaves_what_it_told(tmp_path, open_partial, fill):
    for last in ("0", "1", "2"):
        # it cannot get past the last segment, where it would commit
        with _child(tmp_path / "p", stop_in=3, final=tmp_path / "final") as process:
            _until(process, last)  # and by now it is somewhere in the next one
            process.kill()
        partial = open_partial(SIZE)
        assert int(last) not in partial.missing_segments()
        partial.reset()
        partial.close()
    partial = open_partial(SIZE)
    assert partial.had == 0
    fill(partial, bytes(SIZE))
    assert partial.digest("sha256") == hashlib.sha256(bytes(SIZE)).hexdigest()


def test_a_torn_journal_line_costs_its_segment_and_no_other(tmp_path, open_partial, content, fill):
    data, journal = content(SIZE), tmp_path / "p" / "journal"
    partial = open_partial(SIZE)
    fill(partial, data, [0, 1])
    partial.close()
    journal.write_bytes(journal.read_bytes()[:-3])
    again = open_partial(SIZE)
    assert again.missing_segments() == [1, 2, 3]
    fill(again, data, [3])
    again.close()
    assert open_partial(SIZE).missing_segments() == [1, 2]


def test_after_another_boot_only_what_was_synced_counts(tmp_path, open_partial, content, fill):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE), [0, 1])
    _append(tmp_path, {"synced": 1})
    partial.close()
    assert open_partial(SIZE, boot="boot-b").missing_segments() == [1, 2, 3]


def test_after_another_boot_segments_with_piece_hashes_are_hashed_and_the_right_ones_count(
    tmp_path, open_partial, content, fill
):
    data = content(SIZE)
    partial = open_partial(SIZE, hash_pieces=True)
    fill(partial, data, [0, 1, 3])
    partial.close()
    with (tmp_path / "p" / "data").open("r+b") as file:
        file.seek(3 * SEGMENT // 2)
        file.write(bytes(4096))  # a block that never reached the disk
    after = open_partial(SIZE, boot="boot-b", hash_pieces=True)
    assert after.missing_segments() == [1, 2]
    after.close()
    # it has been read from the disk in boot b: that is as good as synced
    assert open_partial(SIZE, boot="boot-c").missing_segments() == [1, 2]


def test_within_one_boot_nothing_is_read_again(tmp_path, open_partial, content, fill):
    partial = open_partial(SIZE, hash_pieces=True)
    fill(partial, content(SIZE), [0])
    partial.close()
    with (tmp_path / "p" / "data").open("r+b") as file:
        file.write(bytes(4096))
    assert open_partial(SIZE).missing_segments() == [1, 2, 3]


@pytest.mark.parametrize("change", [{"blob": "sha256-c"}, {"validator": "v2"}, {"validator": None}, {"size": SIZE + 1}])
def test_a_change_upstream_starts_over(open_partial, content, fill, change):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE), [0])
    partial.close()
    changed = open_partial(**{"size": SIZE} | change)
    assert changed.had == 0
    assert os.pread(changed.fd, 16, 0) == bytes(16)


@pytest.mark.parametrize("harm", ["gone", "short", "format"])
def test_data_and_journal_that_do_not_fit_start_over(tmp_path, open_partial, content, fill, harm):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE), [0])
    partial.close()
    if harm == "gone":
        (tmp_path / "p" / "data").unlink()
    elif harm == "short":
        os.truncate(tmp_path / "p" / "data", SIZE - 1)
    else:
        journal = tmp_path / "p" / "journal"
        journal.write_bytes(journal.read_bytes().replace(b'"format":1', b'"format":99'))
    assert open_partial(SIZE).had == 0


def test_a_reset_survives_a_restart(open_partial, content, fill):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE))
    partial.reset()
    assert partial.missing_segments() == [0, 1, 2, 3]
    partial.close()
    assert open_partial(SIZE).had == 0


def test_piece_hashes_of_an_earlier_run_are_there_and_missing_ones_are_made_up_for(
    open_partial, content, fill, piece_hashes
):
    data = content(SIZE)
    partial = open_partial(SIZE, hash_pieces=True)
    fill(partial, data, [1])
    partial.close()
    plain = open_partial(SIZE)
    fill(plain, data, [0])
    assert plain.segment_hashes(0) is None
    plain.close()
    again = open_partial(SIZE, hash_pieces=True)
    assert [again.segment_hashes(segment) for segment in (0, 1, 2)] == [
        piece_hashes(data, 0),
        piece_hashes(data, 1),
        None,
    ]


def test_a_blob_of_one_segment_is_kept_by_a_close(open_partial, content, fill):
    data = content(SEGMENT // 2)
    partial = open_partial(len(data))
    fill(partial, data)
    partial.close()
    again = open_partial(len(data))
    assert again.had == len(data)
    assert again.digest("sha256") == hashlib.sha256(data).hexdigest()


def test_a_stream_of_unknown_size_leaves_nothing_behind(tmp_path, open_partial):
    partial = open_partial(None)
    partial.writer(0, None).write(b"beginning")
    partial.close()
    assert os.listdir(tmp_path) == []


def test_two_processes_do_not_write_to_one_partial(tmp_path, open_partial):
    with _child(tmp_path / "p", stop_in=0) as process:
        _until(process, "inside")
        with pytest.raises(OutputError, match=rf"in use by another dfly \(pid {process.pid}\)"):
            open_partial(SIZE)
        process.kill()


def test_a_waiting_process_starts_afresh_once_the_first_has_brought_its_file(tmp_path, open_partial):
    with _child(tmp_path / "p", stop_in=3, final=tmp_path / "final") as process:
        _until(process, "inside")
        process.stdin.write("go on\n")
        process.stdin.flush()
        partial = open_partial(SIZE, wait=math.inf)
        assert process.wait() == 0
    assert (tmp_path / "final").read_bytes() == bytes(SIZE)
    assert partial.missing_segments() == [0, 1, 2, 3]


def test_a_commit_removes_nothing_of_a_process_that_moved_in(tmp_path, open_partial, content, fill, monkeypatch):
    data = content(SIZE)
    first = open_partial(SIZE)
    fill(first, data)
    moved_in = []
    replace = os.replace

    def replace_and_let_another_in(source, final):
        replace(source, final)
        if not moved_in and str(final) == str(tmp_path / "final"):
            moved_in.append(open_partial(SIZE))
            fill(moved_in[0], data, [0])

    monkeypatch.setattr(os, "replace", replace_and_let_another_in)
    first.commit(str(tmp_path / "final"))
    moved_in[0].close()
    assert open_partial(SIZE).missing_segments() == [1, 2, 3]
    assert (tmp_path / "final").read_bytes() == data


def test_a_full_disk_is_said_and_costs_only_the_unfinished_pieces(small_disk):
    wanted = {"blob": "b", "size": SIZE, "validator": "v"}
    partial = Partial.open(f"{small_disk.path}/p", **wanted)
    with pytest.raises(OutputError, match="the disk is full") as told:
        _write_missing(partial)
    assert "run the same command again" in told.value.hint
    partial.close()
    small_disk.remount("size=64m")
    again = Partial.open(f"{small_disk.path}/p", **wanted)
    assert again.missing_segments() == [1, 2, 3]
    assert again.had > SEGMENT
    assert f"{again.had} bytes have arrived and are kept" in told.value.hint
    _write_missing(again)
    assert again.digest("sha256") == hashlib.sha256(bytes(SIZE)).hexdigest()
    again.discard()


def test_a_read_only_disk_is_said(small_disk):
    small_disk.remount("ro")
    with pytest.raises(OutputError, match="read-only"):
        Partial.open(f"{small_disk.path}/p", blob="b", size=1, validator="v")


def test_a_commit_that_fails_keeps_everything(tmp_path, open_partial, content, fill):
    partial = open_partial(SIZE)
    fill(partial, content(SIZE))
    (tmp_path / "final").mkdir()
    with pytest.raises(OutputError, match="final") as told:
        partial.commit(str(tmp_path / "final"))
    assert "kept" in told.value.hint
    partial.close()
    assert open_partial(SIZE).had == SIZE


def _write_missing(partial):
    for start, stop in list(partial.layout.spans(partial.missing_segments(), pieces=64)):
        writer = partial.writer(start, stop)
        for at in range(start, stop, 64 * KIB):
            writer.write(bytes(min(64 * KIB, stop - at)))


def _append(tmp_path, line):
    with (tmp_path / "p" / "journal").open("a") as file:
        file.write(json.dumps(line) + "\n")
