"""Origins that do not speak HTTP: a line protocol over a socket, and rows of a database."""

import contextlib
import hmac
import socket
import socketserver
import sqlite3
import threading
from collections.abc import Iterator

import attrs
import pytest

import dfly

from .conftest import CONTENT, Stranger


class Counter(socketserver.StreamRequestHandler):
    """`<password> <start> <stop>` in a line; the bytes come back, or nothing for a wrong password."""

    def handle(self) -> None:
        password, start, stop = self.rfile.readline().split()
        if hmac.compare_digest(password, b"hush-password"):
            self.wfile.write(b"+" + CONTENT[int(start) : int(stop)][: self.server.most])


@pytest.fixture
def counter():
    """A server that hands out at most `most` bytes a time."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Counter) as server:
        server.daemon_threads = True
        server.most = None
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@attrs.frozen
class CounterOptions:
    password: dfly.Secret | None = dfly.option(help="what the counter asks for", secret=True)


class CounterBackend(Stranger):
    schemes = ("counter",)
    options = CounterOptions

    def get(self, entry: dfly.Entry, start: int, stop: int | None) -> Iterator[bytes]:
        host, _, port = entry.url.removeprefix("counter://").partition("/")[0].partition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=10) as wire:
                stop = len(CONTENT) if stop is None else stop
                wire.sendall(f"{self.settings.password.reveal()} {start} {stop}\n".encode())
                if wire.recv(1) != b"+":
                    raise dfly.AccessDenied("the counter is closed", hint="give --counter-password", url=entry.url)
                while chunk := wire.recv(1 << 16):
                    yield chunk
        except OSError as error:
            raise dfly.OriginUnavailable(f"{host}:{port}: {error}", url=entry.url) from error


def test_bytes_come_over_a_protocol_of_its_own(fetch, counter):
    url = f"counter://127.0.0.1:{counter.server_address[1]}/file"
    assert fetch(CounterBackend, url, password="hush-password") == CONTENT


def test_what_stops_short_goes_on_where_it_stopped(fetch, counter):
    counter.most = 3_000_000
    url = f"counter://127.0.0.1:{counter.server_address[1]}/file"
    assert fetch(CounterBackend, url, password="hush-password") == CONTENT
    assert [event for event in fetch.events if event.name == "retrying"]


def test_a_closed_counter_is_not_asked_twice(fetch, counter):
    url = f"counter://127.0.0.1:{counter.server_address[1]}/file"
    with pytest.raises(dfly.AccessDenied, match="the counter is closed"):
        fetch(CounterBackend, url, password="hush-other")


class RowsBackend(dfly.Backend):
    """`rows://PATH/NAME`: blobs of a SQLite file. The smallest complete backend of a database."""

    schemes = ("rows",)

    def stat(self, url: str) -> dfly.Entry:
        for entry in self.list(url).entries:
            if entry.url == url:
                return entry
        raise dfly.NotAFile(url)

    def list(self, url: str) -> dfly.Snapshot:
        database, _, name = url.removeprefix("rows://").partition(".db/")
        with self._open(f"{database}.db") as db:
            found = db.execute("SELECT name, length(body) FROM files WHERE name = ? OR ? = ''", (name, name)).fetchall()
        if not found:
            raise dfly.NotFound(f"{database}.db has no {name!r}")
        source = url if name else f"rows://{database}.db/"
        entries = [
            dfly.Entry(n, size, f"rows://{database}.db/{n}", f"rows://{database}.db/{n}", validator=str(size))
            for n, size in found
        ]
        return dfly.Snapshot(source, name or "files", entries)

    def get(self, entry: dfly.Entry, start: int, stop: int | None) -> Iterator[bytes]:
        database, _, name = entry.url.removeprefix("rows://").partition(".db/")
        with self._open(f"{database}.db") as db:
            (row,) = db.execute("SELECT rowid FROM files WHERE name = ?", (name,)).fetchone()
            with db.blobopen("files", "body", row, readonly=True) as body:
                body.seek(start)
                left = (entry.size if stop is None else stop) - start
                while left > 0 and (chunk := body.read(min(left, 1 << 20))):
                    left -= len(chunk)
                    yield chunk

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[sqlite3.Connection]:
        # a connection for each call: sqlite's may not change threads
        try:
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                yield db
        except sqlite3.Error as error:
            raise dfly.OriginUnavailable(f"{path}: {error}") from error


def test_bytes_come_out_of_a_database(fetch, tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "models.db")) as db:
        db.execute("CREATE TABLE files (name TEXT, body BLOB)")
        db.execute("INSERT INTO files VALUES ('file', ?)", (CONTENT,))
        db.commit()
    assert fetch(RowsBackend, f"rows://{tmp_path}/models.db/file") == CONTENT
