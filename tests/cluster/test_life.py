"""A cluster leaves nothing behind: not after an exception, not after Ctrl-C, not after kill -9."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfly.testing import netns
from dfly.testing.cluster import Cluster

Build = Callable[..., Cluster]
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
RUN = """
import signal, sys, time
# a shell gives what it runs in the background no Ctrl-C, and that is inherited
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from dfly.testing.cluster import Cluster
with Cluster(1, root=Path(sys.argv[1])) as cluster:
    print(cluster.nodes[0].popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
    time.sleep(600)
"""


def left_by(pid: int) -> list[str]:
    return [name for name in os.listdir(netns.NAMES) if name.startswith(f"dfly-{pid}-")]


def someone_else_s_cluster(root: Path) -> tuple["subprocess.Popen[str]", int]:
    """A cluster of another process; that process, and a pidfd of a process inside."""
    run = subprocess.Popen([sys.executable, "-c", RUN, str(root)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    return run, os.pidfd_open(int(run.stdout.readline()))


def has_ended(pidfd: int) -> bool:
    try:
        return bool(select.select([pidfd], [], [], 60)[0])
    finally:
        os.close(pidfd)


@pytest.mark.netns
def test_an_exception_leaves_no_namespace_and_no_process(tmp_path: Path) -> None:
    class Oops(Exception):
        pass

    cluster = Cluster(2, root=tmp_path, racks=[1, 1], thin=1e6)

    def fail() -> None:
        with cluster:
            cluster.nodes[0].popen(SLEEP)
            assert len(left_by(os.getpid())) == 5
            raise Oops

    with pytest.raises(Oops):
        fail()
    assert left_by(os.getpid()) == []
    assert [process.returncode for process in cluster.nodes[0].processes] == [-signal.SIGKILL]
    cluster.close()


@pytest.mark.netns
def test_a_process_that_left_its_group_is_killed_all_the_same(tmp_path: Path) -> None:
    with Cluster(1, root=tmp_path) as cluster:
        escape = f"import subprocess as s; print(s.Popen({SLEEP!r}, start_new_session=True, stdout=s.DEVNULL).pid)"
        pidfd = os.pidfd_open(int(cluster.nodes[0].python(escape)))
    assert has_ended(pidfd)


@pytest.mark.netns
def test_a_cluster_that_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rate"), Cluster(1, nic=-1.0, root=tmp_path):
        pass
    assert left_by(os.getpid()) == []


@pytest.mark.netns
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    run, pidfd = someone_else_s_cluster(tmp_path)
    with run:
        assert len(left_by(run.pid)) == 4
        run.send_signal(signal.SIGINT)
        run.wait(60)
    assert left_by(run.pid) == []
    assert has_ended(pidfd)


@pytest.mark.netns
def test_what_a_killed_run_left_is_swept_and_a_living_one_is_not_touched(tmp_path: Path, build: Build) -> None:
    build(1)
    run, pidfd = someone_else_s_cluster(tmp_path)
    with run:
        netns.sweep()
        assert len(left_by(run.pid)) == 4
        run.kill()
        run.wait(60)
    netns.sweep()
    assert left_by(run.pid) == []
    assert has_ended(pidfd)
    assert len(left_by(os.getpid())) == 4


@pytest.mark.netns
def test_a_process_that_enters_while_its_namespace_is_removed_is_killed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, late, batch = netns.new_prefix() + "late", [], netns.batch
    batch("ip", [f"netns add {name}"])

    def entered_first(*given: Any, **more: Any) -> None:
        late.append(subprocess.Popen(["ip", "netns", "exec", name, *SLEEP], stdout=subprocess.PIPE))
        assert late[0].stdout.readline() == b"up\n"
        batch(*given, **more)

    monkeypatch.setattr(netns, "batch", entered_first)
    netns.remove([name])
    assert left_by(os.getpid()) == []
    with late[0]:
        assert late[0].wait(60) == -signal.SIGKILL


def test_without_root_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert netns.requires_namespaces.__wrapped__() == "network namespaces need root"


def test_without_iproute2_the_reason_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install iproute2" in str(netns.requires_namespaces.__wrapped__())
