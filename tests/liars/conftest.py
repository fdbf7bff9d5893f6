"""A real seed peer over a hub in memory, honest nodes, and dishonest ones, each at a loopback address of its own."""

import hashlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import attrs
import httpx
import pytest
import structlog

from dfly.config import Fetch, Joining
from dfly.events import Event
from dfly.layout import MIB, Layout
from dfly.node.fetch import fetch
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.liars import Corrupt, Liar, Silent
from dfly.testing.memory import MemoryBackend, memory_backend

AnyLiar = TypeVar("AnyLiar", bound=Liar)

PATIENCE = 60.0
FILE = "model.bin"


def content_of(size: int) -> bytes:
    """The same bytes every time."""
    return random.Random(size).randbytes(size)


class Node:
    """An honest node: `dfly.fetch` in a thread, at `address`."""

    def __init__(self, world: "World", address: str, output: Path, **joining: Any) -> None:
        self.address, self.output = address, output
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.on_event: Callable[[Event], None] = lambda event: None
        self._news = threading.Condition()
        self._cancel = threading.Event()
        self._joining = Joining(
            seed_peers=(world.url,), interface=address, back_to_source=False, **{"seed_time": 30.0, **joining}
        )
        self._world = world
        self._thread = threading.Thread(target=self._run, name=f"node {address}")
        self._thread.start()

    def _run(self) -> None:
        try:
            fetch(
                f"memory://repo/{FILE}",
                str(self.output),
                joining=self._joining,
                plugins=self._world.plugins,
                on_event=self._take,
                cancel=self._cancel,
            )
        except BaseException as error:
            self.error = error
        with self._news:
            self._news.notify_all()

    def _take(self, event: Event) -> None:
        self.on_event(event)
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for event in self.events:
                    if wanted(event):
                        return event
                if not self._thread.is_alive() or time.monotonic() > deadline:
                    raise AssertionError(
                        f"{self.address}: did not happen; {self.error!r} {self.said()} {self.events[-4:]}"
                    )
                self._news.wait(0.5)

    def wait_done(self) -> None:
        """The file is in its place; the node serves on."""
        self.wait(lambda event: event.name == "task.finished")

    def wait_warning(self, text: str) -> str:
        return self.wait(lambda event: event.name == "warning" and text in event.message).message  # type: ignore[attr-defined]

    def said(self) -> list[str]:
        """Its warnings."""
        return [event.message for event in self.events if event.name == "warning"]  # type: ignore[attr-defined]

    @property
    def partial(self) -> Path:
        """The file that its bytes gather in."""
        (found,) = self.output.parent.glob("**/data")
        return found

    def wait_held(self, *indexes: int) -> None:
        """These segments are journalled... or at least readable here."""
        for index in indexes:
            self.wait(lambda event, index=index: event.name == "segment.finished" and event.index == index)  # type: ignore[misc]

    def close(self) -> None:
        self._cancel.set()
        self._thread.join(PATIENCE)


class Gate:
    """Holds back what a hub sends of the bytes `[start, stop)` until it is opened."""

    def __init__(self, start: int, stop: int) -> None:
        self._range, self._opened = range(start, stop), threading.Event()

    def open(self) -> None:
        self._opened.set()

    def wait(self, start: int, stop: int) -> None:
        """Return when `[start, stop)` may be sent."""
        if start < self._range.stop and stop > self._range.start:
            assert self._opened.wait(PATIENCE)


def gated(size: int, gate: Gate) -> type[MemoryBackend]:
    """A hub with one file, part of which is behind a gate."""

    def get(self: MemoryBackend, entry: Any, start: int, stop: int | None) -> Iterator[bytes]:
        gate.wait(start, size if stop is None else stop)
        return MemoryBackend.get(self, entry, start, stop)

    backend = memory_backend({"repo": {FILE: content_of(size)}})
    return type("GatedBackend", (backend,), {"get": get})


def flip(path: Path, at: int) -> None:
    """Change one byte of a file behind everybody's back."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with path.open("r+b", buffering=0) as file:
        (byte,) = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes([byte ^ 0xFF]), at)
    path.chmod(mode)


@attrs.define(eq=False)
class World:
    """The hub, the seed peer, and whoever has come."""

    url: str
    data: bytes = attrs.field(repr=False)
    backend: type[MemoryBackend]
    plugins: Plugins
    seed_directory: Path
    folder: Path
    stack: ExitStack
    logged: list[dict[str, Any]]
    peer: SeedPeer
    nodes: list[Node] = attrs.field(factory=list)
    source: str = f"memory://repo/{FILE}"

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def layout(self) -> Layout:
        return Layout(self.size)

    @property
    def blob(self) -> str:
        return "sha256-" + hashlib.sha256(self.data).hexdigest()

    @property
    def seed_file(self) -> Path:
        """Where the seed peer keeps the blob."""
        (found,) = self.seed_directory.glob(f"blobs/*/{self.blob}/data")
        return found

    def node(self, **joining: Any) -> Node:
        """Start an honest node at the next address."""
        number = len(self.nodes) + 2
        node = Node(self, f"127.0.0.{number}", self.folder / f"out{number}" / FILE, **joining)
        self.nodes.append(node)
        self.stack.callback(node.close)
        return node

    def corrupt(self, address: str = "127.0.0.30") -> Corrupt:
        """Start a node with wrong bytes."""
        return self._start(Corrupt(self.source, seed_peers=[self.url], address=address, folder=self.folder / address))

    def silent(self, address: str = "127.0.0.30") -> Silent:
        """Start a node that never sends."""
        return self._start(Silent(self.source, seed_peers=[self.url], address=address))

    def liar(self, address: str = "127.0.0.30") -> Liar:
        """Start a node that only talks."""
        return self._start(Liar(self.source, seed_peers=[self.url], address=address))

    def _start(self, liar: AnyLiar) -> AnyLiar:
        self.stack.enter_context(liar)
        liar.wait(lambda: liar.ring.members > 0)
        return liar

    def wait_logged(self, event: str, *, meanwhile: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """The seed peer's log line of that name; `meanwhile` is called before each look."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            meanwhile()
            for line in list(self.logged):
                if line["event"] == event:
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no {event} in {[line['event'] for line in self.logged]}")

    def stats(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/v1/stats", trust_env=False).json())

    def check(self) -> None:
        """Every honest node has the hub's bytes, and nothing else was ever put in place."""
        for node in self.nodes:
            node.wait_done()
            assert node.output.read_bytes() == self.data


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Builds a world around a file of `size` bytes; `rate` limits what the seed peer takes from the hub, in bytes/s."""
    logged: list[dict[str, Any]] = []

    def note(logger: Any, method: str, line: Any) -> Any:
        logged.append(dict(line))
        raise structlog.DropEvent

    old = structlog.get_config()
    structlog.configure(processors=[note])
    with ExitStack() as stack:

        def build(size: int = 40 * MIB, *, rate: int | None = None, backend: Any = None) -> World:
            data = content_of(size)
            backend = backend or memory_backend({"repo": {FILE: data}})
            plugins = Plugins(extra=[backend])
            config = SeedPeerConfig(
                data_dir=str(tmp_path / "seed"), listen=("127.0.0.1", 0), fetch=Fetch(limit_rate=rate)
            )
            peer = SeedPeer(config, plugins=plugins)
            url = stack.enter_context(peer.running())
            return World(
                url=url,
                data=data,
                backend=backend,
                plugins=plugins,
                seed_directory=tmp_path / "seed",
                folder=tmp_path,
                stack=stack,
                logged=logged,
                peer=peer,
            )

        yield build
    structlog.configure(**old)
