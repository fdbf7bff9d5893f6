"""A whole swarm in one process, over real sockets: a seed peer, and nodes that are `dfly.fetch` in threads.

    with small_swarm(tmp_path, plugins=Plugins()) as swarm:
        for node in swarm.several(4, "gopher://hole"):
            node.done()
        assert swarm.stats()["hub_bytes"] == size

`Telling` is one of the installed commands as a process, for what must be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import httpx

import dfly
from dfly.config import Joining
from dfly.events import Event
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.lent import QUICK
from dfly.wire import Ask, Resolved
from dfly.wire import Report as Told

#: Seconds after which a test that waits has failed.
LONG_ENOUGH = 60.0


@contextlib.contextmanager
def small_swarm(folder: Path, *, plugins: Plugins, data: str = "seed", **settings: Any) -> Iterator[Swarm]:
    """A seed peer with its data in `folder`, until the block ends; `settings` are `SeedPeerConfig`'s.

    A branch is asked for anew by each node unless `revision_ttl` says otherwise.
    """
    settings = {"patience": QUICK, "revision_ttl": 0.0, **settings}
    config = SeedPeerConfig(data_dir=str(folder / data), listen=("127.0.0.1", 0), **settings)
    with SeedPeer(config, plugins=plugins).running() as url:
        swarm = Swarm(url=url, plugins=plugins, folder=folder)
        try:
            yield swarm
        finally:
            swarm.end()


class Swarm:
    """The seed peer at `url`, and the nodes that a test starts."""

    def __init__(self, *, url: str, plugins: Plugins, folder: Path) -> None:
        self.url, self._plugins, self._folder = url, plugins, folder
        self.nodes: list[Node] = []
        self._processes: list[Telling] = []

    def node(self, source: str, name: str | None = None, **given: Any) -> Node:
        """Start one; options are those of `dfly.fetch`, and of `Joining` below `joining`."""
        output = given.pop("output", None) or self._folder / (name or f"node{len(self.nodes)}")
        joining = attrs.evolve(Joining(seed_peers=(self.url,)), **given.pop("joining", {}))
        given = {"recursive": True, "plugins": self._plugins, "patience": QUICK, **given}
        node = Node(source, output, joining=joining, **given)
        self.nodes.append(node)
        return node

    def several(self, count: int, source: str, **given: Any) -> list[Node]:
        """Start so many at once."""
        return [self.node(source, **given) for _ in range(count)]

    def process(self, source: str, output: Path, *argv: object, **env: str) -> Telling:
        """Start one as `dfget --json` in a process of its own; `env` is over this process's environment."""
        argv = (source, "-O", output, "-r", "--json", "--no-back-to-source", "--seed-peer", self.url, *argv)
        self._processes.append(Telling("dfget", *argv, env={**os.environ, **env}))
        return self._processes[-1]

    def end(self) -> None:
        """Stop what still runs."""
        for node in self.nodes:
            node.cancel.set()
        for process in self._processes:
            process.end()

    @contextlib.contextmanager
    def mute(self, source: str) -> Iterator[Callable[..., Any]]:
        """A member of the ring of `source` that has nothing, takes nothing, and says only what it is told to."""
        with httpx.Client(base_url=self.url, trust_env=False, timeout=LONG_ENOUGH) as client:
            answer = client.post("/v1/snapshots", content=Ask(url=source, recursive=True).encode())
            task = Resolved.decode(answer.content).task
            query = {"node": "mute", "port": "1"}
            with client.stream("GET", f"/v1/snapshots/{task}/events", params=query) as stream:
                lines = stream.iter_lines()  # kept: the stream ends with it
                next(lines)
                yield lambda **told: client.post(
                    f"/v1/snapshots/{task}/report", content=Told(node="mute", **told).encode()
                ).raise_for_status()

    def stats(self) -> dict[str, Any]:
        """What the seed peer tells of itself."""
        found: dict[str, Any] = httpx.get(f"{self.url}/v1/stats", trust_env=False, timeout=LONG_ENOUGH).json()
        return found

    def sent(self) -> int:
        """Bytes of content that the seed peer has sent."""
        return int(self.stats()["egress"].get("web seed", 0))

    def members(self) -> int:
        """Nodes in the rings of all tasks."""
        return sum(task["members"] for task in self.stats()["tasks"])

    def await_members(self, count: int) -> None:
        """Wait until so many nodes are there, so that none of them is done before the last has come."""
        deadline = time.monotonic() + LONG_ENOUGH
        while (there := self.members()) < count:
            assert time.monotonic() < deadline, f"{there} nodes have come"
            time.sleep(0.02)


