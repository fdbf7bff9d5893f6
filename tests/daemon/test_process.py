"""The installed dfdaemon as a node, and dfget and dfctl beside it, as processes of their own where it matters."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dfly.testing.commands import Outcome, run_here
from dfly_hf.testing import FixtureHub
from tests.daemon.conftest import MIB, some_bytes, tree

BIN = Path(sys.executable).parent
FILES = {"config.json": b"{}", "model.bin": some_bytes(9 * MIB, 3), "empty": b"", "vocab.txt": some_bytes(5000, 4)}


class Node:
    """A dfdaemon; `lines` are those of its log."""

    def __init__(self, folder: Path, *argv: str, **env: str) -> None:
        self.folder, self.argv, self.env = folder, argv, env
        self.socket, self.log = folder / "run/dfly.sock", folder / "log"

    def start(self) -> "Node":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "dfdaemon", "--data-dir", self.folder / "data", "--socket", self.socket, *self.argv],
                env={**os.environ, **self.env},
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().decode()
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.repo("o/r", FILES)
        yield running


@pytest.fixture
def node(tmp_path, hub):
    folder = tmp_path / "node"
    folder.mkdir()
    running = Node(folder)
    yield running.start()
    running.end()


@pytest.fixture
def dfctl(monkeypatch, capfd, node):
    """Run it in this process."""
    monkeypatch.setenv("DFLY_SOCKET", str(node.socket))

    def call(*argv) -> Outcome:
        return run_here("dfctl", *argv, captured=capfd)

    return call


def events(done) -> dict[str, dict]:
    return {event["event"]: event for event in done.events}


def numbered(text: str) -> str:
    """Without the numbers that a hub gives its requests."""
    return re.sub(r"fixture-\d+", "fixture", text)


def test_dfget_finds_the_daemon_and_does_what_it_does_without(node, hub, here, dfget):
    assert node.said == f"dfdaemon: node at {node.socket}\n"
    env = {"DFLY_SOCKET": str(node.socket)}
    first = dfget.installed("hf://o/r", "-r", "-O", "out", "--json", **env)
    assert first.code == 0, first.err
    sent = hub.records.bytes_sent()
    second = dfget("hf://o/r", "-r", "-O", "again", "--json", **env)
    alone = dfget("hf://o/r", "-r", "-O", "alone", "--json", "--no-daemon", **env)
    assert [tree(here / name) for name in ("out", "again", "alone")] == [FILES] * 3
    assert sent == sum(map(len, FILES.values()))
    assert events(second)["task.finished"]["sources"] == {"cache": sent}
    one, other = events(first), events(alone)
    for said in one["task.finished"], other["task.finished"]:
        for name in ("time", "seconds", "output"):
            said.pop(name)
    assert one["task.finished"] == other["task.finished"]
    assert one.keys() == other.keys()
    missing = dfget("hf://o/nothing", "-r", "-O", "x", **env), dfget("hf://o/nothing", "-r", "-O", "x", "--no-daemon")
    assert missing[0].code == missing[1].code == 4
    assert numbered(missing[0].err) == numbered(missing[1].err)
    assert node.end() == 0
    tasks = [line for line in node.lines() if line["event"] == "peer task"]
    assert [(line["files"], line["hub"], line["cache"], line["outcome"]) for line in tasks] == [
        (4, sent, 0, "done"),
        (4, 0, sent, "done"),
    ]
    assert tasks[0]["url"].startswith("hf://o/r@")
    assert {"bytes", "seconds", "seed_peer", "peer", "uid"} <= tasks[0].keys()


def test_dfctl_verifies_and_pins_what_is_kept(node, hub, here, dfget, dfctl):
    dfget("hf://o/r", "-r", "-O", "out", DFLY_SOCKET=str(node.socket))
    assert dfctl("verify").out == "4 blobs right, 0 mended, 0 lost\n"
    (blob,) = (p for p in (node.folder / "data/blobs").rglob("data") if p.stat().st_size == 9 * MIB)
    blob.unlink()
    found = json.loads(dfctl("verify", "--json").out)
    assert (found["right"], len(found["mended"]), found["lost"]) == (3, 1, [])
    assert blob.read_bytes() == FILES["model.bin"]
    pinned = dfctl("pin", "hf://o/r")
    assert pinned.out.startswith("pinned: hf://o/r@")
    assert dfctl("unpin", "hf://o/r").code == 0
    assert dfctl("pin", "hf://o/other").code == 4
    node.end()
    gone = dfctl("verify")
    assert (gone.code, "is dfdaemon running" in gone.err) == (2, True)


def test_no_token_is_ever_logged(node, hub, here, dfget):
    done = dfget("hf://o/r", "-r", "-O", "out", DFLY_SOCKET=str(node.socket), HF_TOKEN="hf_topsecret")
    assert done.code in (0, 5)
    node.end()
    assert "topsecret" not in node.log.read_text()
    assert "topsecret" not in "".join(p.read_text() for p in (node.folder / "data/snapshots").iterdir())


def test_a_daemon_killed_in_the_middle_costs_no_file(node, hub, here, dfget):
    big = some_bytes(30 * MIB, 8)
    hub.repo("o/big", {"model.bin": big})
    hub.hold("model.bin", 20 * MIB)
    task = subprocess.Popen(
        [BIN / "dfget", "hf://o/big", "-r", "-O", "out", "--json"],
        env={**os.environ, "DFLY_SOCKET": str(node.socket)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert task.stdout is not None
    for line in task.stdout:
        if json.loads(line)["event"] == "segment.finished":
            break
    node.end(signal.SIGKILL)
    hub.let_go()
    rest, errors = task.communicate(timeout=60)
    assert task.returncode == 0, errors
    assert "going on without it" in rest
    assert tree(here / "out") == {"model.bin": big}
    node.start()
    done = dfget("hf://o/big", "-r", "-O", "again", "--json", DFLY_SOCKET=str(node.socket))
    assert tree(here / "again") == {"model.bin": big}
    assert events(done)["task.finished"]["sources"]["hub"] < len(big)


def test_where_there_is_no_daemon_it_says_so_and_goes_on(hub, here, tmp_path, dfget):
    done = dfget("hf://o/r", "-r", "-O", "out", DFLY_SOCKET=str(tmp_path / "nothing.sock"))
    assert done.code == 0
    assert "no daemon that this user can trust" in done.err
    assert tree(here / "out") == FILES


def test_a_file_system_without_room_is_a_clear_error_and_the_daemon_goes_on(hub, here, tmp_path, dfget):
    disk = tmp_path / "node/data"
    disk.mkdir(parents=True, mode=0o700)
    with mounted(disk, "size=16m"):
        node = Node(tmp_path / "node").start()
        try:
            env = {"DFLY_SOCKET": str(node.socket)}
            assert dfget("hf://o/r", "-r", "-O", "out", **env).code == 0
            hub.repo("o/big", {"model.bin": some_bytes(30 * MIB, 8)})
            full = dfget("hf://o/big", "-r", "-O", "big", **env)
            assert full.code == 11
            assert "the disk is full" in full.err
            assert not list(Path("big").rglob("model.bin"))
            again = dfget("hf://o/r", "-r", "-O", "again", "--json", **env)
            assert events(again)["task.finished"]["sources"].keys() == {"cache"}
        finally:
            node.end()


def test_a_disk_that_fills_up_in_the_middle_leaves_the_cache_whole(hub, here, tmp_path, dfget):
    disk = tmp_path / "node/data"
    disk.mkdir(parents=True, mode=0o700)
    with mounted(disk, "size=24m"):
        node = Node(tmp_path / "node").start()
        try:
            env = {"DFLY_SOCKET": str(node.socket)}
            assert dfget("hf://o/r/vocab.txt", "-O", "vocab", **env).code == 0
            (disk / "someone-elses").write_bytes(bytes(4 * MIB))
            hub.repo("o/big", {"model.bin": some_bytes(18 * MIB, 8)})
            hub.hold("model.bin", 4 * MIB)
            task = subprocess.Popen(
                [BIN / "dfget", "hf://o/big", "-r", "-O", "big", "--json"],
                env={**os.environ, **env},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert task.stdout is not None
            next(line for line in task.stdout if json.loads(line)["event"] == "bytes.arrived")
            with contextlib.suppress(OSError):
                (disk / "someone-elses").write_bytes(bytes(20 * MIB))
            hub.let_go()
            _, errors = task.communicate(timeout=60)
            assert task.returncode == 11, errors
            assert "the disk is full" in errors
            again = dfget("hf://o/r/vocab.txt", "-O", "again", "--json", **env)
            assert events(again)["task.finished"]["sources"].keys() == {"cache"}
            (disk / "someone-elses").unlink()
            assert dfget("hf://o/big", "-r", "-O", "big", **env).code == 0
        finally:
            node.end()


def test_a_read_only_data_directory_is_a_clear_error(hub, tmp_path):
    disk = tmp_path / "node/data"
    disk.mkdir(parents=True, mode=0o700)
    with mounted(disk, "size=1m,ro"):
        done = subprocess.run(
            [BIN / "dfdaemon", "--data-dir", disk, "--socket", tmp_path / "s/dfly.sock"],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 11
    assert "read-only" in done.stderr
    assert "Traceback" not in done.stderr


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "dfly-test", folder]).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_twenty_times_under_load_nothing_is_lost(node, hub, here, dfget):
    """At random moments, with tasks under way: no corrupt blob, no left-over, the quota kept, all tasks done."""
    import hashlib
    import random

    pick = random.Random(20)
    repos = {f"o/m{n}": {f"w{k}.bin": some_bytes(3 * MIB + k, 100 * n + k) for k in range(3)} for n in range(6)}
    for name, files in repos.items():
        hub.repo(name, files)
    hub.limit_rate(60 * MIB)
    node.end()
    node.argv = ("--cache-size", "64M")
    node.start()
    env = {**os.environ, "DFLY_SOCKET": str(node.socket)}
    for round_number in range(20):
        chosen = pick.sample(sorted(repos), 3)
        tasks = [
            (
                name,
                f"out{round_number}/{name[2:]}",
                subprocess.Popen(
                    [BIN / "dfget", f"hf://{name}", "-r", "-q", "-O", f"out{round_number}/{name[2:]}"],
                    env=env,
                    stderr=subprocess.PIPE,
                    text=True,
                ),
            )
            for name in chosen
        ]
        time.sleep(pick.uniform(0.2, 1.2))
        node.end(signal.SIGKILL)
        node.start()
        for name, output, task in tasks:
            _, errors = task.communicate(timeout=120)
            assert task.returncode == 0, errors
            assert tree(here / output) == repos[name]
        import shutil

        shutil.rmtree(here / f"out{round_number}")
    for name in repos:
        assert dfget(f"hf://{name}", "-r", "-q", "-O", f"last/{name[2:]}", DFLY_SOCKET=str(node.socket)).code == 0
    node.end()
    data = node.folder / "data"
    wanted = {hashlib.sha256(content).hexdigest() for files in repos.values() for content in files.values()}
    for meta in (data / "blobs").rglob("meta"):
        content = (meta.parent / "data").read_bytes()
        assert meta.parent.name == f"sha256-{hashlib.sha256(content).hexdigest()}"
        assert meta.parent.name[7:] in wanted
    assert len(list((data / "blobs").rglob("meta"))) == len(wanted)
    unfinished = [path for path in (data / "blobs").rglob("data") if not (path.parent / "meta").exists()]
    assert unfinished == []
    assert sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file()) <= 64 * MIB
    assert not (data / "quarantine").exists() or not list((data / "quarantine").iterdir())
