"""A seed peer over an origin that counts, node daemons in this process, and dfctl that preheats them."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest
import structlog

import dfly
from dfly.backend import Secret
from dfly.cli import dfctl as command
from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.layout import Layout
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.lent import QUICK
from tests.daemon.conftest import some_bytes
from tests.swarm_e2e.origin import Origin

MIB = 1 << 20
SEGMENT = Layout(1).segment_length
FILES = {
    "config.json": b"{}",
    "model.bin": some_bytes(SEGMENT + MIB),
    "deep/copy.bin": some_bytes(SEGMENT + MIB),
    "other.bin": some_bytes(MIB + 7, 2),
    "vocab.txt": some_bytes(5000, 3),
    "empty": b"",
}
DISTINCT = sum(map(len, set(FILES.values())))
MODEL = "memory://model"
#: The largest content as the seed peer asks for it: of the two files that have it, the first.
FIRST = "deep/copy.bin"


@pytest.fixture(autouse=True)
def here(here, monkeypatch) -> Path:
    """Each test of this folder has one, and nodes that ask for news soon."""
    monkeypatch.setattr("dfly.daemon.standing_by.AGAIN", 0.05)
    monkeypatch.setattr("dfly.daemon.standing_by.NEWS", 0.1)
    # what runs here besides dfctl would log on its standard output
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    return here


@pytest.fixture
def origin() -> Iterator[Origin]:
    made = Origin(FILES)
    yield made
    made.let_go()


@pytest.fixture
def plugins(origin) -> Plugins:
    return Plugins(extra=[origin.backend])


@pytest.fixture
def seed(plugins, tmp_path, origin):
    """Starts seed peers; each on a data directory of its own unless told."""
    with contextlib.ExitStack() as stack:

        def make(name="seed", *, plugins=plugins, **settings) -> "Seed":
            settings = {"listen": ("127.0.0.1", 0), "patience": QUICK, "content_patience": QUICK, **settings}
            config = SeedPeerConfig(data_dir=str(tmp_path / name), cluster_secret=Secret("of the cluster"), **settings)
            running = stack.enter_context(contextlib.ExitStack())
            url = running.enter_context(SeedPeer(config, plugins=plugins).running())
            stack.callback(origin.let_go)
            return Seed(url, running.close)

        yield make


@attrs.frozen
class Seed:
    url: str
    stop: object

    def stats(self) -> dict:
        return httpx.get(f"{self.url}/v1/stats", trust_env=False).json()

    def sent(self) -> int:
        """Bytes of content that it has sent."""
        return int(self.stats()["egress"].get("web seed", 0))


class Node:
    """A daemon at `socket`, and a dfget beside it."""

    def __init__(self, folder: Path, plugins: Plugins, config: NodeConfig) -> None:
        self.folder, self.plugins, self.config = folder, plugins, config
        self._running = contextlib.ExitStack()

    def start(self) -> "Node":
        self._running.enter_context(NodeDaemon(self.config, plugins=self.plugins).running())
        return self

    def stop(self) -> None:
        self._running.close()

    @property
    def name(self) -> str:
        """What it calls itself."""
        return (self.folder / "data/name").read_text().strip()

    def fetch(self, url=MODEL, output="out", **given) -> dfly.Report:
        given = {"recursive": True, "patience": QUICK, "plugins": self.plugins, **given}
        return dfly.fetch(url, str(self.folder / output), lender=Daemon(self.config.socket), **given)

    def blobs(self) -> int:
        return len(list((self.folder / "data/blobs").rglob("data")))

    def pinned(self) -> list[bool]:
        return [json.loads(path.read_text())["pinned"] for path in (self.folder / "data/snapshots").glob("*.json")]


@pytest.fixture
def node(plugins, tmp_path):
    """Starts a daemon at a seed peer."""
    with contextlib.ExitStack() as stack:

        def make(name, seed, *, location="", plugins=plugins, **settings) -> Node:
            folder = tmp_path / name
            joining = Joining(seed_peers=(seed.url,), interface="127.0.0.1", location=location, settle=0.5)
            config = NodeConfig(
                data_dir=str(folder / "data"),
                socket=str(folder / "run/dfly.sock"),
                patience=QUICK,
                **{"joining": joining, **settings},
            )
            made = Node(folder, plugins, config).start()
            stack.callback(made.stop)
            return made

        yield make


def until(what, seconds=60.0):
    """Wait for a condition, which is what the test is about if it never comes."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@attrs.frozen
class Done:
    """What a dfctl said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out)

    @property
    def nodes(self) -> dict[str, dict]:
        """Of the only source: rows by node."""
        return {row["node"]: row for row in self.json["preheats"][0]["nodes"]}

    @property
    def seed_peer(self) -> dict:
        return self.json["preheats"][0]["seed_peer"]


@pytest.fixture
def dfctl(plugins, capsys):
    """Runs `dfctl preheat` here."""

    def run(*argv, plugins=plugins) -> Done:
        capsys.readouterr()
        code = command.run(["preheat", *map(str, argv)], plugins=plugins)
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture
def operator():
    """Makes clients that ask a seed peer as an operator does."""
    with contextlib.ExitStack() as stack:

        def make(seed, **headers) -> httpx.Client:
            base = f"{seed.url}/v1/operator/"
            return stack.enter_context(httpx.Client(base_url=base, headers=headers, trust_env=False, timeout=60))

        yield make


class Job:
    """A preheat that was ordered, whose rows are read as they come."""

    def __init__(self, client, **order) -> None:
        ask = {"url": MODEL, "recursive": True, **order.pop("ask", {})}
        answer = client.post("preheat", json={"ask": ask, **order})
        assert answer.status_code == 200, answer.text
        self.said, self._client = answer.json(), client

    def rows(self):
        with self._client.stream("GET", f"preheat/{self.said['id']}") as stream:
            for line in stream.iter_lines():
                yield json.loads(line)

    def until(self, **wanted) -> dict:
        """The first row that has these values."""
        for row in self.rows():
            if all(row.get(name) == value for name, value in wanted.items()):
                return row
        raise AssertionError(f"it ended without {wanted}")

    def end(self) -> dict[str, dict]:
        """The last row of each machine, the seed peer being ""."""
        return {row.get("node", ""): row for row in self.rows() if row["t"] in ("node", "seed_peer")}


@pytest.fixture
def stand(operator):
    """Waits until so many nodes stand by."""

    def wait(seed, count) -> list[dict]:
        client = operator(seed)

        def enough() -> list[dict] | None:
            rows = client.get("standing").json()["nodes"]
            return rows if len(rows) == count else None

        return until(enough)

    return wait
