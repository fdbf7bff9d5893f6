"""One machine of a cluster: a network namespace, its NIC, and the processes that run in it."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from dfly.testing import netns
from dfly.testing.process import Process
from dfly.testing.traffic import Counters, Traffic

T = TypeVar("T")
_ESTABLISHED, _LISTEN = "01", "0A"  # as /proc/net/tcp writes them
_NOT_INHERITED = ("_proxy", "_token")


class Host:
    """One machine of a cluster: a namespace with one NIC, `eth0`, at `address`. Processes start in `directory`."""

    def __init__(self, *, name: str, address: str, rack: int, prefix: str, directory: Path) -> None:
        self.name = name
        self.address = address
        self.rack = rack
        self.netns = prefix + name
        self.switch = prefix + "switch"
        self.directory = directory
        self.processes: list[Process] = []
        self._rate: float | None = None
        self._counters: Counters | None = None

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address}>"

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
        out: Path | None = None,
    ) -> Process:
        """Start a command. Its environment is ours with `env` on top, less proxies and tokens.

        Output goes to `out` if given, all else to `log`, by default a new file in `directory`.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith(_NOT_INHERITED)}
        process = Process(
            ["ip", "netns", "exec", self.netns, *argv],
            log=log or self.directory / f"{len(self.processes)}.log",
            out=out,
            env=inherited | dict(env or {}),
            cwd=self.directory,
        )
        self.processes.append(process)
        return process

    def run(self, argv: Sequence[str], *, timeout: float = 60.0) -> str:
        """What a command prints. Raises `subprocess.CalledProcessError` (with stderr) or `TimeoutExpired`."""
        process = self.popen(argv, out=self.directory / f"{len(self.processes)}.out")
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        output = process.out.read_text(errors="replace")
        if code:
            raise subprocess.CalledProcessError(code, process.argv, output, process.tail())
        return output

    def python(self, code: str, *args: str, timeout: float = 60.0) -> str:
        """What a few lines of Python print here."""
        return self.run([sys.executable, "-c", code, *args], timeout=timeout)

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` of this process with this host's network (in a thread of its own)."""
        return netns.call(self.netns, function)

    def get(self, url: str, *, timeout: float = 60.0) -> bytes:
        """The body of an HTTP GET made from this host."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def read() -> bytes:
            with opener.open(url, timeout=timeout) as response:
                return bytes(response.read())

        return self.call(read)

    def wait_until_listening(self, port: int, *, process: Process | None = None, timeout: float = 60.0) -> None:
        """Return once TCP `port` is listened on. Raises `TimeoutError`, or `RuntimeError` where `process` ended."""
        deadline = time.monotonic() + timeout
        while not self._sockets(port, _LISTEN):
            if process is not None and process.returncode is not None:
                raise RuntimeError(f"{' '.join(process.argv)} ended with {process.returncode}:\n{process.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing listens on port {port} of {self.name} after {timeout:g} s")
            time.sleep(0.02)

    def clients(self, port: int) -> set[str]:
        """Addresses with an open TCP connection to `port` of this host (hexadecimal, as the kernel writes them)."""
        return {remote.partition(":")[0] for remote in self._sockets(port, _ESTABLISHED)}

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Send a signal to everything started here."""
        for process in self.processes:
            process.kill(sig)

    def pause(self) -> None:
        """SIGSTOP everything started here: connections stay open and silent."""
        self.kill(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self.kill(signal.SIGCONT)

    def cut(self) -> None:
        """Pull the cable at the switch: no packet passes, and nobody is told."""
        netns.batch("ip", [f"link set dev {self.name} down"], netns=self.switch)

    def mend(self) -> None:
        """Plug the cable back in."""
        netns.batch("ip", [f"link set dev {self.name} up"], netns=self.switch)

    def set_rate(self, rate: float | None) -> None:
        """Shape the link, both ways, to `rate` bytes/s; None lifts the limit. Works at any time."""
        if rate is None and self._rate is None:
            return
        netns.batch("tc", [shape("eth0", rate)], netns=self.netns)
        netns.batch("tc", [shape(self.name, rate)], netns=self.switch)
        self._rate = rate

    def traffic(self) -> Traffic:
        """Bytes in and out so far."""
        assert self._counters is not None
        return self._counters.read().links[self.name]

    def bytes_in(self) -> int:
        """Bytes received so far, headers included."""
        return self.traffic().into

    def bytes_out(self) -> int:
        """Bytes sent so far, headers included."""
        return self.traffic().out

    def connect(self, counters: Counters) -> None:
        """Where to read this host's traffic; called by the cluster."""
        self._counters = counters

    def _sockets(self, port: int, state: str) -> list[str]:
        """Remote addresses of the TCP sockets in `state` on local `port`."""

        def read() -> list[str]:
            tables = [Path(f"/proc/thread-self/net/{name}") for name in ("tcp", "tcp6")]
            return [line for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]

        rows = [line.split() for line in self.call(read)]
        return [row[2] for row in rows if row[3] == state and int(row[1].rpartition(":")[2], 16) == port]


def shape(interface: str, rate: float | None) -> str:
    """The `tc` line that limits what leaves `interface` to `rate` bytes/s."""
    if rate is None:
        return f"qdisc del dev {interface} root"
    if rate < 1000:
        raise ValueError(f"a link's rate is bytes/s, at least 1000, not {rate:g}")
    # The burst must hold a whole 64 KiB offload packet, else the kernel cuts each one up, at our CPU's expense.
    burst = max(96 << 10, int(rate / 250))
    return f"qdisc replace dev {interface} root tbf rate {int(rate)}bps burst {burst} latency 30ms"
