"""A child process with its own group, its log in a file, and an account of what it cost.

Why not `subprocess.Popen` alone: it throws away the resource usage that the kernel hands out when a child is reaped.
Here a thread reaps with `wait4`, so CPU time is exact. Peak memory is looked at meanwhile: the kernel's own account of it at
the end begins with the peak of the process that forked, and a test runner has seen large things.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds between two looks at a process's peak memory.
LOOK = 0.05


@attrs.frozen(kw_only=True)
class Usage:
    """CPU seconds of a process and the children it waited for; the process's own peak of resident memory in bytes.

    Of one that lived for less than `LOOK` seconds the peak may be that of the process that forked it.
    """

    user: float
    system: float
    peak_memory: int

    @property
    def cpu(self) -> float:
        """User and system seconds together."""
        return self.user + self.system


class Process:
    """A running command. Standard output goes to `out` (`log` where None), the errors to `log`; both grow."""

    def __init__(
        self, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path, out: Path | None = None
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        self.out = out or log
        self.started = time.time()
        #: Unix time at which it was reaped; None while it runs.
        self.ended: float | None = None
        self._usage: Usage | None = None
        #: The highest peak memory that a look has seen, in bytes.
        self._peak = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        with self.log.open("ab") as errors, self.out.open("ab") as output:
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        threading.Thread(target=self._reap, name=f"reap {self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Also the id of its process group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the signal's number where one ended it, None while it runs."""
        return self._popen.returncode

    @property
    def usage(self) -> Usage:
        """Until now while it runs, in total afterwards."""
        return self._usage or self._look() or self._usage_after_end()

    def wait(self, timeout: float) -> int:
        """The exit code; raises `subprocess.TimeoutExpired` after `timeout` seconds."""
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(self.argv, timeout)
        assert self._popen.returncode is not None
        return self._popen.returncode

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Send `sig` to the whole process group; nothing happens once it is over."""
        with self._lock:
            if self._popen.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, sig)

    def pause(self) -> None:
        """Stop it where it is; its sockets stay open and silent."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self.kill(signal.SIGCONT)

    def tail(self, size: int = 2000) -> str:
        """The end of the log, for messages."""
        return self.log.read_text(errors="replace")[-size:]

    def _reap(self) -> None:
        self._watch()
        with self._lock:
            _, status, used = os.wait4(self.pid, 0)
            memory = self._peak or used.ru_maxrss * 1024
            self._usage = Usage(user=used.ru_utime, system=used.ru_stime, peak_memory=memory)
            self.ended = time.time()
            self._popen.returncode = os.waitstatus_to_exitcode(status)
        self._over.set()

    def _watch(self) -> None:
        """Look until it has ended. Not reaped: the zombie keeps its pid from a stranger."""
        ended = select.poll()
        descriptor = os.pidfd_open(self.pid)
        try:
            ended.register(descriptor, select.POLLIN)
            while not ended.poll(LOOK * 1000):
                self._look()
        finally:
            os.close(descriptor)

    def _look(self) -> Usage | None:
        usage = _live_usage(self.pid)
        if usage is not None:
            self._peak = max(self._peak, usage.peak_memory)
        return usage

    def _usage_after_end(self) -> Usage:
        self.wait(60)
        assert self._usage is not None
        return self._usage


def _live_usage(pid: int) -> Usage | None:
    """From /proc; without children that still run. None where it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    if peak is None:
        return None
    user, system = (int(fields[i]) + int(fields[i + 2]) for i in (11, 12))
    return Usage(user=user / _TICKS, system=system / _TICKS, peak_memory=int(peak.group(1)) * 1024)
