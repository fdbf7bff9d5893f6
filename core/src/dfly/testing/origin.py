"""A web server on a real socket of 127.0.0.1 that serves files rightly and, when told so, wrongly. For tests and demos.

    with FaultyOrigin() as origin:
        url = origin.add("model.bin", content)
        origin.fault("model.bin", faults.status(503), times=2)
        …
        assert [seen.range for seen in origin.asked("model.bin")] == […]

Two of them make a hub and its CDN: `hub.redirect("model.bin", lambda: cdn.sign("model.bin", uses=3))` answers with
links that run out, and a CDN made with `refuse_credentials=True` turns away and records every request that brings
somebody's token.

As a process: `python -m dfly.testing.origin --root DIR --port 0` prints its URL and serves DIR until it is terminated.
"""

import hashlib
import itertools
import mmap
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote

import attrs

from dfly.testing.connections import Server
from dfly.testing.faults import Exchange, Fault, Reply, Seen

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_HARMLESS = frozenset({"accept", "accept-encoding", "connection", "host", "range", "user-agent"})


@attrs.define
class _File:
    content: bytes | memoryview
    etag: str
    content_type: str = "application/octet-stream"


@attrs.define
class _Rule:
    faults: tuple[Fault, ...]
    left: float
    when: Callable[[Seen], bool]


class FaultyOrigin:
    """Serves files over HTTP/1.1; a context manager. Paths are relative, without a leading `/`, not percent-encoded.

    `root` is a directory whose files are served too. `refuse_credentials` answers 400 to any request with a header
    that a bare GET does not need, and keeps it in `leaks`. `tls` makes it an https server. `honour_if_match` False
    ignores If-Match.
    """

    def __init__(
        self,
        *,
        root: Path | None = None,
        port: int = 0,
        refuse_credentials: bool = False,
        tls: ssl.SSLContext | None = None,
        honour_if_match: bool = True,
    ) -> None:
        self.requests: list[Seen] = []
        self.leaks: list[Seen] = []
        self.closing = threading.Event()
        self._root = root
        self._refuse_credentials = refuse_credentials
        self._honour_if_match = honour_if_match
        self._files: dict[str, _File] = {}
        self._rules: defaultdict[str, list[_Rule]] = defaultdict(list)
        self._redirects: dict[str, tuple[int, str | Callable[[], str]]] = {}
        self._signatures: dict[str, int] = {}
        self._serial = itertools.count(1)
        self._lock = threading.Lock()
        self._server = Server(self.answer, closing=self.closing, port=port, tls=tls)
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    # What it serves

    def add(self, path: str, content: bytes, *, etag: str | None = None, content_type: str | None = None) -> str:
        """Serve `content` at `path`; its URL. `etag` with quotes, made from the content where None, left out where empty."""
        tag = _etag(content) if etag is None else etag
        self._files[path] = _File(memoryview(content), tag, content_type or "application/octet-stream")
        return self.url_of(path)

    def replace(self, path: str, content: bytes) -> None:
        """Put other content, and so another ETag, at `path`."""
        self.add(path, content)

    def url_of(self, path: str) -> str:
        """The URL of `path`."""
        return f"{self.url}/{quote(path)}"

    def redirect(self, path: str, to: str | Callable[[], str], *, code: int = 302) -> str:
        """Answer `path` with a redirect to `to`, or to what `to()` gives each time; its URL."""
        self._redirects[path] = code, to
        return self.url_of(path)

    def sign(self, path: str, *, uses: int) -> str:
        """A link to `path` that works `uses` times and then answers 403. Unsigned requests for it are refused from now on."""
        with self._lock:
            signature = f"sig{next(self._serial)}"
            self._signatures[f"{path}?{signature}"] = uses
            self._signatures.setdefault(path, 0)
        return f"{self.url_of(path)}?X-Amz-Signature={signature}&X-Amz-Expires=3600"

    def fault(
        self, path: str, *faults: Fault, times: float = 1, when: Callable[[Seen], bool] = lambda seen: True
    ) -> None:
        """Spoil the next `times` answers at `path` for which `when(seen)` holds. Rules of one path apply one after the other."""
        with self._lock:
            self._rules[path].append(_Rule(faults, times, when))

    def due(self, path: str) -> float:
        """How many faults at `path` have not occurred yet; a test that counts on them ends with 0."""
        with self._lock:
            return sum(rule.left for rule in self._rules[path])

    # What it saw

    def asked(self, path: str) -> list[Seen]:
        """The requests for `path`, in order of arrival."""
        return [seen for seen in self.requests if seen.path == path]

    # How it runs

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="dfly-origin", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port and every connection."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def serve(self) -> None:
        """Serve in this thread until interrupted."""
        self._server.serve_forever()

    def answer(self, seen: Seen) -> Reply:
        """The reply to `seen`, spoiled or not."""
        with self._lock:
            self.requests.append(seen)
            rule = next((r for r in self._rules[seen.path] if r.left > 0 and r.when(seen)), None)
            if rule is not None:
                rule.left -= 1
        exchange = self._right_answer(seen)
        for fault in rule.faults if rule is not None else ():
            fault(exchange)
        return exchange.reply

    def _right_answer(self, seen: Seen) -> Exchange:
        exchange = Exchange(self, seen, b"", 0, 0, Reply(404, {"Content-Type": "text/plain"}, b"no such file\n"))
        refusal = self._refusal(seen)
        if refusal is not None:
            exchange.reply = refusal
            return exchange
        moved = self._redirects.get(seen.path)
        if moved is not None:
            code, to = moved
            exchange.reply = Reply(code, {"Location": to if isinstance(to, str) else to()}, b"moved\n")
            return exchange
        file = self._files.get(seen.path) or self._from_root(seen.path)
        if file is not None:
            _fill(exchange, file, honour_if_match=self._honour_if_match)
        return exchange

    def _refusal(self, seen: Seen) -> Reply | None:
        if self._refuse_credentials and (_CREDENTIALS & set(seen.headers) or set(seen.headers) - _HARMLESS):
            self.leaks.append(seen)
            return Reply(400, {"Content-Type": "text/plain"}, b"only one auth mechanism is allowed\n")
        with self._lock:
            if seen.path not in self._signatures:
                return None
            signature = parse_qs(seen.query).get("X-Amz-Signature", [""])[0]
            left = self._signatures.get(f"{seen.path}?{signature}", 0)
            self._signatures[f"{seen.path}?{signature}"] = left - 1
        if left > 0:
            return None
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
        return Reply(403, {"Content-Type": "application/xml"}, body)

    def _from_root(self, path: str) -> _File | None:
        if self._root is None:
            return None
        place = (self._root / path).resolve()
        if not place.is_relative_to(self._root.resolve()) or not place.is_file():
            return None
        info = place.stat()
        with place.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)) if info.st_size else memoryview(b"")
        return _File(content, f'"{info.st_size:x}-{info.st_mtime_ns:x}"')


