"""Time, CPU and peak memory of one command.

The kernel counts into a child's peak memory that of the process which forked it, so the command is not started by the
benchmark but by this file run as a script: a bare interpreter of some 9 MB, which is the floor of what can be told.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailed(RuntimeError):
    """A measured command ended with an error or ran out of time; the message holds the end of what it printed."""


def measure(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float = 600.0) -> dict[str, float]:
    """Run `argv` alone: `seconds`, `cpu` (user and system seconds), `peak_memory` (bytes). Raises `CommandFailed`."""
    with tempfile.NamedTemporaryFile("r") as result, tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, "-S", "-E", __file__, result.name, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        text = result.read()
        seen: dict[str, float] = json.loads(text) if text else {}
        if seen.pop("code", None) != 0:
            output.seek(0)
            tail = output.read()[-2000:].decode(errors="replace")
            raise CommandFailed(f"{' '.join(argv)} failed or took more than {timeout:g} s:\n{tail}")
        return seen


def _child(result: str, argv: Sequence[str]) -> None:
    start = time.perf_counter()
    pid = os.posix_spawnp(argv[0], list(argv), os.environ)
    _, status, used = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    figures = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "peak_memory": used.ru_maxrss * 1024,
    }
    with open(result, "w") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    _child(sys.argv[1], sys.argv[2:])
