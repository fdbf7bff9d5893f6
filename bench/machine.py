"""The machine under a benchmark: what it is, and how much of its CPU was used, so that a starved run shows."""

import os
import platform
import threading
import time
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


class CpuMeter:
    """A context manager that reads the machine's CPU time every `interval` seconds."""

    def __init__(self, interval: float = 0.5) -> None:
        self.readings: list[CpuReading] = []
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cpu", daemon=True)

    def __enter__(self) -> Self:
        self.readings.append(read_cpu())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.readings.append(read_cpu())

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.readings.append(read_cpu())


def read_cpu() -> CpuReading:
    """All CPUs of the machine together, now."""
    ticks = [int(number) for number in _lines("/proc/stat")[0].split()[1:9]]
    second = os.sysconf("SC_CLK_TCK")
    idle = ticks[3] + ticks[4]
    return CpuReading(time.time(), (sum(ticks) - idle) / second, sum(ticks) / second)
