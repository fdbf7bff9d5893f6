"""A run that ends early, in any way, and the next one: nothing that is journalled crosses the network twice."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly.config import Fetch, Network
from dfly.errors import Cancelled, Changed, OriginUnavailable, TimedOut
from dfly.events import Event
from dfly.layout import Layout
from dfly.node.gather import SHORTEST_SPAN
from dfly.testing import faults

SIZE = 5 * SHORTEST_SPAN
CONTENT = some_bytes(SIZE)
LAYOUT = Layout(SIZE)
CONCURRENCY = 2
ARGV = ("hf://o/r/model.bin", "--concurrency", CONCURRENCY, "--json")
#: What is on its way when a process dies: each connection is in one span, and its unfinished piece starts over.
UNFINISHED = CONCURRENCY * SHORTEST_SPAN


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """On the disk, because the hub counts what it sends of such a file to the byte."""
    path = tmp_path_factory.mktemp("content") / "model.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def repo(hub, model):
    return hub.repo("o/r", {"model.bin": model})


def journalled(here: Path) -> set[int]:
    """The pieces that the journal of the one partial holds: those of whole segments, and single ones."""
    found = list(here.rglob("journal"))
    if not found:
        return set()
    lines = [json.loads(line) for line in found[0].read_text().splitlines()[1:] if line.endswith("}")]
    pieces = {line["piece"] for line in lines if "piece" in line}
    return pieces.union(*(LAYOUT.segment_pieces(line["segment"]) for line in lines if "segment" in line))


def bytes_of(pieces: set[int]) -> int:
    return sum(stop - start for start, stop in map(LAYOUT.piece_range, pieces))


def stop_after(process: subprocess.Popen, name: str, count: int, how: signal.Signals) -> list[dict]:
    """Send a signal once `count` events of that name have been seen; all events up to the end."""
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        count -= events[-1]["event"] == name
        if not count:
            process.send_signal(how)
            break
    rest, _ = process.communicate()
    return events + [json.loads(line) for line in rest.splitlines() if line.endswith(b"}")]


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_has_arrived_and_the_next_run_goes_on(hub, repo, dfget, here, how, code):
    hub.limit_rate(30 * MIB)
    process = dfget.start(*ARGV)
    events = stop_after(process, "segment.finished", 2, how)
    assert process.returncode == code
    assert (events[-1]["event"], events[-1]["exit_code"]) == ("error", code)
    assert "again to go on" in events[-1]["message"]
    kept = journalled(here)
    assert len(kept) >= 2 * len(LAYOUT.segment_pieces(0))
    assert "model.bin" not in tree(here)
    hub.limit_rate(None)
    hub.records.clear()
    again = dfget(*ARGV)
    assert again.code == 0, again.err
    assert tree(here) == {"model.bin": CONTENT}
    assert again.named("file.started")[0]["had"] == bytes_of(kept)
    assert sum(event["bytes"] for event in again.named("bytes.arrived")) == SIZE - bytes_of(kept)
    assert hub.records.bytes_sent() == SIZE - bytes_of(kept)


def test_a_second_signal_ends_at_once(hub, repo, dfget, here):
    hub.limit_rate(MIB)
    process = dfget.start(*ARGV)
    for line in process.stdout:
        if b"file.started" in line:
            break
    process.send_signal(signal.SIGINT)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


def test_a_task_that_ran_out_of_time_goes_on_in_the_next_run(hub, repo, fetch, here, monkeypatch):
    hub.limit_rate(10 * MIB)
    now = [100.0]
    monkeypatch.setattr("dfly.node.sources.time", SimpleNamespace(monotonic=lambda: now[0]))

    def run_out(event: Event) -> None:
        now[0] += 60.1 * (event.name == "segment.finished")

    with pytest.raises(TimedOut) as error:
        fetch("hf://o/r/model.bin", timeout=60, settings=Fetch(concurrency=CONCURRENCY), on_event=run_out)
    assert error.value.exit_code == 13
    kept = journalled(here)
    assert kept
    hub.limit_rate(None)
    fetch("hf://o/r/model.bin", timeout=60)
    assert fetch.named("file.started")[0].had == bytes_of(kept)
    assert tree(here) == {"model.bin": CONTENT}


@pytest.mark.parametrize(("output", "hint"), [("out", "run the same command again"), ("-", "allow more time")])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_origin_that_says_nothing_does_not_outlast_the_time_limit(web, fetch, here, method, output, hint):
    never = threading.Event()
    link = web.add("model.bin", CONTENT)
    web.fault("model.bin", lambda _: bool(never.wait()), times=99, when=lambda seen: seen.method == method)
    with pytest.raises(TimedOut) as error, (here / "piped").open("wb") as stdout:
        fetch(link, output, timeout=0.2, network=Network(read_timeout=3600), stdout=stdout)
    never.set()
    assert error.value.hint.startswith(hint)


def test_a_stop_before_the_first_whole_segment_keeps_its_finished_pieces(web, fetch, here):
    never, cancel = threading.Event(), threading.Event()
    link = web.add("model.bin", CONTENT)
    web.fault("model.bin", faults.stall(never, after=3 * MIB // 2), times=99, when=lambda seen: seen.method == "GET")

    def listen(event: Event) -> None:
        if event.name == "bytes.arrived":
            cancel.set()

    with pytest.raises(Cancelled):
        fetch(link, on_event=listen, cancel=cancel, settings=Fetch(concurrency=1))
    never.set()
    kept = journalled(here)
    assert 0 < len(kept) < len(LAYOUT.segment_pieces(0))
    fetch(link)
    assert fetch.named("file.started")[0].had == bytes_of(kept)
    assert tree(here) == {"model.bin": CONTENT}


def kill_again_and_again(hub, dfget, here, *, kills: int, seed: int) -> None:
    """After each kill: what was fetched is in the journal, but for the segments on their way."""
    draw = random.Random(seed)
    killed = 0
    while killed < kills:
        before = journalled(here)
        hub.records.clear()
        process = dfget.start(*ARGV)
        events = stop_after(process, "bytes.arrived", draw.randint(1, 12), signal.SIGKILL)
        assert events[1]["event"] == "file.started"
        assert events[1]["had"] == bytes_of(before)
        if (here / "model.bin").exists():  # it was done before its time had come
            assert (here / "model.bin").read_bytes() == CONTENT
            (here / "model.bin").unlink()
            shutil.rmtree(here / ".dfly", ignore_errors=True)  # what a death between the last two steps leaves
            continue
        killed += 1
        assert process.returncode == -signal.SIGKILL
        assert before <= journalled(here)
        assert hub.records.bytes_sent() <= bytes_of(journalled(here) - before) + UNFINISHED
    before = journalled(here)
    hub.records.clear()
    hub.limit_rate(None)
    last = dfget(*ARGV)
    assert last.code == 0, last.err
    assert hub.records.bytes_sent() == SIZE - bytes_of(before)
    assert tree(here) == {"model.bin": CONTENT}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_process_killed_at_any_moment_costs_the_unfinished_segments_and_no_byte_more(hub, repo, dfget, here, seed):
    hub.limit_rate(50 * MIB)
    kill_again_and_again(hub, dfget, here, kills=2, seed=seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_process_killed_twenty_times_costs_the_unfinished_segments_and_no_byte_more(hub, repo, dfget, here, seed):
    hub.limit_rate(50 * MIB)
    kill_again_and_again(hub, dfget, here, kills=20, seed=100 + seed)


def test_a_folder_whose_run_was_killed_is_completed_and_nothing_whole_comes_twice(hub, dfget, here):
    files = {f"part-{n}.bin": some_bytes(MIB + n, seed=n) for n in range(12)} | {"config.json": b"{}"}
    hub.repo("o/many", files)
    hub.limit_rate(20 * MIB)
    process = dfget.start("hf://o/many", "-r", "-O", "out", "--json", "--concurrency", "2")
    stop_after(process, "file.finished", 5, signal.SIGKILL)
    whole = {path for path in files if path in tree(here / "out")}
    assert len(whole) >= 5
    hub.limit_rate(None)
    hub.records.clear()
    again = dfget("hf://o/many", "-r", "-O", "out", "--json")
    assert again.code == 0, again.err
    assert tree(here / "out") == files
    assert {call.path for call in hub.calls("resolve")} == set(files) - whole
    assert {event["path"] for event in again.named("file.skipped")} == whole


def killed_run(hub, dfget, *argv) -> None:
    hub.limit_rate(30 * MIB)
    stop_after(dfget.start(*argv), "segment.finished", 2, signal.SIGKILL)
    hub.limit_rate(None)
    hub.records.clear()


def test_after_a_power_loss_only_what_was_synced_is_trusted(hub, repo, dfget, fetch, here):
    killed_run(hub, dfget, *ARGV)
    journal = next(here.rglob("journal"))
    data = journal.with_name("data")
    first, *lines = journal.read_text().splitlines()
    header = json.loads(first) | {"boot": "another boot"}
    segments = [line for line in lines if "segment" in line][:2]
    synced = json.loads(segments[0])["segment"]
    lost = json.loads(segments[1])["segment"]
    journal.write_text("\n".join([json.dumps(header), *segments, '{"synced": 1}', ""]))
    with data.open("r+b") as file:  # as a file system may leave it: the journal's line is there, the data is not
        start, stop = LAYOUT.segment_range(lost)
        file.seek(start)
        file.write(bytes(stop - start))
    fetch("hf://o/r/model.bin")
    assert fetch.named("file.started")[0].had == bytes_of(set(LAYOUT.segment_pieces(synced)))
    assert hub.records.bytes_sent() == SIZE - bytes_of(set(LAYOUT.segment_pieces(synced)))
    assert tree(here) == {"model.bin": CONTENT}


def test_a_change_upstream_between_two_runs_discards_the_partial(hub, repo, dfget, fetch, here, tmp_path):
    killed_run(hub, dfget, *ARGV)
    assert journalled(here)
    newer = some_bytes(SIZE, seed=2)
    (tmp_path / "newer").write_bytes(newer)
    repo.commit({"model.bin": tmp_path / "newer"})
    fetch("hf://o/r/model.bin")
    assert fetch.named("file.started")[0].had == 0
    assert tree(here) == {"model.bin": newer}


def test_a_pinned_revision_goes_on_whatever_happens_to_the_branch(hub, repo, dfget, fetch, here):
    commit = repo.refs["refs/heads/main"]
    killed_run(hub, dfget, *ARGV)
    kept = journalled(here)
    repo.commit({"model.bin": b"other"})
    fetch(f"hf://o/r@{commit}/model.bin")
    assert fetch.named("file.started")[0].had == bytes_of(kept)
    assert tree(here) == {"model.bin": CONTENT}


@pytest.mark.parametrize("etag", [None, ""], ids=["strong etag", "no validator"])
def test_a_web_file_replaced_between_two_runs_is_never_mixed(web, dfget, fetch, here, etag):
    link = web.add("model.bin", CONTENT, etag=etag)
    process = dfget.start(link, "--json", "--limit-rate", "30M", "--concurrency", "2")
    stop_after(process, "segment.finished", 2, signal.SIGKILL)
    assert journalled(here)
    newer = some_bytes(SIZE, seed=2)
    web.add("model.bin", newer, etag=etag)
    fetch(link)
    assert fetch.named("file.started")[0].had == 0
    assert tree(here) == {"model.bin": newer}


def test_a_web_file_with_a_strong_etag_goes_on(web, dfget, fetch, here):
    link = web.add("model.bin", CONTENT)
    process = dfget.start(link, "--json", "--limit-rate", "30M", "--concurrency", "2")
    stop_after(process, "segment.finished", 2, signal.SIGKILL)
    kept = journalled(here)
    fetch(link)
    assert fetch.named("file.started")[0].had == bytes_of(kept)
    assert tree(here) == {"model.bin": CONTENT}


def test_overwrite_goes_on_as_well(hub, repo, dfget, fetch, here):
    killed_run(hub, dfget, *ARGV)
    kept = journalled(here)
    fetch("hf://o/r/model.bin", overwrite=True)
    assert fetch.named("file.started")[0].had == bytes_of(kept)


def test_a_file_changed_while_it_is_fetched_is_noticed(web, fetch, here):
    link = web.add("model.bin", CONTENT)
    newer = some_bytes(SIZE, seed=2)
    served = iter(range(100))

    def replace(exchange: faults.Exchange) -> None:
        if next(served) == 3:
            web.add("model.bin", newer, etag='"newer"')

    web.fault("model.bin", replace, times=99)
    with pytest.raises(Changed) as error:
        fetch(link, settings=Fetch(concurrency=2))
    assert "run the command again" in error.value.hint
    assert "model.bin" not in tree(here)
    fetch(link)
    assert tree(here) == {"model.bin": newer}


def test_an_origin_that_stops_sending_is_given_up_and_what_came_is_kept(web, fetch, here):
    never = threading.Event()
    link = web.add("model.bin", CONTENT)
    stuck = f"bytes={2 * SHORTEST_SPAN}-"
    web.fault("model.bin", faults.stall(never), times=99, when=lambda seen: (seen.range or "").startswith(stuck))
    sent = {*LAYOUT.segment_pieces(0), *LAYOUT.segment_pieces(1)}
    for seconds in (0.2, 2.0, 20.0):
        with pytest.raises(OriginUnavailable):
            fetch(link, network=Network(read_timeout=seconds), settings=Fetch(concurrency=2))
        kept = journalled(here)
        # on a busy machine the beginning may not have come in the shortest time
        if sent <= kept:
            break
    assert sent <= kept
    never.set()
    fetch(link)
    assert fetch.named("file.started")[0].had == bytes_of(kept)
    assert tree(here) == {"model.bin": CONTENT}
    assert os.listdir(here) == ["model.bin"]
