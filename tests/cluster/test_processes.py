"""Processes of a cluster: started, stopped, accounted for, and with nothing of ours that they should not have."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dfly.testing.cluster import Cluster
from dfly.testing.process import Process

Build = Callable[..., Cluster]
WAIT = [sys.executable, "-c", "import signal; signal.pause()"]


def start(tmp_path: Path, code: str) -> Process:
    return Process([sys.executable, "-c", code], log=tmp_path / "log", env=os.environ, cwd=tmp_path)


def test_cpu_and_memory_are_those_of_the_child(tmp_path: Path) -> None:
    work = "import signal, time\nx = b'x' * (100 << 20)\nwhile time.process_time() < 0.1: pass\n"
    process = start(tmp_path, work + "print('done', flush=True); signal.pause()")
    deadline = time.monotonic() + 60
    while "done" not in process.tail():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 100 << 20 < process.usage.peak_memory < 8 << 30
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert process.usage.cpu >= 0.1
    assert 100 << 20 < process.usage.peak_memory < 8 << 30


def test_usage_can_be_read_while_it_runs(tmp_path: Path) -> None:
    process = start(tmp_path, "import signal; signal.pause()")
    assert process.usage.peak_memory > 0
    assert process.returncode is None
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    process.kill()


def test_output_and_errors_go_to_their_files(tmp_path: Path) -> None:
    process = start(tmp_path, "import sys; print('out', flush=True); sys.exit('wrong')")
    assert process.wait(60) == 1
    assert process.tail().split() == ["out", "wrong"]


def test_waiting_is_bounded(tmp_path: Path) -> None:
    process = start(tmp_path, "import signal; signal.pause()")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0)
    process.kill(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.netns
def test_a_host_is_paused_and_goes_on(build: Build) -> None:
    node = build(1).nodes[0]
    process = node.popen(WAIT)
    node.pause()
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    node.resume()
    os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOWAIT)
    node.kill(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM


@pytest.mark.netns
def test_waiting_for_a_server_that_died_says_why(build: Build) -> None:
    hub = build(1).hub
    process = hub.popen([sys.executable, "-c", "raise SystemExit('no such repository')"])
    with pytest.raises(RuntimeError, match="no such repository"):
        hub.wait_until_listening(8000, process=process)


@pytest.mark.netns
def test_a_failed_command_carries_its_errors(build: Build) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        build(1).hub.python("import sys; print('some'); sys.exit('wrong')")
    assert caught.value.output.strip() == "some"
    assert caught.value.stderr.strip() == "wrong"


@pytest.mark.netns
def test_proxies_and_tokens_stay_here(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("KEPT", "yes")
    seen = build(1).hub.python(
        "import os; print(os.environ.get('HTTPS_PROXY'), 'HF_TOKEN' in os.environ, os.environ['KEPT'])"
    )
    assert seen.split() == ["None", "False", "yes"]


@pytest.mark.netns
def test_the_cluster_s_usage_is_that_of_all_its_processes(build: Build) -> None:
    cluster = build(2)
    for node in cluster.nodes:
        node.python("import time\nwhile time.process_time() < 0.05: pass")
    assert cluster.usage().cpu >= 0.1
