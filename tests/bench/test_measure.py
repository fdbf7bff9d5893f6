"""Measured commands: their own time and memory, and no silence about failure."""

import os
import sys
from pathlib import Path

import pytest
from bench.measure import CommandFailed, measure


def test_memory_is_the_command_s_and_not_the_benchmark_s(tmp_path: Path) -> None:
    ballast = b"x" * (200 << 20)
    small = measure(["true"], env=os.environ, cwd=tmp_path)
    large = measure([sys.executable, "-S", "-c", "x = b'x' * (50 << 20)"], env=os.environ, cwd=tmp_path)
    assert len(ballast) > 100 << 20 > large["peak_memory"] > 50 << 20 > small["peak_memory"]


def test_a_failure_carries_what_the_command_said(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no such model"):
        measure([sys.executable, "-c", "raise SystemExit('no such model')"], env=os.environ, cwd=tmp_path)


def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    fd = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    hang = "import signal; f = open('alive', 'w'); print('up', file=f, flush=True); signal.pause()"
    with pytest.raises(CommandFailed, match="took more than"):
        measure([sys.executable, "-S", "-c", hang], env=os.environ, cwd=tmp_path, timeout=0.3)
    with open(fd) as alive:
        os.set_blocking(fd, True)
        assert alive.read() in ("up\n", "")  # ends only when nobody holds the other end
