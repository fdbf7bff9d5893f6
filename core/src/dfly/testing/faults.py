"""What can go wrong with one HTTP answer, as small functions. Give them to `FaultyOrigin.fault`.

A fault gets the exchange with the right answer in it and spoils that. They combine: `fault(path, no_range(),
truncated(100))`.
"""

import gzip as _gzip
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from dfly.testing.origin import FaultyOrigin


@attrs.frozen
class Seen:
    """A request as it arrived: `path` without its query; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")


@attrs.define
class Reply:
    """What goes over the wire. `framing` is "length", "chunked" or "close" (the body ends with the connection).

    `cut` ends the connection after that many bytes of the body; `rate` is in bytes/s; at `stall_at` bytes the body
    stands still until `stall` is set or the origin closes. `silent` closes without a word; `vanish` closes the
    connection when the next request has arrived on it.
    """

    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    body: bytes | memoryview = b""
    framing: str = "length"
    cut: int | None = None
    rate: float | None = None
    stall: threading.Event | None = None
    stall_at: int = 0
    silent: bool = False
    vanish: bool = False


@attrs.define
class Exchange:
    """One request and the answer to it: the whole `content`, the bytes `[start, stop)` that the range asks for, the reply."""

    origin: "FaultyOrigin"
    seen: Seen
    content: bytes | memoryview
    start: int
    stop: int
    reply: Reply


Fault = Callable[[Exchange], None]


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """Answer with this status; `retry_after="3"` becomes `Retry-After: 3`."""

    def apply(exchange: Exchange) -> None:
        named = {name.replace("_", "-").title(): value for name, value in headers.items()}
        exchange.reply = Reply(code, {"Content-Type": "text/plain", **named}, body or f"status {code}\n".encode())

    return apply


def truncated(after: int) -> Fault:
    """Close the connection after `after` bytes of a body whose Content-Length promises all of it."""
    return lambda exchange: setattr(exchange.reply, "cut", after)


def shorter(by: int = 1) -> Fault:
    """Serve fewer bytes with a Content-Length that agrees with them; a Content-Range still claims all."""

    def apply(exchange: Exchange) -> None:
        exchange.reply.body = exchange.reply.body[: max(0, len(exchange.reply.body) - by)]

    return apply


def wrong_length(by: int) -> Fault:
    """Promise `by` bytes more (or less, if negative) than are sent, and close."""

    def apply(exchange: Exchange) -> None:
        exchange.reply.headers["Content-Length"] = str(max(0, len(exchange.reply.body) + by))
        exchange.reply.cut = len(exchange.reply.body)

    return apply


def corrupt(at: int = 0) -> Fault:
    """Flip the bits of the byte at offset `at` of the file, if this answer holds it."""

    def apply(exchange: Exchange) -> None:
        index = at - exchange.start
        if 0 <= index < len(exchange.reply.body):
            body = bytearray(exchange.reply.body)
            body[index] ^= 0xFF
            exchange.reply.body = bytes(body)

    return apply


def no_range() -> Fault:
    """Ignore the Range header: 200 and the whole file."""

    def apply(exchange: Exchange) -> None:
        exchange.reply.status = 200
        exchange.reply.body = exchange.content
        exchange.reply.headers.pop("Content-Range", None)
        exchange.reply.headers.pop("Accept-Ranges", None)
        exchange.start, exchange.stop = 0, len(exchange.content)

    return apply


def ok_with_content_range() -> Fault:
    """The right part and Content-Range under the status 200."""
    return lambda exchange: setattr(exchange.reply, "status", 200)


def wrong_start(by: int = 1) -> Fault:
    """Serve a part that begins `by` bytes later, and say so."""

    def apply(exchange: Exchange) -> None:
        start = min(exchange.start + by, exchange.stop - 1)
        exchange.reply.body = exchange.content[start : exchange.stop]
        exchange.reply.headers["Content-Range"] = f"bytes {start}-{exchange.stop - 1}/{len(exchange.content)}"

    return apply


def wrong_total(by: int = 1) -> Fault:
    """Claim in Content-Range that the file is `by` bytes longer."""

    def apply(exchange: Exchange) -> None:
        total = len(exchange.content) + by
        exchange.reply.headers["Content-Range"] = f"bytes {exchange.start}-{exchange.stop - 1}/{total}"

    return apply


def unsatisfiable(total: int | None = None) -> Fault:
    """416, with the file's size or `total`."""

    def apply(exchange: Exchange) -> None:
        size = len(exchange.content) if total is None else total
        exchange.reply = Reply(416, {"Content-Range": f"bytes */{size}"})

    return apply


def gzip() -> Fault:
    """Compress the body although nobody asked, in chunks without a length, as proxies do."""

    def apply(exchange: Exchange) -> None:
        exchange.reply.body = _gzip.compress(bytes(exchange.reply.body))
        exchange.reply.headers["Content-Encoding"] = "gzip"
        exchange.reply.framing = "chunked"

    return apply


def chunked() -> Fault:
    """Send the body in chunks, without Content-Length."""
    return lambda exchange: setattr(exchange.reply, "framing", "chunked")


def until_closed() -> Fault:
    """Send the body with neither length nor chunks; it ends with the connection."""
    return lambda exchange: setattr(exchange.reply, "framing", "close")


def slow(bytes_per_second: float) -> Fault:
    """Trickle the body."""
    return lambda exchange: setattr(exchange.reply, "rate", bytes_per_second)


def stall(until: threading.Event, *, after: int = 0) -> Fault:
    """Stand still after `after` bytes of the body, until the event is set or the origin closes."""

    def apply(exchange: Exchange) -> None:
        exchange.reply.stall, exchange.reply.stall_at = until, after

    return apply


def silent() -> Fault:
    """Close the connection without an answer."""
    return lambda exchange: setattr(exchange.reply, "silent", True)


def vanish() -> Fault:
    """Answer well, keep the connection, and close it as soon as the next request has arrived on it."""
    return lambda exchange: setattr(exchange.reply, "vanish", True)


def web_page(text: str = "<html><title>Please log in</title></html>") -> Fault:
    """200 and a web page, as captive portals and login walls answer."""

    def apply(exchange: Exchange) -> None:
        exchange.reply = Reply(200, {"Content-Type": "text/html; charset=utf-8"}, text.encode())

    return apply


def headers(**extra: str) -> Fault:
    """Set response headers; `set_cookie="a=b"` becomes `Set-Cookie: a=b`, an empty value takes the header away."""
    named = {name.replace("_", "-"): value for name, value in extra.items()}

    def apply(exchange: Exchange) -> None:
        kept = {name: value for name, value in exchange.reply.headers.items() if name.lower() not in named}
        exchange.reply.headers = kept | {name.title(): value for name, value in named.items() if value}

    return apply


def replaced(content: bytes) -> Fault:
    """Answer rightly, and then have other content and another ETag from the next request on."""
    return lambda exchange: exchange.origin.replace(exchange.seen.path, content)
