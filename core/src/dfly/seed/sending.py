"""What is sent to clients that read: one that has gone or stands still ends its own connection, and holds on to nothing here."""

import asyncio
import time
from collections import Counter
from io import FileIO

import attrs
from aiohttp import HttpVersion11, web

from dfly.seed.access import plain_ip
from dfly.seed.stream import unframed

#: Bytes that the other end has not taken yet beyond which it is not sent more.
_ENOUGH = 64 << 10


async def send_part(request: web.Request, file: FileIO, at: int, count: int, *, patience: float) -> int:
    """Send `count` bytes of an unbuffered `file` from `at`, and return how many there were: fewer where the file is shorter.

    Raises ConnectionResetError where the other end has gone, or does not take them within `patience` seconds.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the other end has gone")
    try:
        async with asyncio.timeout(patience):
            return await asyncio.get_running_loop().sendfile(transport, file, at, count)
    except TimeoutError as error:
        raise ConnectionResetError("the other end does not read") from error


async def write_part(response: web.StreamResponse, data: bytes | memoryview, *, patience: float) -> None:
    """Write some of a stream. Raises ConnectionResetError where the other end does not take it within `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            await response.write(data)
    except TimeoutError as error:
        raise ConnectionResetError("the other end does not read") from error


async def write_parts(response: web.StreamResponse, data: bytes, *, patience: float) -> None:
    """The same, a little at a time: a thousand that come at once and read slowly hold little more than `data` itself."""
    for at in range(0, len(data), _ENOUGH):
        await write_part(response, memoryview(data)[at : at + _ENOUGH], patience=patience)


@attrs.define(eq=False)
class StreamOutlet:
    """An `Outlet` of the event stream: writes to the connection below a response that aiohttp has begun and will end.

    To wake a task for each of a thousand streams, twenty times a second, would cost more than to write. `egress` counts the
    bytes; who takes nothing for `patience` seconds while more is there is cut off.
    """

    _transport: asyncio.Transport
    _egress: Counter[str]
    patience: float
    #: Whether the body is sent in chunks; to HTTP/1.0 it is not.
    chunked: bool = True
    _full_since: float | None = None
    _ended: asyncio.Event = attrs.field(factory=asyncio.Event)

    @classmethod
    def of(
        cls, request: web.Request, response: web.StreamResponse, *, egress: Counter[str], patience: float
    ) -> "StreamOutlet":
        """For a response that is not prepared yet. Raises ConnectionResetError where the other end has gone."""
        if request.transport is None:
            raise ConnectionResetError("the other end has gone")
        chunked = request.version >= HttpVersion11
        if chunked:
            response.enable_chunked_encoding()
        return cls(request.transport, egress, patience=patience, chunked=chunked)

    @property
    def address(self) -> str:
        """Ours, as the other end sees it."""
        return str(plain_ip(self._transport.get_extra_info("sockname")[0]))

    def takes(self) -> bool:
        """See `Outlet`."""
        if self._transport.get_write_buffer_size() <= _ENOUGH:
            self._full_since = None
            return True
        now = time.monotonic()
        self._full_since = self._full_since or now
        if now - self._full_since > self.patience:
            self.abort()
        return False

    def write(self, *chunks: bytes) -> None:
        """See `Outlet`."""
        if self._transport.is_closing():
            return
        data = b"".join(chunks if self.chunked else map(unframed, chunks))
        self._egress["control"] += len(data)
        self._transport.write(data)

    def end(self) -> None:
        """See `Outlet`."""
        self._ended.set()

    def abort(self) -> None:
        """See `Outlet`."""
        self._transport.abort()

    async def ended(self) -> None:
        """Wait until nothing more will be written. Where the other end goes first, aiohttp cancels who waits."""
        await self._ended.wait()
