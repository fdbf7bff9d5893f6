"""dfget: run in this process, or started as its users start it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dfly.testing.commands import Outcome, run_here

COMMAND = str(Path(sys.executable).parent / "dfget")


class Dfget:
    """Runs dfget."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._started: list[subprocess.Popen] = []

    def __call__(self, *argv: object, **env: str) -> Outcome:
        """In this process, with these variables in its environment."""
        return run_here("dfget", *argv, captured=self._captured, **env)

    def installed(self, *argv: object, **env: str) -> Outcome:
        """As its user does."""
        process = self.start(*argv, **env)
        out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out.decode(), err.decode())

    def start(self, *argv: object, **env: str) -> subprocess.Popen:
        """As its user does, to be killed or looked at meanwhile."""
        process = subprocess.Popen(
            [COMMAND, *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "100", **env},
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
