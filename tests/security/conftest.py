"""Seed peers that are real, seed peers that lie, and a machine's second address."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs
import httpx
import pytest
import trustme
from aiohttp import web

from dfly.config import Joining, Network, Patience
from dfly.node.fetch import fetch
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.memory import memory_backend
from dfly.wire import Ask, Resolved

FILES = {"model.bin": bytes(range(256)) * 8192, "config.json": b"{}", "tokenizer.json": b"[1]"}
CANARY = "c4n4ry-Sup3rS3cret"
HASTY = Patience(tries=2, first_delay=0.0, longest_delay=0.0, longest_pause=1.0)


@attrs.define
class Seed:
    """A running seed peer with its store on disk, over a hub in memory."""

    url: str
    backend: type
    app: web.Application
    client: httpx.Client

    def ask(self, url="memory://tiny", *, headers=None, **more):
        body = Ask(url=url, **{"recursive": True, **more}).encode()
        return self.client.post("/v1/snapshots", content=body, headers=headers)

    def task(self, **more):
        answer = self.ask(**more)
        assert answer.status_code == 200, answer.text
        return Resolved.decode(answer.content).task


@pytest.fixture
def seed(tmp_path, monkeypatch) -> Iterator:
    """Start a seed peer: `seed(token="hub token", plugins=[…], files={…}, **config)`."""
    apps: list[web.Application] = []

    class Runner(web.AppRunner):
        def __init__(self, app, **more):
            apps.append(app)
            super().__init__(app, **more)

    monkeypatch.setattr(web, "AppRunner", Runner)
    with contextlib.ExitStack() as stack:

        def start(*, files=FILES, token=None, backend=None, plugins=(), headers=None, verify=True, **config):
            backend = backend or memory_backend({"tiny": files}, token=token)
            config = {"data_dir": str(tmp_path / f"data{len(apps)}"), "listen": ("127.0.0.1", 0), **config}
            peer = SeedPeer(SeedPeerConfig(**config), plugins=Plugins(extra=[backend, *plugins]))
            url = stack.enter_context(peer.running())
            client = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60, verify=verify)
            return Seed(url, backend, apps[-1], stack.enter_context(client))

        yield start


class Liar:
    """A seed peer that says what a test wants: `says` maps the beginning of a path to (status, body)."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[int, bytes]] = {}
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                liar.heard.append((self.command, self.path, dict(self.headers.items()), body))
                paths = sorted((p for p in liar.says if p in self.path), key=len)
                status, said = liar.says[paths[-1]] if paths else (404, b"{}")
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(said)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    made = Liar()
    yield made
    made.close()


@pytest.fixture
def get(tmp_path):
    """`dfly.fetch` into `tmp_path/out` with a seed peer: `get(url, seed_url, backend, **joining)`."""

    def run(url, seed_url, backend, *, network=None, options=None, events=None, back=False, **joining):
        return fetch(
            url,
            str(tmp_path / "out"),
            recursive=True,
            options=options,
            plugins=Plugins(extra=[backend]),
            joining=Joining(
                seed_peers=(seed_url,), interface="127.0.0.1", back_to_source=back, seed_time=0, settle=0.0, **joining
            ),
            network=network or Network(),
            patience=HASTY,
            on_event=(events if events is not None else []).append,
            timeout=60,
        )

    return run


@attrs.frozen
class Authority:
    """A private certificate authority: its file, and a server's file for 127.0.0.1."""

    ca: str
    server: str


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Authority:
    folder, ca = tmp_path_factory.mktemp("ca"), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    return Authority(str(folder / "ca.pem"), str(folder / "server.pem"))
