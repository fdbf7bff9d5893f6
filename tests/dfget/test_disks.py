"""Disks that are full, read-only or in the way, and two runs that want the same place at once."""

import os
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly.config import Fetch
from dfly.errors import Cancelled, OutputError
from dfly.testing import faults

LARGE = some_bytes(3 * MIB)
FILES = {"config.json": b"{}", "model.bin": LARGE}


@pytest.fixture
def small_disk(here):
    """A mounted tmpfs of 2 MiB."""
    if os.geteuid():
        pytest.skip("mounting a small disk needs root")
    disk = here / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield disk
    # lazily: a thread of a run that failed may hold a file there for a moment
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def nobody(monkeypatch):
    """Not being root, because root may write everywhere, in a folder that everybody can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        monkeypatch.chdir(folder)
        was = os.getresuid()
        yield Path(folder)
        os.setresuid(*was)


def test_what_does_not_fit_is_refused_before_the_first_byte(hub, dfget, small_disk):
    hub.repo("o/r", FILES)
    told = dfget("hf://o/r", "-r", "-O", small_disk)
    assert told.code == 11
    assert "3.1 MB are needed" in told.err
    assert "free 1." in told.err
    assert hub.calls("resolve", "cdn") == []
    assert tree(small_disk) == {}


def test_what_several_sources_need_together_is_known_before_the_first_byte(web, fetch, small_disk):
    links = [web.add(f"{name}.bin", some_bytes(MIB + 500_000)) for name in "ab"]
    with pytest.raises(OutputError, match="are needed in"):
        fetch(links, f"{small_disk}/")
    assert {seen.method for seen in web.requests} == {"HEAD"}
    fetch(links[:1], f"{small_disk}/")
    with pytest.raises(OutputError, match="are needed in"):
        fetch(links, f"{small_disk}/")
    assert set(tree(small_disk)) == {"a.bin"}
    assert fetch([links[0], web.add("c.bin", b"x")], f"{small_disk}/").skipped == 1


def test_what_is_there_already_needs_no_space(hub, fetch, small_disk):
    hub.repo("o/r", {"a.bin": some_bytes(MIB, seed=1), "b.bin": some_bytes(MIB - 99_999, seed=2)})
    fetch("hf://o/r", small_disk, recursive=True, include=["a.bin"])
    fetch("hf://o/r", small_disk, recursive=True)
    assert set(tree(small_disk)) == {"a.bin", "b.bin"}


def test_a_disk_that_fills_up_on_the_way_is_said_and_leaves_nothing_unknown(web, fetch, small_disk):
    link = web.add("model.bin", LARGE)
    web.fault("model.bin", faults.status(405), times=99, when=lambda seen: seen.method == "HEAD")
    web.fault("model.bin", faults.no_range(), faults.chunked(), times=99)
    with pytest.raises(OutputError, match="the disk is full") as error:
        fetch(link, f"{small_disk}/")
    assert error.value.exit_code == 11
    assert error.value.hint == "free some space and run the same command again"
    assert tree(small_disk) == {}


@pytest.mark.parametrize("name", ["config.json", "model.bin"])
def test_a_disk_filled_by_somebody_else_is_said(hub, fetch, small_disk, name):
    hub.repo("o/r", {"config.json": some_bytes(300_000), "model.bin": some_bytes(MIB)})
    filling = small_disk / "filling"

    def fill(event):
        if event.name == "file.started":
            filling.write_bytes(bytes(2 * MIB - 65_536 - 8192))

    with pytest.raises(OutputError, match="the disk is full"):
        fetch(f"hf://o/r/{name}", f"{small_disk}/", on_event=fill)
    filling.unlink()
    fetch(f"hf://o/r/{name}", f"{small_disk}/")
    assert set(tree(small_disk)) == {name}


@pytest.mark.parametrize("output", ["closed", "closed/new", "hidden/new"])
def test_a_folder_that_may_not_be_written_is_refused_before_the_first_byte(hub, fetch, nobody, output):
    hub.repo("o/r", FILES)
    (nobody / "closed").mkdir(mode=0o555)
    (nobody / "hidden").mkdir(mode=0o700)
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 0)
    else:
        (nobody / "hidden").chmod(0)
    with pytest.raises(OutputError, match="no permission to write"):
        fetch("hf://o/r", output, recursive=True)
    assert hub.calls("resolve", "cdn") == []


def test_a_link_at_the_destination_is_refused_and_what_it_points_to_stays(hub, fetch, here):
    hub.repo("o/r", FILES)
    (here / "precious").write_bytes(b"precious")
    (here / "model.bin").symlink_to("precious")
    with pytest.raises(OutputError, match="symbolic link"):
        fetch("hf://o/r/model.bin")
    assert (here / "precious").read_bytes() == b"precious"
    assert hub.calls("resolve", "cdn") == []


def test_a_folder_that_links_out_of_the_output_is_refused(hub, fetch, here):
    hub.repo("o/r", {"sub/x": b"x"})
    (here / "elsewhere").mkdir()
    (here / "out").mkdir()
    (here / "out/sub").symlink_to("../elsewhere")
    with pytest.raises(OutputError, match="leads out"):
        fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "elsewhere") == {}


def test_an_output_that_is_itself_a_link_to_a_folder_is_fine(hub, fetch, here):
    hub.repo("o/r", FILES)
    (here / "big-disk").mkdir()
    (here / "out").symlink_to("big-disk")
    fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "big-disk") == FILES


def at_once(*runs) -> None:
    """Run all in threads that begin together; raise what one raised."""
    start, failed = threading.Barrier(len(runs)), []

    def begin(run):
        start.wait()
        try:
            run()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def test_two_runs_to_one_folder_both_end_right_and_share_the_large_files(hub, dfget, here):
    files = {f"{n}.bin": some_bytes(MIB, seed=n) for n in range(4)} | {f"{n}.json": b"%d" % n for n in range(40)}
    hub.repo("o/r", files)
    hub.limit_rate(10 * MIB)
    both = [dfget.start("hf://o/r", "-r", "-O", "out", "--json") for _ in range(2)]
    ended = [(process.communicate(), process.returncode) for process in both]
    assert [code for _, code in ended] == [0, 0], ended
    assert tree(here / "out") == files
    large = sum(hub.records.bytes_sent(f"{n}.bin") for n in range(4))
    assert large == 4 * MIB


def test_the_second_run_takes_over_when_the_first_is_killed(hub, dfget, here):
    hub.repo("o/r", FILES)
    hub.limit_rate(MIB)
    first = dfget.start("hf://o/r/model.bin", "--json")
    for line in first.stdout:
        if b"file.started" in line:
            break
    second = dfget.start("hf://o/r/model.bin", "--json")
    for line in second.stdout:
        if b"waiting for it" in line:
            break
    first.kill()
    hub.limit_rate(None)
    _, err = second.communicate()
    assert second.returncode == 0, err
    assert tree(here) == {"model.bin": LARGE}


def test_a_run_that_waits_for_another_can_be_stopped(hub, dfget, fetch, here):
    hub.repo("o/r", FILES)
    hub.limit_rate(50_000)
    first = dfget.start("hf://o/r/model.bin", "--json")
    for line in first.stdout:
        if b"file.started" in line:
            break
    cancel, said = threading.Event(), []

    def hear(event):
        if event.name == "warning":
            said.append(event.message)
            cancel.set()

    with pytest.raises(Cancelled):
        fetch("hf://o/r/model.bin", on_event=hear, cancel=cancel)
    assert f"in use by another dfly (pid {first.pid}); waiting for it" in said[0]
    assert first.poll() is None


@pytest.mark.parametrize("size", [5, 300_000, 3 * MIB])
def test_many_runs_in_one_process_to_one_file_end_right(hub, fetch, here, size):
    content = some_bytes(size)
    hub.repo("o/r", {"file.txt": content})
    at_once(*[lambda: fetch("hf://o/r/file.txt", settings=Fetch(concurrency=2)) for _ in range(6)])
    assert tree(here) == {"file.txt": content}


def test_two_contents_for_one_place_end_as_one_of_them(hub, fetch, here):
    one, other = some_bytes(MIB, seed=1), some_bytes(MIB, seed=2)
    hub.repo("o/one", {"model.bin": one})
    hub.repo("o/other", {"model.bin": other})
    at_once(lambda: fetch("hf://o/one/model.bin"), lambda: fetch("hf://o/other/model.bin"))
    assert list(tree(here)) == ["model.bin"]
    assert tree(here)["model.bin"] in (one, other)