class Node:
    """`dfly.fetch` in a thread, from `source` to `output`; `given` are its other arguments."""

    def __init__(self, source: str, output: Path | str, **given: Any) -> None:
        self.output = Path(output)
        self.events: list[Event] = []
        self.cancel = threading.Event()
        self._heard = threading.Condition()
        self._report: dfly.Report | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(source, given), daemon=True)
        self._thread.start()

    def _run(self, source: str, given: Mapping[str, Any]) -> None:
        try:
            self._report = dfly.fetch(source, str(self.output), on_event=self._hear, cancel=self.cancel, **given)
        except Exception as error:  # noqa: BLE001 - it is raised where the end is awaited
            self._error = error

    def _hear(self, event: Event) -> None:
        with self._heard:
            self.events.append(event)
            self._heard.notify_all()

    def until(self, name: str, count: int = 1) -> None:
        """Wait until so many events of that name were heard."""
        with self._heard:
            heard = self._heard.wait_for(lambda: len(self.named(name)) >= count, timeout=LONG_ENOUGH)
        assert heard, f"no {name}; heard {self.events[-5:]}, {self._error!r}"

    def named(self, name: str) -> list[Any]:
        """The events of that name so far."""
        return [event for event in self.events if event.name == name]

    @property
    def warnings(self) -> list[str]:
        """What it was warned of so far."""
        return [event.message for event in self.named("warning")]

    def done(self) -> dfly.Report:
        """Wait for the end. Raises what the node raised."""
        self._thread.join(LONG_ENOUGH)
        assert not self._thread.is_alive(), f"still running; heard {self.events[-5:]}"
        if self._error is not None:
            raise self._error
        assert self._report is not None
        return self._report

    def error(self) -> dfly.DflyError:
        """Wait for the end, which is an error."""
        try:
            self.done()
        except dfly.DflyError as error:
            return error
        raise AssertionError("the node ended well")


class Telling(subprocess.Popen[str]):
    """An installed command (`dfget`, `dfdaemon`) that prints a line for what happens; lines are read as they come."""

    def __init__(self, command: str, *argv: object, env: Mapping[str, str]) -> None:
        super().__init__(
            [str(Path(sys.executable).parent / command), *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=dict(env),
        )

    def lines_until(self, wanted: Callable[[str], bool]) -> list[str]:
        """Read lines up to one that is wanted."""
        assert self.stdout is not None
        seen = []
        for line in self.stdout:
            seen.append(line)
            if wanted(line):
                return seen
        raise AssertionError(f"{self.args!r} ended after {seen}")

    def until(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Read the events of `--json` up to one of that name in which `fields` have these values."""

        def is_it(line: str) -> bool:
            said = json.loads(line)
            return said["event"] == event and all(said.get(name) == value for name, value in fields.items())

        return [json.loads(line) for line in self.lines_until(is_it)]

    def rest(self) -> list[dict[str, Any]]:
        """Read events to the end."""
        assert self.stdout is not None
        return [json.loads(line) for line in self.stdout]

    def end(self) -> None:
        """Kill it, if it still runs; and what it said is gone."""
        self.kill()
        self.communicate()


def tree(folder: Path | str) -> dict[str, bytes]:
    """Every file below a folder, hidden ones included."""
    folder = Path(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
