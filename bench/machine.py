"""The machine under a benchmark: what it is, and how much of its CPU was used, so that a starved run shows."""

import contextlib
import os
import platform
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs

#: A run that used more of the machine's CPU measured the machine, not the network.
MOST_CPU = 0.8


def facts() -> dict[str, Any]:
    """What a reader must know to compare results."""
    model = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    congestion = _lines("/proc/sys/net/ipv4/tcp_congestion_control")
    return {
        "cpus": os.cpu_count(),
        "cpu": model[0] if model else platform.machine(),
        "memory": int(memory[0]) * 1024 if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "congestion_control": congestion[0] if congestion else None,
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@attrs.frozen
class CpuReading:
    """`busy` of `total` core-seconds since boot. Time stolen by the host counts as busy: it was not ours."""

    time: float
    busy: float
    total: float


class _Meter(ABC):
    """A context manager that looks every `interval` seconds, in a thread of its own, and once more at the end."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def look(self) -> None:
        """Take a reading."""

    def __enter__(self) -> Self:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.look()


class CpuMeter(_Meter):
    """Reads the machine's CPU time."""

    def __init__(self, interval: float = 0.5) -> None:
        super().__init__(interval)
        self.readings: list[CpuReading] = []

    def look(self) -> None:
        """Take a reading."""
        self.readings.append(read_cpu())


def read_cpu() -> CpuReading:
    """All CPUs of the machine together, now."""
    ticks = [int(number) for number in _lines("/proc/stat")[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return CpuReading(time.time(), (sum(ticks) - idle) / second, sum(ticks) / second)


class ThreadMeter(_Meter):
    """Reads the CPU time of every thread of some processes. One that ends between two readings keeps what it had at the last."""

    def __init__(self, pids: Callable[[], Iterable[int]], interval: float = 0.25) -> None:
        super().__init__(interval)
        self._pids = pids
        self._seen: dict[int, dict[int, float]] = {}

    def of(self, pid: int) -> list[float]:
        """Core-seconds of each thread of a process, the busiest first."""
        return sorted(self._seen.get(pid, {}).values(), reverse=True)

    def look(self) -> None:
        """Take a reading."""
        for pid in self._pids():
            self._seen.setdefault(pid, {}).update(read_threads(pid))


def read_threads(pid: int) -> dict[int, float]:
    """Core-seconds of each thread of a process by its id, now; nothing where it is gone."""
    second, found = os.sysconf("SC_CLK_TCK"), {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            fields = (task / "stat").read_text().rpartition(")")[2].split()
            found[int(task.name)] = (int(fields[11]) + int(fields[12])) / second
    return found
