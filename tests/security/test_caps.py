"""What one client can cost a seed peer: bounded in memory, descriptors and time, and never the process."""

import contextlib
import gzip
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from tests.security.conftest import CANARY

from dfly.globs import select as choose
from dfly.values import Entry
from dfly.wire import MOST_HELD, Ask, Failed, Report, WireError

MIB = 1 << 20
#: Seconds after which a test that waits has failed.
LONG_ENOUGH = 60
DAEMON = str(Path(sys.executable).parent / "dfdaemon")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """A real seed peer: its URL and what it has used of memory at most, in bytes."""
    data = tmp_path_factory.mktemp("caps") / "data"
    process = subprocess.Popen(
        [DAEMON, "--seed-peer", "--listen", "127.0.0.1:0", "--data-dir", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.stdout.readline().split()[-1], lambda: _peak(process.pid)
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


def _peak(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def connect(url):
    host, _, port = url.rpartition("://")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=LONG_ENOUGH)


def talk(url, data):
    """Everything that comes back for raw bytes."""
    with connect(url) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionError):
            while chunk := sock.recv(65536):
                got += chunk
        return got


def alive(url):
    return httpx.get(url + "/healthz", trust_env=False, timeout=LONG_ENOUGH).json() == {"ok": True}


def held(blobs, last):
    return b'{"node":"n","held":{' + b",".join(b'"b%d":[[0,%d]]' % (i, last) for i in range(blobs)) + b"}}"


def includes(count):
    return json.dumps({"url": "gopher://x", "recursive": True, "include": ["*"] * count}).encode()


#: Path, body or what makes it, headers, and what the answer may be.
POSTS = {
    "a body of nine megabytes": ("/v1/snapshots", b"x" * (9 * MIB), {}, {400}),
    "a length beyond the cap": ("/v1/snapshots", b"x" * (65 * MIB), {}, {413}),
    "chunks beyond the cap": ("/v1/snapshots", lambda: iter([b"x" * MIB] * 65), {}, {413}),
    "a report of nine megabytes": ("/v1/snapshots/t/report", b"x" * (9 * MIB), {}, {404, 413}),
    "a million globs": ("/v1/snapshots", lambda: includes(1_000_000), {}, {400}),
    "runs of billions of segments": ("/v1/snapshots/t/report", lambda: held(300_000, 65_535), {}, {400, 404, 413}),
    "a gigabyte packed into one megabyte": (
        "/v1/snapshots",
        lambda: gzip.compress(bytes(1 << 24)) * 64,
        {"Content-Encoding": "gzip"},
        {415},
    ),
    "brackets to the cap": ("/v1/snapshots", b"[" * (8 * MIB - 1), {}, {400}),
    "empty lists to the cap": ("/v1/snapshots", lambda: b"[" + b"[]," * (2 * MIB) + b"[]]", {}, {400}),
    "a number of a million digits": ("/v1/snapshots", b'{"url":"x","version":' + b"9" * MIB + b"}", {}, {400}),
}


@pytest.mark.parametrize("what", POSTS)
def test_a_body_costs_bounded_memory_and_is_refused(daemon, what):
    url, peak = daemon
    path, body, headers, statuses = POSTS[what]
    before = peak()
    body = body() if callable(body) else body
    answer = httpx.post(url + path, content=body, headers=headers, trust_env=False, timeout=LONG_ENOUGH)
    assert answer.status_code in statuses
    assert alive(url)
    assert peak() - before < 400 * MIB


RAW = {
    "an endless request line": b"GET /" + b"a" * MIB,
    "an endless header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * MIB,
    "a hundred thousand headers": b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "an endless chunk size": b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"0" * MIB,
    "an endless trailer": (
        b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * 100_000
    ),
    "a length and chunks": (
        b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a negative length": b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "ten thousand requests at once": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000,
    "an upgrade": b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "noise": bytes(range(256)) * 256,
    "nothing": b"",
}


@pytest.mark.parametrize("what", RAW)
def test_no_bytes_on_the_socket_kill_the_daemon(daemon, what):
    url, peak = daemon
    before = peak()
    talk(url, RAW[what])
    assert alive(url)
    assert peak() - before < 100 * MIB


def test_held_runs_are_capped_by_their_sum():
    assert len(Report.decode(held(16, 65_535)).held["b0"]) == 65_536
    with pytest.raises(WireError, match="'held'"):
        Report.decode(held(MOST_HELD // 65_536 + 1, 65_535))


def test_a_connection_without_a_request_is_closed_after_a_while(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.running._SILENCE", 0.2)
    peer = seed()
    for begun in (b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "):
        with connect(peer.url) as sock:
            sock.sendall(begun)
            assert sock.recv(1) == b""


def test_a_body_that_trickles_in_is_not_waited_for(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.bodies.PATIENCE", 0.2)
    peer = seed()
    with connect(peer.url) as sock:
        sock.sendall(b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert b" 400 " in sock.recv(4096)


def app_of(peer):
    return next(r.handler.__self__ for r in peer.app.router.routes() if r.resource.canonical == "/v1/stats")


def streams(peer):
    return sum(row["streams"] for row in peer.client.get("/v1/stats").json()["tasks"])


def until(holds):
    deadline = time.monotonic() + LONG_ENOUGH
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def narrow(url, request):
    """A connection with the smallest receive buffer, which asks, and reads no more than that an answer has begun."""
    host, _, port = url.rpartition("://")[2].partition(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    sock.settimeout(LONG_ENOUGH)
    sock.connect((host, int(port)))
    sock.sendall(request)
    assert sock.recv(1) == b"H"
    return sock


def test_a_node_that_does_not_read_its_stream_is_let_go(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.app._PATIENCE", 0.2)
    peer = seed()
    task = peer.task()
    log = app_of(peer).tasks.get(task).broadcast.log
    for n in range(24):
        log.append(Failed(blob=f"b{n}", error="NotFound", message="x" * MIB))
    request = f"GET /v1/snapshots/{task}/events?node=n&port=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    with narrow(peer.url, request.encode()):
        until(lambda: streams(peer) == 0)


def test_a_node_that_does_not_read_its_bytes_is_let_go(seed, monkeypatch):
    monkeypatch.setattr("dfly.seed.webseed._PATIENCE", 0.2)
    size = 24 * MIB
    peer = seed(files={"model.bin": bytes(size)})
    task = peer.task()
    app = app_of(peer)
    (blob,) = app.tasks.get(task).scheduler.blobs
    until(lambda: app.tasks.mirror.published(blob, 0, size))
    grant, _ = app.web_seed.grant(task, "n")
    request = f"GET /v1/blobs/{grant}/{blob} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-{size - 1}\r\n\r\n"
    with narrow(peer.url, request.encode()):
        until(lambda: not opened(blob))


def opened(blob):
    """Whether this process has the file of `blob` open for reading."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return any(f"/{blob}/data" in path for path in found)


def test_a_node_that_hangs_up_is_nothing_to_log_as_an_error(seed, capfd, caplog):
    big = {f"{n:04}.bin": b"x" for n in range(5000)}
    peer = seed(files=big)
    task = peer.task()
    ask = Ask(url="memory://tiny", recursive=True).encode()
    posted = b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(ask)
    requests = (
        posted + ask,
        posted + ask[:10],
        f"GET /v1/snapshots/{task}/events?node=n&port=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET /v1/plugins HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    for request in requests * 5:
        with connect(peer.url) as sock:
            # a reset, not an orderly end
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.sendall(request)
    until(lambda: streams(peer) == 0)
    assert alive(peer.url)
    told = "".join(capfd.readouterr())
    assert "task.opened" in told
    assert "[error" not in told
    assert "Traceback" not in told
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_many_streams_of_one_node_are_one_stream(seed):
    peer = seed()
    request = f"GET /v1/snapshots/{peer.task()}/events?node=n&port=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(peer.url)) for _ in range(200)]
        for sock in sockets:
            sock.sendall(request)
            assert b" 200 " in sock.recv(65536)
        assert streams(peer) == 1
        for sock in sockets[:-1]:
            _until_ended(sock)


def _until_ended(sock):
    got = b""
    while not got.endswith(b"0\r\n\r\n"):
        chunk = sock.recv(65536)
        assert chunk
        got += chunk


def test_no_glob_takes_longer_than_its_length():
    entries = [Entry("a" * 200, 1, "x://y", "x://y")]
    assert choose(entries, include=["*a" * 40 + "b"]) == []
    assert choose(entries, include=["[" * 4000]) == []


def test_a_thousand_globs_are_read_once_however_many_files_there_are(monkeypatch):
    import dfly.globs

    read = []
    real = dfly.globs.translate
    monkeypatch.setattr(dfly.globs, "translate", lambda pattern: read.append(pattern) or real(pattern))
    entries = [Entry(f"{n}.bin", 1, "x://y", "x://y") for n in range(100)]
    assert choose(entries, include=[f"x{n}" for n in range(999)] + ["*.bin"]) == entries
    assert len(read) == 1000


def test_a_request_that_is_none_leaves_neither_a_traceback_nor_its_headers_in_the_log(seed, capfd, caplog):
    """aiohttp quotes the header that it stopped at."""
    peer = seed()
    broken = f"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CANARY}\x01\r\n\r\n"
    with connect(peer.url) as sock:
        sock.sendall(broken.encode())
        assert b" 400 " in sock.recv(4096)
    assert alive(peer.url)
    told = "".join(capfd.readouterr()) + caplog.text
    assert "Traceback" not in told
    assert CANARY not in told
