"""dfctl in this process, and a desk that answers what a test says, over a real socket."""

import contextlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import attrs

from dfly.cli import dfctl
from dfly.plugins import Plugins


@attrs.frozen
class Asked:
    """One request: what of, how, with which body, and by whom."""

    method: str
    path: str
    query: dict
    body: object
    authorization: str


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Nothing on standard error, which a test may be reading: what goes wrong here shows in the missing answer."""


class Desk:
    """Answers `/v1/operator/<path>` with `answers[path]`: a value, or (status, value)."""

    def __init__(self, answers) -> None:
        self.answers, self.asked = answers, []
        self._server = Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def over_tls(self, context: ssl.SSLContext) -> None:
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http://", "https://")

    @contextlib.contextmanager
    def open(self):
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _handler(self):
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                path = url.path.removeprefix("/v1/operator/")
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(sent) if sent else None
                authorization = self.headers.get("Authorization", "")
                desk.asked.append(Asked(self.command, path, dict(parse_qsl(url.query)), body, authorization))
                answer = desk.answers.get(path, (404, {"error": "NotFound", "message": "no such path"}))
                status, value = answer if isinstance(answer, tuple) else (200, answer)
                said = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        return Handler


@attrs.frozen
class Ran:
    code: int
    out: str
    err: str


def ran(capsys, *argv) -> Ran:
    """Run one command line of dfctl in this process."""
    capsys.readouterr()
    code = dfctl.run(list(map(str, argv)), plugins=Plugins())
    out, err = capsys.readouterr()
    return Ran(code, out, err)


def snapshot(**changed):
    """A row of `ls`, as a seed peer gives it."""
    row = {
        "task": "0" * 32,
        "url": "hub://o/r@abc",
        "revision": "abc",
        "public": True,
        "files": 3,
        "bytes": 90_868_376,
        "blobs": 2,
        "here": 2,
        "complete": True,
        "revisions": ["main"],
        "asked": ["hub://o/r"],
        "pinned": False,
        "imported": False,
        "resolved": 0.0,
        "used": 0.0,
        "nodes": 0,
    }
    return {**row, **changed}


def node(**changed):
    """A node of `peers`, as a seed peer gives it."""
    row = {
        "node": "n1",
        "place": 0,
        "state": "fetching",
        "addresses": ["10.0.0.1:6881"],
        "location": "",
        "neighbours": [],
        "held": 1,
        "segments": 4,
        "done": False,
        "stalled": 0,
        "received": {"hub": 0, "seed-peer": 8_000_000, "peer": 1_000_000},
        "rate": 2_000_000,
        "heard": 0.4,
        "benched": 0.0,
        "expelled": False,
    }
    return {**row, **changed}
