"""A real seed peer, real nodes in threads and in processes, and hubs that count."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import httpx
import pytest

import dfly
from dfly.config import Joining, Patience
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer, SeedPeerConfig
from dfly.wire import Ask, Report, Resolved
from dfly_hf.testing import FixtureHub

from .origin import Origin

QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)
BIN = Path(sys.executable).parent
LONG_ENOUGH = 30.0
_OTHERS = ("HF_", "HUGGING", "TRANSFORMERS_", "DFLY_", "AWS_", "MODELSCOPE_")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path) -> None:
    """An own current directory, and nobody's tokens, endpoints and proxies."""
    for name in list(os.environ):
        if name.startswith(_OTHERS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(monkeypatch):
    """A Hugging Face Hub on loopback, for this process and those it starts."""
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


class Swarm:
    """One seed peer and the nodes that a test starts, in threads of this process."""

    def __init__(self, *, url, plugins, folder) -> None:
        self.url, self._plugins, self._folder = url, plugins, folder
        self.nodes = []

    def node(self, source, name=None, **given) -> "Node":
        """Start one; options are those of `dfly.fetch`, and of `Joining` below `joining`."""
        output = given.pop("output", None) or self._folder / (name or f"node{len(self.nodes)}")
        joining = attrs.evolve(Joining(seed_peers=(self.url,)), **given.pop("joining", {}))
        given = {"recursive": True, "plugins": self._plugins, "patience": QUICK, **given}
        node = Node(source, output, joining=joining, **given)
        self.nodes.append(node)
        return node

    def several(self, count, source, **given) -> list["Node"]:
        return [self.node(source, **given) for _ in range(count)]

    @contextlib.contextmanager
    def mute(self, source):
        """A member of the ring of `source` that has nothing, takes nothing, and says only what `say` is told to."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=LONG_ENOUGH) as client:
            answer = client.post("/v1/snapshots", content=Ask(url=source, recursive=True).encode())
            task = Resolved.decode(answer.content).task
            query = {"node": "mute", "port": "1"}
            with client.stream("GET", f"/v1/snapshots/{task}/events", params=query) as stream:
                next(stream.iter_lines())
                yield lambda **told: client.post(
                    f"/v1/snapshots/{task}/report", content=Report(node="mute", **told).encode()
                ).raise_for_status()

    def stats(self) -> dict:
        return httpx.get(f"{self.url}/v1/stats", trust_env=False).json()

    def sent(self) -> int:
        """Bytes of content that the seed peer has sent."""
        return self.stats()["egress"].get("web seed", 0)

    def members(self) -> int:
        """Nodes in the rings of all tasks."""
        return sum(task["members"] for task in self.stats()["tasks"])


class Node:
    """`dfly.fetch` in a thread."""

    def __init__(self, source, output, **given) -> None:
        self.output = Path(output)
        self.events: list[dfly.Event] = []
        self.cancel = threading.Event()
        self._heard = threading.Condition()
        self._report = self._error = None
        self._thread = threading.Thread(target=self._run, args=(source, given), daemon=True)
        self._thread.start()

    def _run(self, source, given) -> None:
        try:
            self._report = dfly.fetch(source, str(self.output), on_event=self._hear, cancel=self.cancel, **given)
        except Exception as error:
            self._error = error

    def _hear(self, event) -> None:
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def until(self, name, count=1) -> None:
        """Wait until so many events of that name were heard."""
        with self._heard:
            heard = self._heard.wait_for(lambda: len(self.named(name)) >= count, timeout=LONG_ENOUGH)
        assert heard, f"no {name}; heard {self.events[-5:]}, {self._error!r}"

    def named(self, name) -> list:
        return [event for event in self.events if event.name == name]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.named("warning")]

    def done(self) -> dfly.Report:
        """Wait for the end. Raises what the node raised."""
        self._thread.join(LONG_ENOUGH)
        assert not self._thread.is_alive(), f"still running; heard {self.events[-5:]}"
        if self._error is not None:
            raise self._error
        return self._report

    def error(self) -> dfly.DflyError:
        """Wait for the end, which is an error."""
        with pytest.raises(dfly.DflyError) as raised:
            self.done()
        return raised.value


@pytest.fixture
def swarm(tmp_path):
    """Start a seed peer: `swarm()` for the plugins that are installed, `swarm(origin)` for an origin in memory."""
    with contextlib.ExitStack() as stack:

        def start(origin=None, *, data="seed", **settings) -> Swarm:
            plugins = Plugins(extra=[origin.backend]) if origin else Plugins()
            settings = {"patience": QUICK, "revision_ttl": 0.0, **settings}
            config = SeedPeerConfig(data_dir=str(tmp_path / data), listen=("127.0.0.1", 0), **settings)
            url = stack.enter_context(SeedPeer(config, plugins=plugins).running())
            if origin:
                stack.callback(origin.let_go)
            running = Swarm(url=url, plugins=plugins, folder=tmp_path)
            stack.callback(lambda: [node.cancel.set() for node in running.nodes])
            return running

        yield start


@pytest.fixture
def origin():
    """Make an origin in memory; see `Origin`."""
    return Origin


class Process(subprocess.Popen):
    """A command that prints a line for what happens; `lines` are read as they come."""

    def lines_until(self, wanted) -> list[str]:
        seen = []
        for line in self.stdout:
            seen.append(line)
            if wanted(line):
                return seen
        raise AssertionError(f"{self.args} ended after {seen}")

    def until(self, event) -> list[dict]:
        """Read events up to one of that name."""
        return [json.loads(line) for line in self.lines_until(lambda line: json.loads(line)["event"] == event)]

    def rest(self) -> list[dict]:
        """Read events to the end."""
        return [json.loads(line) for line in self.stdout]


@pytest.fixture
def start():
    """Start processes, which are killed at the end of the test: `start("dfget", …)`."""
    started = []

    def begin(command, *argv, **env) -> Process:
        process = Process(
            [str(BIN / command), *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **env},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def seed_process(start, tmp_path):
    """A seed peer as a process of its own; gives the process and its URL."""

    def begin(*argv, data="seed-process", listen="127.0.0.1:0") -> tuple[Process, str]:
        process = start("dfdaemon", "--seed-peer", "--listen", listen, "--data-dir", tmp_path / data, *argv)
        line = process.lines_until(lambda line: "seed peer at" in line)[-1]
        return process, line.split()[-1]

    return begin