def _fill(exchange: Exchange, file: _File, *, honour_if_match: bool) -> None:
    """Put the right answer for `file` into `exchange`."""
    headers = {"Content-Type": file.content_type, "Accept-Ranges": "bytes"}
    if file.etag:
        headers["ETag"] = file.etag
    size = len(file.content)
    exchange.content, exchange.stop = file.content, size
    wanted = exchange.seen.headers.get("if-match")
    if honour_if_match and wanted not in (None, "*", file.etag):
        exchange.reply = Reply(412, {"Content-Type": "text/plain"}, b"it changed\n")
        return
    asked = _range(exchange.seen.range, size)
    if asked is None:
        exchange.reply = Reply(200, headers, file.content)
        return
    start, stop = asked
    if start >= size:
        exchange.reply = Reply(416, {"Content-Range": f"bytes */{size}"})
        return
    exchange.start, exchange.stop = start, stop
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    exchange.reply = Reply(206, headers, file.content[start:stop])


def _range(text: str | None, size: int) -> tuple[int, int] | None:
    first, dash, last = (text or "").removeprefix("bytes=").partition("-")
    if not dash or not first.isdecimal() or "," in last:
        return None
    return int(first), min(int(last) + 1, size) if last else size


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def main() -> None:
    """Serve a directory, print the URL first."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m dfly.testing.origin", description="Serve a directory with ranges.")
    parser.add_argument("--root", type=Path, required=True, help="the directory to serve")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1; 0 picks one")
    given = parser.parse_args()
    origin = FaultyOrigin(root=given.root, port=given.port)
    print(origin.url, flush=True)  # noqa: T201 - this is the program's output
    try:
        origin.serve()
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    main()
