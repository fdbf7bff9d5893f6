"""The mirror: each byte from the hub once, published when it is right and readable, for however many tasks."""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import attrs
import pytest

from dfly.errors import AccessDenied, IntegrityError, NotFound, OriginUnavailable, OutputError
from dfly.layout import MIB, SMALL, Layout
from dfly.testing import faults
from dfly.values import Digest, Entry

from .located import Generated, freight_of
from .rigs import PIECE, SEGMENT, SIZE, content, from_segment, only, read


def test_twenty_wants_of_three_overlapping_tasks_cost_each_byte_once(rig):
    large = [rig.file(f"{n}.bin", content(SIZE + n, n)) for n in range(3)]
    small = [rig.file(f"{n}.json", content(1000 + n, n)) for n in range(6)]
    freights = [freight_of(*large[n : n + 2], *small[n : n + 4]) for n in range(2)] + [freight_of(*large, *small)]
    mirror, ear, _ = rig.open(concurrency=8)
    start = threading.Barrier(20)

    def want(n):
        start.wait()
        mirror.want(freights[n % 3], rig.backend, task=f"task-{n % 3}")

    callers = [threading.Thread(target=want, args=(n,)) for n in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for freight in freights:
        ear.complete(freight)
        assert rig.right(mirror, freight)
    total = sum(map(len, rig.files.values()))
    assert mirror.hub_bytes == total
    assert len(rig.origin.requests) == len({(seen.path, seen.range) for seen in rig.origin.requests})
    assert not ear.lies
    assert len(ear.events) == len(set(ear.events))


def test_segments_are_published_while_the_rest_is_still_coming(rig):
    entry, held = rig.file("f", content(SIZE)), threading.Event()
    rig.origin.fault("f", faults.stall(held, after=10), when=from_segment(1))
    mirror, ear, _ = rig.open()
    freight = freight_of(entry)
    mirror.want(freight, rig.backend, task="t")
    blob = only(freight)
    ear.wait("segment", blob, 0)
    ear.wait("segment", blob, 2)
    state = mirror.state(blob)
    assert not state.complete
    assert sorted(state.segments) == [0, 2]
    assert mirror.size(blob) == SIZE
    assert mirror.published(blob, 0, SEGMENT)
    assert mirror.published(blob, 2 * SEGMENT, SIZE)
    assert not mirror.published(blob, SEGMENT - 1, SEGMENT + 1)
    assert not mirror.published(blob, 0, SIZE + 1)
    assert mirror.hashes(blob) is None
    held.set()
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert not ear.lies
    assert ear.of(blob)[-1] == ("complete", 1)


def test_segments_are_fetched_in_order(rig):
    entry = rig.file("f", content(SIZE))
    mirror, ear, _ = rig.open(concurrency=1)
    mirror.want(freight_of(entry), rig.backend, task="t")
    ear.complete(freight_of(entry))
    asked = [int(seen.range[6:].split("-")[0]) for seen in rig.origin.asked("f")]
    assert asked == sorted(set(asked))
    assert {start // SEGMENT for start in asked} == {0, 1, 2}


def test_a_complete_blob_tells_all_its_hashes(rig):
    freight = freight_of(rig.file("f", content(SIZE)))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    blob, state = only(freight), mirror.state(only(freight))
    assert (state.attempt, state.size, state.complete) == (1, SIZE, True)
    assert state.sha256 == hashlib.sha256(content(SIZE)).hexdigest()
    assert mirror.hashes(blob) == b"".join(state.segments[n] for n in range(3)) == store.committed(blob).hashes
    assert store.committed(blob).sources == ("located://hub/f",)


def test_a_killed_process_costs_only_its_unfinished_segments(rig):
    url, held = rig.origin.add("f", content(SIZE)), threading.Event()
    rig.origin.fault("f", faults.stall(held, after=10), when=from_segment(1))
    arguments = [sys.executable, "-m", "tests.seed.located", rig.directory, url, str(SIZE)]
    here = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=here) as child:
        try:
            published = (line for line in child.stdout if line.startswith("published"))
            assert {next(published), next(published)} == {"published 0\n", "published 2\n"}
        finally:
            child.kill()
    held.set()
    before = len(rig.origin.requests)
    freight = freight_of(Entry(path="f", size=SIZE, url="located://hub/f", identity=url, validator="v1"))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert all(map(from_segment(1), rig.origin.requests[before:]))
    assert 0 < mirror.hub_bytes <= SEGMENT
    assert [event[1] for event in ear.of(only(freight))[:2]] == [0, 2]
    assert read(mirror.path(only(freight))) == content(SIZE)


def test_a_mirror_that_is_closed_goes_on_where_it_was(rig):
    freight, held = freight_of(rig.file("f", content(SIZE))), threading.Event()
    rig.origin.fault("f", faults.stall(held, after=10), when=from_segment(1))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.wait("segment", only(freight), 0)
    ear.wait("segment", only(freight), 2)
    mirror.close()
    store.close()
    assert not any(kind in ("failed", "complete") for kind, *_ in ear.events)
    held.set()
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert 0 < mirror.hub_bytes <= SEGMENT
    assert rig.right(mirror, freight)


def test_what_is_in_the_store_costs_the_hub_nothing(rig):
    freight = freight_of(rig.file("f", content(SIZE)), rig.file("a", b"a"), rig.file("b", b"b"))
    for _ in range(2):
        mirror, ear, store = rig.open()
        mirror.want(freight, rig.backend, task="t")
        ear.complete(freight)
        mirror.close()
        store.close()
    assert mirror.hub_bytes == 0
    assert [event[0] for event in ear.events] == ["complete", "complete"]


def test_wanting_again_what_is_complete_changes_nothing(rig):
    freight = freight_of(rig.file("f", content(1000)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    mirror.want(freight, rig.backend, task="u")
    other = freight_of(rig.file("g", content(1001)))
    mirror.want(other, rig.backend, task="t")
    ear.complete(other)
    assert ear.of(only(freight)) == [("segment", 0, 1), ("complete", 1)]
    assert len(rig.origin.asked("f")) == 1


def test_a_blob_that_was_removed_comes_again_as_the_next_attempt(rig):
    freight = freight_of(rig.file("f", content(1000)))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    store.remove(only(freight))
    mirror.want(freight, rig.backend, task="t")
    ear.wait("complete", only(freight), 2)
    assert ("withdrawn", 1) in ear.of(only(freight))
    assert rig.right(mirror, freight)


def test_wrong_bytes_are_withdrawn_and_fetched_once_more(rig):
    freight = freight_of(rig.file("f", content(SIZE)))
    rig.origin.fault("f", faults.corrupt(5), when=lambda seen: seen.range.startswith("bytes=0-"))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    told = ear.of(only(freight))
    assert set(told[:3]) == {("segment", n, 1) for n in range(3)}
    assert told[3] == ("withdrawn", 1)
    assert set(told[4:7]) == {("segment", n, 2) for n in range(3)}
    assert told[7:] == [("complete", 2)]
    assert mirror.state(only(freight)).attempt == 2
    assert mirror.hub_bytes == 2 * SIZE
    assert rig.right(mirror, freight)
    assert not ear.lies


def test_bytes_that_are_wrong_twice_are_an_error_and_nothing_of_them_stays(rig):
    freight = freight_of(rig.file("f", content(SIZE)))
    rig.origin.fault("f", faults.corrupt(5), times=2, when=lambda seen: seen.range.startswith("bytes=0-"))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    blob = only(freight)
    error = ear.wait("failed", blob)[2]
    assert isinstance(error, IntegrityError)
    assert error.expected == hashlib.sha256(content(SIZE)).hexdigest()
    assert not mirror.published(blob, 0, 1)
    assert not mirror.state(blob).segments
    assert not os.path.exists(store.path(blob))
    mirror.want(freight, rig.backend, task="t")
    ear.wait("complete", blob, 3)
    assert rig.right(mirror, freight)


def test_a_digest_that_is_not_sha256_is_checked_as_well(rig):
    data = content(SIZE)
    entry = attrs.evolve(rig.file("f", data, digest=False), digests=(Digest("git-sha1", "0" * 40),))
    mirror, ear, _ = rig.open()
    mirror.want(freight_of(entry), rig.backend, task="t")
    error = ear.wait("failed", only(freight_of(entry)))[2]
    assert error.algorithm == "git-sha1"
    assert error.actual == hashlib.sha1(b"blob %d\0" % SIZE + data).hexdigest()


def test_a_pack_of_three_hundred_files_is_one_blob(rig):
    freight = freight_of(*(rig.file(f"d/{n:03}.txt", content(100 + n, n)) for n in range(300)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert len(rig.origin.requests) == 300
    assert mirror.hub_bytes == freight.pack.size
    assert {event[1] for event in ear.events} == {freight.pack.blob}


def test_a_pack_is_published_as_it_fills(rig):
    files = [rig.file(f"{n:02}", content(PIECE - n, n)) for n in range(24)]
    freight, held = freight_of(*files), threading.Event()
    rig.origin.fault("20", faults.stall(held, after=10))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    blob = freight.pack.blob
    ear.wait("segment", blob, 0)
    assert mirror.state(blob).segments.keys() == {0}
    held.set()
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert not ear.lies


def test_the_pack_comes_before_the_blobs(rig):
    blobs = [rig.file(f"{n}.bin", content(SMALL + 1 + n, n)) for n in range(40)]
    parts = [rig.file(f"{n}.json", content(100, n)) for n in range(3)]
    mirror, ear, _ = rig.open(concurrency=1)
    mirror.want(freight_of(*blobs, *parts), rig.backend, task="t")
    ear.complete(freight_of(*blobs, *parts))
    assert [seen.path for seen in rig.origin.requests[:3]] == ["0.json", "1.json", "2.json"]


def test_the_pack_of_another_revision_fetches_only_what_changed(rig):
    same = [rig.file(f"{n:02}", content(1000, n)) for n in range(10)]
    first = freight_of(*same, rig.file("old", b"old"))
    second = freight_of(*same, rig.file("new", b"newer"))
    mirror, ear, store = rig.open()
    mirror.want(first, rig.backend, task="t")
    ear.complete(first)
    mirror.close()
    store.close()
    mirror, ear, _ = rig.open()
    mirror.want(second, rig.backend, task="u")
    ear.complete(second)
    assert mirror.hub_bytes == 5
    assert rig.right(mirror, second)


def test_a_pack_goes_on_after_a_restart(rig):
    files = [rig.file(f"{n:02}", content(PIECE - n, n)) for n in range(24)]
    freight, held = freight_of(*files), threading.Event()
    rig.origin.fault("20", faults.stall(held, after=10))
    mirror, ear, store = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.wait("segment", freight.pack.blob, 0)
    mirror.close()
    store.close()
    had = mirror.hub_bytes
    held.set()
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert ear.of(freight.pack.blob)[0] == ("segment", 0, 1)
    assert len([seen for seen in rig.origin.requests if int(seen.path) < 16]) == 16
    assert mirror.hub_bytes < freight.pack.size - had + 4 * PIECE
    assert rig.right(mirror, freight)


def test_wrong_bytes_of_a_small_file_never_reach_the_pack(rig):
    freight = freight_of(rig.file("a", b"aaa"), rig.file("b", b"bbb"))
    rig.origin.fault("a", faults.corrupt(1))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert ear.of(freight.pack.blob) == [("segment", 0, 1), ("complete", 1)]
    assert rig.right(mirror, freight)


def test_a_pack_fails_with_its_file_and_comes_when_it_is_wanted_again(rig):
    parts = [rig.file(f"{n:03}", content(100, n)) for n in range(200)]
    large = rig.file("f", content(SIZE))
    freight = freight_of(large, *parts)
    rig.origin.fault("001", faults.status(404))
    mirror, ear, _ = rig.open(concurrency=1)
    mirror.want(freight, rig.backend, task="t")
    assert isinstance(ear.wait("failed", freight.pack.blob)[2], NotFound)
    ear.wait("complete", large.blob)
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert mirror.hub_bytes == SIZE + freight.pack.size


def test_a_small_file_that_the_disk_spoilt_is_not_packed(rig):
    same = [rig.file("a", b"aaa"), rig.file("b", b"bbb")]
    mirror, ear, store = rig.open()
    mirror.want(freight_of(*same), rig.backend, task="t")
    ear.complete(freight_of(*same))
    path = store.path(same[0].blob)
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.write(b"x")
    more = freight_of(*same, rig.file("c", b"ccc"))
    mirror.want(more, rig.backend, task="u")
    assert isinstance(ear.wait("failed", more.pack.blob)[2], IntegrityError)
    mirror.want(more, rig.backend, task="u")
    ear.complete(more)
    assert rig.right(mirror, more)


def test_a_file_may_be_a_part_of_one_task_and_a_blob_of_another(rig):
    shared, held = rig.file("a", content(1000)), threading.Event()
    rig.origin.fault("a", faults.stall(held, after=10))
    packed, alone = freight_of(shared, rig.file("b", b"b")), freight_of(shared)
    mirror, ear, _ = rig.open()
    mirror.want(packed, rig.backend, task="t")
    mirror.want(alone, rig.backend, task="u")
    held.set()
    ear.complete(packed)
    ear.complete(alone)
    assert mirror.hub_bytes == 1001
    assert rig.right(mirror, packed)
    assert rig.right(mirror, alone)
    assert ear.of(only(alone)) == [("segment", 0, 1), ("complete", 1)]


@pytest.mark.parametrize("size", [0, 1, SIZE])
def test_a_file_of_unknown_size_is_fetched_whole_and_then_published(rig, size):
    freight = freight_of(rig.file("f", content(size), size=False, digest=False))
    rig.origin.fault("f", faults.chunked())
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    told = ear.of(only(freight))
    assert told == [*(("segment", n, 1) for n in range(Layout(size).segments)), ("complete", 1)]
    assert mirror.size(only(freight)) == size
    assert rig.right(mirror, freight)
    assert not ear.lies
    assert len(rig.origin.requests) == 1


def test_a_stream_of_unknown_size_that_is_cut_starts_over_when_it_is_wanted_again(rig):
    freight = freight_of(rig.file("f", content(SIZE), size=False, digest=False))
    rig.origin.fault("f", faults.status(403))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    assert isinstance(ear.wait("failed", only(freight))[2], AccessDenied)
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, SMALL, SMALL + 1, SEGMENT, SEGMENT + 1])
def test_blobs_of_every_shape_arrive(rig, size):
    freight = freight_of(rig.file("f", content(size)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert mirror.hub_bytes == size
    assert mirror.state(only(freight)).segments.keys() == set(range(Layout(size).segments))


def test_empty_files_need_nothing(rig):
    mirror, ear, _ = rig.open()
    mirror.want(freight_of(rig.file("empty", b"")), rig.backend, task="t")
    mirror.want(freight_of(), rig.backend, task="u")
    mirror.close()
    assert ear.events == []
    assert rig.origin.requests == []


def test_an_origin_without_ranges_is_read_in_one_stream(rig):
    freight = freight_of(rig.file("f", content(SIZE)))
    rig.origin.fault("f", faults.no_range(), times=100)
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)


def test_one_blob_that_stands_still_does_not_hold_up_the_others(rig):
    stuck, held = rig.file("stuck", content(SMALL + 1)), threading.Event()
    others = [rig.file(f"{n}", content(SMALL + 1, n + 1)) for n in range(5)]
    rig.origin.fault("stuck", faults.stall(held))
    mirror, ear, _ = rig.open(concurrency=2)
    mirror.want(freight_of(stuck, *others), rig.backend, task="t")
    for entry in others:
        ear.wait("complete", entry.blob)
    assert not mirror.state(stuck.blob).complete
    held.set()
    ear.wait("complete", stuck.blob)


def test_one_blob_that_fails_leaves_the_others_alone_and_can_be_tried_again(rig):
    gone, there = rig.file("gone", content(SIZE)), rig.file("there", content(SIZE, 1))
    rig.origin.fault("gone", faults.status(404), when=from_segment(1))
    mirror, ear, _ = rig.open(concurrency=1)
    mirror.want(freight_of(gone, there), rig.backend, task="t")
    assert isinstance(ear.wait("failed", gone.blob)[2], NotFound)
    ear.wait("complete", there.blob)
    assert mirror.published(gone.blob, 0, SEGMENT)
    mirror.want(freight_of(gone, there), rig.backend, task="t")
    ear.wait("complete", gone.blob)
    assert mirror.hub_bytes == 2 * SIZE
    assert ear.of(gone.blob).count(("segment", 0, 1)) == 1
    assert rig.right(mirror, freight_of(gone, there))


def test_who_hears_of_a_failure_may_want_again_at_once(rig):
    freight = freight_of(rig.file("f", content(1000)))
    rig.origin.fault("f", faults.status(404), times=3)
    mirror, ear, _ = rig.open()
    tell = ear.blob_failed

    def again(blob, error):
        tell(blob, error)
        mirror.want(freight, rig.backend, task="t")

    ear.blob_failed = again
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert [kind for kind, *_ in ear.of(only(freight))] == ["failed"] * 3 + ["segment", "complete"]


def test_patience_that_is_used_up_is_an_error(rig):
    freight = freight_of(rig.file("f", content(1000)))
    rig.origin.fault("f", faults.status(500), times=100)
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    assert isinstance(ear.wait("failed", only(freight))[2], OriginUnavailable)


@pytest.mark.parametrize("size", [1000, SIZE])
@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_that_refuses_the_commit_fails_the_blob_and_loses_no_published_byte(rig, size, packed):
    parts = [rig.file(f"{n:02}", content(min(size, PIECE), n)) for n in range(34 if size == SIZE else 2)]
    freight = freight_of(*parts) if packed else freight_of(rig.file("f", content(size)))
    blob = only(freight)
    mirror, ear, store = rig.open()
    in_the_way = os.path.join(os.path.dirname(store.path(blob)), "meta.new")
    ear.on_segment = lambda *_: os.makedirs(in_the_way, exist_ok=True)
    mirror.want(freight, rig.backend, task="t")
    assert isinstance(ear.wait("failed", blob)[2], OutputError)
    ear.on_segment = lambda *_: None
    for index in mirror.state(blob).segments:
        start, stop = Layout(mirror.size(blob)).segment_range(index)
        data = read(mirror.path(blob))
        assert any(data[start:stop])
        assert mirror.published(blob, start, stop)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(in_the_way)
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)
    assert not ear.lies


def test_an_error_that_is_not_ours_is_told_by_its_type_alone(rig):
    def tamper(entry, start):
        raise RuntimeError("with a secret in it")

    freight = freight_of(rig.file("f", content(1000)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, Generated(tamper), task="t")
    error = ear.wait("failed", only(freight))[2]
    assert "RuntimeError" in error.message
    assert "secret" not in str(error)


def test_where_one_token_is_refused_the_next_task_opens_the_way(rig):
    entry = rig.file("f", content(SIZE))
    asked, wanted = threading.Event(), threading.Event()

    def tamper(entry, start):
        asked.set()
        wanted.wait(30)
        raise AccessDenied("this token is revoked")

    mirror, ear, _ = rig.open()
    mirror.want(freight_of(entry), Generated(tamper), task="t")
    assert asked.wait(30)
    mirror.want(freight_of(entry), rig.backend, task="u")
    wanted.set()
    ear.complete(freight_of(entry))
    assert not any(kind == "failed" for kind, *_ in ear.events)
    assert rig.right(mirror, freight_of(entry))


def test_what_is_waited_for_is_told_until_bytes_flow_again(rig):
    freight = freight_of(rig.file("f", content(1000)))
    rig.origin.fault("f", faults.status(429, retry_after="0.05"))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert len(ear.waits) == 2
    assert "429" in ear.waits[0]
    assert ear.waits[0].endswith(", trying again")
    assert ear.waits[1] == ""


def test_a_long_pause_is_told_with_its_seconds_and_can_be_interrupted(rig):
    freight = freight_of(rig.file("f", content(1000)))
    rig.origin.fault("f", faults.status(429, retry_after="55"))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.until(lambda: ear.waits)
    assert ear.waits[0].endswith(", waiting 55 s")
    mirror.close()
    assert not ear.events


def test_more_blobs_than_may_be_open_at_once_all_come(rig):
    freight = freight_of(*(rig.file(f"{n}", content(SMALL + 1, n)) for n in range(50)))
    mirror, ear, _ = rig.open()
    mirror.want(freight, rig.backend, task="t")
    ear.complete(freight)
    assert rig.right(mirror, freight)


def test_no_blob_is_held_in_memory(rig):
    size = 96 * MIB
    entry = Entry(path="f", size=size, url="located://hub/f", identity="f", validator="v")
    mirror, ear, _ = rig.open()
    with contextlib.closing(Generated()) as backend:
        tracemalloc.start()
        try:
            mirror.want(freight_of(entry), backend, task="t")
            ear.complete(freight_of(entry))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert mirror.size(entry.blob) == size
    assert peak < 24 * MIB


def test_a_blob_that_nobody_wants_has_not_begun(rig):
    mirror, _, _ = rig.open()
    assert mirror.path("sha256-0") is None
    assert mirror.size("sha256-0") is None
    assert mirror.hashes("sha256-0") is None
    assert not mirror.published("sha256-0", 0, 0)
    assert not mirror.state("sha256-0").segments
