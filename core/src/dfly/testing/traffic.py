"""What crosses each link of a cluster, read at the switch: totals, and a time series taken by a thread.

Counted are the Ethernet frames that passed: payload is some 4 % less, and what the shaper dropped is not in it.
"""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import IO, Self

import attrs

from dfly.testing import netns


@attrs.frozen
class Traffic:
    """Bytes that a host has received (`into`) and sent (`out`) since it was made."""

    into: int = 0
    out: int = 0


@attrs.frozen
class Sample:
    """All links at one moment (`time` in Unix seconds)."""

    time: float
    links: dict[str, Traffic]


class Counters:
    """The interface counters of the namespace `switch`, whose `ports` have the names of what is behind them."""

    def __init__(self, switch: str, ports: Sequence[str]) -> None:
        self._ports = frozenset(ports)
        self._file: IO[str] = netns.call(switch, lambda: open("/proc/thread-self/net/dev"))  # noqa: SIM115 - see close
        self._lock = threading.Lock()

    def read(self) -> Sample:
        """One reading of every port."""
        with self._lock:
            self._file.seek(0)
            rows = [line.partition(":") for line in self._file.readlines()[2:]]
        links = {}
        for name, _, numbers in rows:
            column = numbers.split()
            if name.strip() in self._ports:  # and what the port receives is what the host behind it sends
                links[name.strip()] = Traffic(into=int(column[8]), out=int(column[0]))
        return Sample(time.time(), links)

    def close(self) -> None:
        """Let go of the namespace, which lives as long as the file is open."""
        with self._lock:
            self._file.close()


class LinkUse:
    """A context manager that takes a `Sample` every `interval` seconds into `samples`, and one at each end."""

    def __init__(self, counters: Counters, interval: float) -> None:
        self.samples: list[Sample] = []
        self._counters = counters
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link use", daemon=True)

    def __enter__(self) -> Self:
        self.samples.append(self._counters.read())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.samples.append(self._counters.read())

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.samples.append(self._counters.read())
            except ValueError:  # the cluster closed the file under us
                return
