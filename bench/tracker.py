"""A tracker for one torrent, for clients that find their peers by one: `python tracker.py HOST PORT`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import inet_aton
from urllib.parse import parse_qs, urlsplit


class Tracker(BaseHTTPRequestHandler):
    """Tells everybody of everybody, in the compact form."""

    peers: dict[bytes, None] = {}  # noqa: RUF012 - one torrent, one process

    def do_GET(self) -> None:
        port = int(parse_qs(urlsplit(self.path).query).get("port", ["0"])[0])
        own = inet_aton(self.client_address[0]) + port.to_bytes(2, "big")
        self.peers.setdefault(own)
        others = b"".join(peer for peer in list(self.peers) if peer != own)
        body = b"d8:intervali2e12:min intervali2e5:peers%d:%se" % (len(others), others)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Tracker).serve_forever()
