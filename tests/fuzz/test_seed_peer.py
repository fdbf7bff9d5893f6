"""A seed peer that is sent anything at all, over real sockets: nothing is its own mistake, and it goes on working."""

import contextlib
import hashlib
import json
import logging
import socket
import sys
from importlib import metadata
from urllib.parse import quote

import attrs
import httpx
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import digits, fuzz, headers, raw_bodies, spoilt, texts

from dfly.config import Joining, Patience
from dfly.node.fetch import fetch
from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.testing.memory import memory_backend
from dfly.wire import Ask, Have, Hello, Report, Resolved, Segment, decode_message

FILES = {"model.bin": bytes(range(256)) * 8192, "config.json": b"{}", "tokenizer.json": b"[1]"}


@attrs.define
class Target:
    """A seed peer that has served a task: what a request needs to be almost right."""

    url: str
    backend: type
    plugins: Plugins
    resolved: Resolved
    blob: str
    grant: str
    errors: list

    @property
    def address(self):
        host, _, port = self.url.rpartition("://")[2].partition(":")
        return host, int(port)

    def healthy(self):
        return httpx.get(self.url + "/healthz", trust_env=False).json() == {"ok": True}


class _Noted(logging.Handler):
    """What is logged as an error: by libraries, and by the seed peer about itself."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.notes = []

    def emit(self, record):
        self.notes.append(record.getMessage())

    def exception(self, event, **more):
        self.notes.append((event, more, sys.exc_info()[1]))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    backend = memory_backend({"tiny": FILES, "other": {"a": b"1"}})
    # no plugin but this one: nothing that is asked for here can lead anywhere
    plugins = Plugins(extra=[backend], entry_points=metadata.EntryPoints())
    data = str(tmp_path_factory.mktemp("seed") / "data")
    peer = SeedPeer(SeedPeerConfig(data_dir=data, listen=("127.0.0.1", 0)), plugins=plugins)
    noted, patch = _Noted(), pytest.MonkeyPatch()
    logging.getLogger().addHandler(noted)
    for module in ("answers", "app", "streams"):
        patch.setattr(f"dfly.seed.{module}._log.exception", noted.exception, raising=False)
    with peer.running() as url, httpx.Client(base_url=url, trust_env=False) as client:
        resolved = Resolved.decode(client.post("/v1/snapshots", content=_ask()).content)
        events = f"/v1/snapshots/{resolved.task}/events?node=first&port=1"
        with client.stream("GET", events) as stream:
            lines = (decode_message(line.encode()) for line in stream.iter_lines())
            grant = next(line.grant for line in lines if isinstance(line, Hello))
            blob = next(line.blob for line in lines if getattr(line, "state", "") == "complete")
        yield Target(url, backend, plugins, resolved, blob, grant, noted.notes)
    patch.undo()
    logging.getLogger().removeHandler(noted)


def _ask(**more):
    return Ask(**{"url": "memory://tiny", "recursive": True, **more}).encode()


def send(target, request, *, ends=False):
    """The status of the answer; None where there is none. A stream is not listened to for longer than that.

    `ends`: nothing more follows, and the seed peer is told so; one that is working takes that for a node that is gone.
    """
    with socket.create_connection(target.address, timeout=60) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(request)
            if ends:
                sock.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionError):
            while b"\r\n" not in got and (chunk := sock.recv(65536)):
                got += chunk
    if not got:
        return None
    version, status = got.split(b"\r\n", 1)[0].split(b" ", 2)[:2]
    assert version in (b"HTTP/1.1", b"HTTP/1.0")
    return int(status)


def raw(method, path, fields=(), body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


ROUTES = ("/v1/snapshots", "/v1/snapshots/{task}/events", "/v1/snapshots/{task}/report", "/v1/snapshots/{task}/have",
          "/v1/snapshots/{task}/hashes/{blob}", "/v1/blobs/{grant}/{blob}", "/v1/plugins", "/v1/stats", "/healthz",
          "/readyz", "/v1/", "/", "*", "//", "/v1/snapshots/{task}", "/../x", "/v1/blobs/{grant}")  # fmt: skip
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "X", "get"])
WORDS = texts.map(lambda t: quote(t, safe="", errors="replace")) | st.sampled_from(
    ["..", "%2e%2e", "%00", "%", "a" * 9000]
)
QUERIES = st.dictionaries(
    st.sampled_from(["node", "port", "advertise", "location", "after", "control", "x"]),
    st.sampled_from(["n", "1", "0", "127.0.0.1:9", "a/b", "e.1", "99999"]) | digits | texts,
    max_size=5,
).map(lambda q: "&".join(f"{name}={quote(value, safe='', errors='replace')}" for name, value in q.items()))
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["Range", "Authorization", "Content-Type", "Content-Encoding", "X-Dfly-Ticket", "If-Range", "Expect",
                         "X-Dfly-Option-memory-token", "X-Dfly-Option-memory-revision", "X-Dfly-Option-", "Cookie",
                         "Transfer-Encoding", "Connection", "Accept-Encoding", "Upgrade"]),
        headers | st.sampled_from(["bytes=0-9", "bytes=-1", "bytes=9-0", "chunked", "gzip", "100-continue", "identity"]),
    ),
    max_size=4,
)  # fmt: skip


@fuzz(METHODS, st.sampled_from(ROUTES), st.sampled_from(["task", "blob", "grant", ""]), WORDS, QUERIES, FIELDS, raw_bodies,
      examples=250)  # fmt: skip
@example("GET", "/v1/blobs/{grant}/{blob}", "", "x", "", [("Range", f"bytes=0-{'9' * 5000}")], b"")
@example("GET", "/v1/blobs/{grant}/{blob}", "", "x", "", [("Range", "bytes=٠-٩")], b"")
@example("GET", "/v1/blobs/{grant}/{blob}", "grant", "%ED%A0%80", "", [], b"")
@example("POST", "/v1/snapshots/{task}/have", "", "x", "", [], b"[" * 5000)
def test_no_request_is_the_seed_peers_mistake(target, method, route, spoiled, word, query, fields, body):
    right = {"task": target.resolved.task, "blob": target.blob, "grant": target.grant}
    path = route.format(**(right | {spoiled: word})) + (f"?{query}" if query else "")
    status = send(target, raw(method, path, [*fields, ("Content-Length", len(body))], body))
    assert status != 500
    assert target.errors == []


SEGMENT = Segment(blob="b", index=0, size=9, hashes=bytes(20), mac="0" * 32)
BODIES = {
    "/v1/snapshots": json.loads(_ask(include=("*.json",))),
    "/v1/snapshots/{task}/report": json.loads(
        Report(
            node="first",
            held={"b": (0, 1)},
            declined=("b",),
            stalled=(("b", 0),),
            bad_peers=(("127.0.0.1", 9),),
            silent_peers=(("127.0.0.1", 9),),
            doubts=(("b", 0, "127.0.0.1", 9),),
            bad_segments=(("b", 0),),
        ).encode()
    ),
    "/v1/snapshots/{task}/have": json.loads(Have(node="listener", segments=(SEGMENT, SEGMENT)).encode()),
}


@pytest.fixture
def listener(target, monkeypatch):
    """A node in the ring, so that reports count."""
    monkeypatch.setattr("dfly.seed.app._OPENING", 0.0)
    with httpx.Client(base_url=target.url, trust_env=False) as client:
        query = {"node": "listener", "port": "0"}
        with client.stream("GET", f"/v1/snapshots/{target.resolved.task}/events", params=query) as stream:
            next(stream.iter_lines())
            yield "listener"


@pytest.mark.parametrize("route", sorted(BODIES))
@fuzz(st.data(), examples=80)
def test_no_body_that_is_almost_right_is_the_seed_peers_mistake(target, listener, route, data):
    whole = json.dumps(BODIES[route]).replace('"b"', json.dumps(target.blob)).replace('"first"', json.dumps(listener))
    body = json.dumps(data.draw(spoilt(json.loads(whole)))).encode()
    path = route.format(task=target.resolved.task)
    assert send(target, raw("POST", path, [("Content-Length", len(body))], body)) in (200, 400, 403, 404, 409)
    assert target.errors == []


CHUNKS = st.lists(
    st.sampled_from(
        [b"5\r\nhello\r\n", b"0\r\n\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n", b"5;x=y\r\nhello\r\n", b"5\nhello\n"]
    )
    | st.binary(max_size=20),
    max_size=5,
).map(b"".join)


@fuzz(st.sampled_from(["/v1/snapshots", "/v1/snapshots/{task}/report"]), CHUNKS, examples=120)
@example("/v1/snapshots", b"zz\r\n")
@example("/v1/snapshots", b"5\r\nhelloxx0\r\n\r\n")
def test_no_body_in_chunks_is_the_seed_peers_mistake(target, route, chunks):
    path = route.format(task=target.resolved.task)
    whole = raw("POST", path, [("Transfer-Encoding", "chunked")], chunks)
    status = send(target, whole, ends=True)
    assert status in (None, 400, 404)
    assert target.errors == []


@fuzz(st.binary(max_size=200), examples=60)
def test_no_bytes_that_are_no_request_are_the_seed_peers_mistake(target, data):
    assert send(target, data, ends=True) in (None, 400, 404, 405, 401)
    assert target.errors == []


def test_afterwards_it_is_well_and_serves_a_task_as_ever(target, tmp_path):
    assert target.healthy()
    joining = Joining(
        seed_peers=(target.url,), interface="127.0.0.1", back_to_source=False, seed_time=0, settle=0.0, port=0
    )
    fetch(
        "memory://tiny",
        str(tmp_path / "out"),
        recursive=True,
        plugins=target.plugins,
        joining=joining,
        patience=Patience(tries=2, first_delay=0.0, longest_delay=0.0),
        timeout=60,
    )
    got = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / "out").iterdir() if p.is_file()}
    assert got == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
