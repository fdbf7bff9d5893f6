"""A node daemon in this process over a hub in memory, and dfget's engine borrowing from it."""

import contextlib
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

import dfly
from dfly.config import Fetch, Joining, Patience
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend

MIB = 1 << 20
QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)


def some_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def until(holds, what="it did not come"):
    """What `holds` gives as soon as that is true."""
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {
    "config.json": b"{}",
    "model.bin": some_bytes(3 * MIB),
    "deep/copy.bin": some_bytes(3 * MIB),
    "other.bin": some_bytes(MIB + 7, 2),
    "empty": b"",
}


@pytest.fixture(autouse=True)
def here(here: Path) -> Path:
    """Each test of this folder has one."""
    return here


class Counting:
    """The reads of a memory hub's content, for a class made by `memory_backend`."""

    def __init__(self, backend) -> None:
        self.reads: list[str] = []
        self._lock = threading.Lock()
        before = backend.get

        def get(this, entry, start, stop):
            for chunk in before(this, entry, start, stop):
                self.reads.append(entry.path)
                with self._lock:
                    self.bytes += len(chunk)
                yield chunk

        self.bytes = 0
        backend.get = get

    def clear(self) -> None:
        self.reads.clear()
        self.bytes = 0


@pytest.fixture
def backend():
    return memory_backend({"tiny": FILES})


@pytest.fixture
def hub(backend) -> Counting:
    """What is asked of the hub's content."""
    return Counting(backend)


@pytest.fixture
def plugins(backend, hub) -> Plugins:
    return Plugins(extra=[backend])


@pytest.fixture
def data(tmp_path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(plugins, tmp_path, data):
    """Starts daemons; they stop when the test is over."""
    with contextlib.ExitStack() as stack:

        def make(**settings):
            place = settings.pop("data_dir", data)
            given = {
                "data_dir": str(place),
                "socket": str(tmp_path / "run" / "dfly.sock"),
                "patience": QUICK,
                "joining": Joining(interface="127.0.0.1"),
                "plugins": plugins,
                **settings,
            }
            chosen, notify = given.pop("plugins"), given.pop("notify", None)
            daemon = NodeDaemon(NodeConfig(**given), plugins=chosen, notify=notify)
            running = stack.enter_context(contextlib.ExitStack())
            where = running.enter_context(daemon.running())
            return Running(daemon, where, running)

        yield make


class Running:
    def __init__(self, daemon, where, running) -> None:
        self.daemon, self.where = daemon, where
        self._running = running

    def stop(self) -> None:
        self._running.close()

    def ask(self, path: str, **body):
        """The answer of the HTTP API on the socket."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=self.where.socket), timeout=60) as client:
            return client.post(f"http://node{path}", json=body) if body else client.get(f"http://node{path}")

    def rings(self) -> int:
        return self.ask("/v1/status").json()["rings"]


class Borrowing:
    """`dfly.fetch` with a daemon as lender; `events` are those of the last call."""

    def __init__(self, plugins, socket: str) -> None:
        self.plugins, self.lender = plugins, Daemon(socket)
        self.events: list = []

    def __call__(self, url, output=None, **given) -> dfly.Report:
        self.events = []
        given = {
            "patience": QUICK,
            "settings": Fetch(concurrency=4),
            "on_event": self.events.append,
            "plugins": self.plugins,
            "lender": self.lender,
            **given,
        }
        return dfly.fetch(url, output if output is None else str(output), **given)

    def quiet(self, url, output, **given) -> dfly.Report:
        """Without keeping events: for several threads."""
        given = {"patience": QUICK, "plugins": self.plugins, "lender": self.lender, **given}
        return dfly.fetch(url, output, **given)

    def quietly(self, url, output, **given) -> None:
        """One that may fail."""
        with contextlib.suppress(dfly.DflyError):
            self.quiet(url, output, **given)

    def named(self, name: str) -> list:
        return [event for event in self.events if event.name == name]


@pytest.fixture
def fetch(plugins, tmp_path) -> Borrowing:
    return Borrowing(plugins, str(tmp_path / "run" / "dfly.sock"))
