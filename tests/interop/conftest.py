"""A seed peer, node daemons that hold what it has, .torrent files from dfctl, and the clients that take them."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import attrs
import httpx
import libtorrent as lt
import pytest

from dfly.cli.dfctl import run
from dfly.config import Joining
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.lent import QUICK
from dfly.testing.memory import memory_backend
from tests.daemon.conftest import Borrowing, some_bytes
from tests.interop.clients import LONG_ENOUGH

MIB = 1 << 20
#: Two segments of a blob that travels by itself, two small files that travel in a pack, and one that has no torrent.
FILES = {
    "model.bin": some_bytes(3 * MIB + 7),
    "deep/config.json": b'{"deep": true}',
    "tokenizer.json": b"[1]",
    "empty": b"",
}


def announce(torrent, *, at=None, port=6881, event="", left=1, **more):
    """What a tracker (that of the .torrent, or the one `at`) answers; `more` replaces what a client would say."""
    params = lt.load_torrent_file(str(torrent))
    said = {"info_hash": params.info_hashes.v1.to_bytes(), "peer_id": b"-XX0000-123456789012", "compact": 1, **more}
    query = urlencode({**said, "port": port, "left": left, **({"event": event} if event else {})}, quote_via=quote)
    answer = httpx.get(f"{at or params.trackers[0]}?{query}", trust_env=False, timeout=60)
    assert answer.status_code == 200
    return lt.bdecode(answer.content)


def peers(answer):
    """The addresses in a compact answer."""
    packed = answer[b"peers"]
    rows = [packed[at : at + 6] for at in range(0, len(packed), 6)]
    return [(socket.inet_ntoa(row[:4]), int.from_bytes(row[4:], "big")) for row in rows]


def until(what):
    deadline = time.monotonic() + LONG_ENOUGH
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@attrs.define
class Site:
    """A seed peer at `url`, and what a test does with it. `nodes` are the daemons in its ring."""

    url: str
    folder: Path
    plugins: Plugins
    stack: contextlib.ExitStack
    stop: Callable[[], None]
    nodes: list = attrs.field(factory=list)

    def node(self, source="memory://tiny", *, options=None, **joining):
        """A daemon that has brought `source`, and serves it from now on. Returns what stops it."""
        name = f"node{len(self.nodes)}"
        config = NodeConfig(
            data_dir=str(self.folder / name),
            socket=str(self.folder / f"{name}.run" / "dfly.sock"),
            patience=QUICK,
            joining=Joining(seed_peers=(self.url,), interface=httpx.URL(self.url).host, **joining),
        )
        running = self.stack.enter_context(contextlib.ExitStack())
        where = running.enter_context(NodeDaemon(config, plugins=self.plugins).running())
        self.nodes.append(where)
        borrow = Borrowing(self.plugins, where.socket)
        borrow(source, self.folder / f"{name}.out", recursive=True, options=options)
        with httpx.Client(transport=httpx.HTTPTransport(uds=where.socket)) as client:
            until(lambda: client.get("http://node/v1/status").json()["rings"])
        return running.close

    def torrents(self, *argv, url="memory://tiny", folder="torrents"):
        """What `dfctl torrent` writes: path in the snapshot → .torrent."""
        out = self.folder / folder
        assert run(["torrent", url, "--seed-peer", self.url, "-o", str(out), *argv], plugins=self.plugins) == 0
        found = {str(path.relative_to(out)): path for path in out.rglob("*.torrent")}
        return {name.removesuffix(".torrent"): path for name, path in found.items()}

    def await_nodes(self, torrent, count=1):
        """Wait until so many nodes let clients in: a daemon has just joined its ring anew."""
        until(lambda: len(peers(announce(torrent, port=1025))) >= count)
        announce(torrent, port=1025, event="stopped")

    def egress(self):
        """Bytes that the seed peer has sent, by kind."""
        return httpx.get(f"{self.url}/v1/stats", trust_env=False).json()["egress"]


@pytest.fixture
def backend():
    return memory_backend({"tiny": FILES})


@pytest.fixture
def site(tmp_path, backend):
    """Starts a seed peer; settings are `SeedPeerConfig`'s."""
    with contextlib.ExitStack() as stack:

        def start(**settings):
            plugins = Plugins(extra=[backend])
            given = {"listen": ("127.0.0.1", 0), "patience": QUICK, **settings}
            config = SeedPeerConfig(data_dir=str(tmp_path / "seed"), **given)
            running = stack.enter_context(contextlib.ExitStack())
            url = running.enter_context(SeedPeer(config, plugins=plugins).running())
            return Site(url, tmp_path, plugins, stack, running.close)

        yield start
