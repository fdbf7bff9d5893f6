"""Puts a `Reply` on a real socket, with every defect it asks for: cut, slow, stalled, unframed, or not at all."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote

from dfly.testing.faults import Reply, Seen

_BLOCK = 1 << 20


class Server(socketserver.ThreadingTCPServer):
    """Listens on 127.0.0.1 and asks `answer` for each request's reply. Replies that wait give up when `closing` is set."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, answer: Callable[[Seen], Reply], *, closing: threading.Event, port: int, tls: ssl.SSLContext | None
    ) -> None:
        self.answer = answer
        self.closing = closing
        self._tls = tls
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def finish_request(self, request: "socket.socket | tuple[bytes, socket.socket]", client_address: object) -> None:
        """Serve one connection until it ends."""
        assert isinstance(request, socket.socket)
        connection = request
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(request, server_side=True)
            self._open.add(connection)
            Handler(connection, client_address, self)
        except (OSError, ValueError):
            # the client went away, or does not trust our certificate: that is what it was here to find out
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def hang_up(self) -> None:
        """Close every connection that is open."""
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, writes replies byte by byte as they ask to be written."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server
    _vanish = False

    def handle_any(self) -> None:
        """Answer one request of whatever method."""
        if self._vanish:
            self.close_connection = True
            return
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.rfile.read(length)
        path, _, query = self.path.partition("?")
        headers: Mapping[str, str] = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.answer(Seen(self.command, unquote(path.lstrip("/")), query, headers))
        self._vanish = reply.vanish
        if reply.silent:
            self.close_connection = True
        else:
            self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the base class looks for these names

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        named = {name.lower() for name in reply.headers}
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.framing == "length" and "content-length" not in named:
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.framing == "close" or reply.cut is not None:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        self._send_body(reply)
        if reply.framing == "chunked" and reply.cut is None:
            self.wfile.write(b"0\r\n\r\n")

    def _send_body(self, reply: Reply) -> None:
        body = memoryview(reply.body)[: reply.cut]
        closing = self.server.closing
        block = _BLOCK if reply.rate is None else max(1, int(reply.rate / 20))
        stops = [len(body)] if reply.stall is None else [min(reply.stall_at, len(body)), len(body)]
        at = 0
        for index, stop in enumerate(stops):
            while at < stop:
                part = body[at : min(at + block, stop)]
                self._write(part, reply.framing)
                at += len(part)
                if reply.rate is not None and closing.wait(len(part) / reply.rate):
                    return
            if reply.stall is not None and index == 0:
                while not reply.stall.wait(0.02) and not closing.is_set():
                    pass

    def _write(self, part: memoryview, framing: str) -> None:
        if framing == "chunked":
            self.wfile.write(b"%x\r\n" % len(part))
        self.wfile.write(part)
        if framing == "chunked":
            self.wfile.write(b"\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: `FaultyOrigin.requests` is the log."""
