"""Sends file content: ranges, sendfile, a limit on what leaves the machine, and the faults of a transfer."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import IO

import attrs
from aiohttp import web

from dfly.testing.hub.contents import Content
from dfly.testing.hub.faults import Fault
from dfly.testing.hub.records import Call

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SUFFIX = re.compile(r"bytes=-(\d+)")
_SLICE = 4 << 20
_SLOW_SLICE = 64 << 10


class Throttle:
    """Shares `rate` bytes/s among all bodies of a hub; None does not limit."""

    def __init__(
        self,
        rate: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.rate = rate
        self._clock = clock
        self._sleep = sleep
        self._free_at = 0.0

    @property
    def slice(self) -> int:
        """How many bytes to send at once."""
        return _SLICE if self.rate is None else _SLOW_SLICE

    async def spend(self, count: int) -> None:
        """Wait until `count` more bytes may leave."""
        if self.rate is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / self.rate
        if (pause := self._free_at - now) > 0:
            await self._sleep(pause)


class Brake:
    """Keeps files back: of one that is held, nothing leaves from an offset on until it is let go.

    `hold` may be called from any thread, the rest belongs to the thread of the hub.
    """

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._let_go = asyncio.Event()

    def hold(self, path: str, at: int) -> None:
        """Send nothing of `path` from byte `at` on."""
        self._held[path] = at

    def let_go(self) -> None:
        """Hold nothing any more."""
        self._held.clear()
        self._let_go.set()
        self._let_go.clear()

    async def passing(self, path: str, start: int, stop: int) -> int:
        """Wait until the byte at `start` may leave; where what may leave with it ends, at most at `stop`."""
        while start >= self._held.get(path, stop):
            await self._let_go.wait()
        return min(stop, self._held.get(path, stop))


@attrs.frozen(kw_only=True)
class Body:
    """One file on its way to one client. A part is sent under `part_status`: some hubs say 200, and Content-Range."""

    request: web.Request
    file: Content
    call: Call
    fault: Fault
    throttle: Throttle
    brake: Brake
    headers: Mapping[str, str]
    part_status: int = 206
    #: Compress where the client takes it, as some hubs do with their small files.
    compressible: bool = False

    async def send(self) -> web.StreamResponse:
        """Answer with the range that was asked for."""
        fault = self.fault
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **self.headers}
        wanted, etag = self.request.headers.get("If-Match"), headers.get("ETag")
        if etag is not None and wanted not in (None, "*", etag):
            return self._finish(web.Response(status=412, headers=headers))
        start, stop, status = self._range(ignored=fault.whole)
        if status == 416:
            headers["Content-Range"] = f"bytes */{self.file.size}"
            return self._finish(web.Response(status=416, headers=headers))
        part = status == 206
        if part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{self.file.size}"
            status = self.part_status
        headers.update(fault.headers)
        response = web.StreamResponse(status=status, headers={k: v for k, v in headers.items() if v})
        accepts = "gzip" in self.request.headers.get("Accept-Encoding", "")
        if fault.gzip or (self.compressible and accepts and not part and self.request.method == "GET"):
            return await self._send_gzip(response, start, stop)
        stop = max(stop - fault.shorten, start)
        if fault.headers.get("Content-Length") != "":
            response.content_length = stop - start
        self._finish(response)
        await response.prepare(self.request)
        if self.request.method != "HEAD":
            # a client may leave when it has what it wants
            with suppress(ConnectionError):
                await self._send_range(response, start, stop)
        return response

    def _range(self, *, ignored: bool) -> tuple[int, int, int]:
        size = self.file.size
        text = self.request.headers.get("Range", "")
        if not ignored and (match := _RANGE.fullmatch(text)):
            start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
            return (start, stop, 206) if start < stop else (0, 0, 416)
        if not ignored and (match := _SUFFIX.fullmatch(text)) and size:
            return max(size - int(match[1]), 0), size, 206
        return 0, size, 200

    def _finish(self, response: web.StreamResponse) -> web.StreamResponse:
        self.call.status = response.status
        return response

    async def _send_gzip(self, response: web.StreamResponse, start: int, stop: int) -> web.StreamResponse:
        content = b"".join([chunk async for chunk in self._chunks(start, stop)])
        response.headers["Content-Encoding"] = "gzip"
        response.enable_chunked_encoding()
        self._finish(response)
        self.call.bytes += len(content)
        await response.prepare(self.request)
        await response.write(gzip.compress(content))
        await response.write_eof()
        return response

    async def _send_range(self, response: web.StreamResponse, start: int, stop: int) -> None:
        end = stop if self.fault.cut is None else min(stop, start + self.fault.cut)
        if self.fault.flip and start < end:
            await self.throttle.spend(1)
            self.call.bytes += 1
            await response.write(bytes([self.file.read(start, start + 1)[0] ^ 0xFF]))
            start += 1
        if self.file.path is not None:
            # opened anew for each range: a benchmark holds thousands of files
            with self.file.path.open("rb") as file:
                await self._sendfile(file, start, end)
        else:
            async for chunk in self._chunks(start, end):
                # counted first: a client that has everything must find it counted
                self.call.bytes += len(chunk)
                await response.write(chunk)
        transport = self.request.transport
        if end < stop and transport is not None:
            transport.close()
        else:
            await response.write_eof()

    async def _sendfile(self, file: IO[bytes], start: int, stop: int) -> None:
        loop = asyncio.get_running_loop()
        at = start
        while at < stop:
            count = await self.brake.passing(self.call.path, at, min(at + self.throttle.slice, stop)) - at
            await self.throttle.spend(count)
            transport = self.request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the client went away")
            # counted first, as above
            self.call.bytes += count
            try:
                await loop.sendfile(transport, file, at, count)
            except ConnectionError:
                # asyncio leaves the file where sending stopped
                self.call.bytes -= at + count - file.tell()
                raise
            at += count

    async def _chunks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        end = start
        while end < stop:
            at, end = end, await self.brake.passing(self.call.path, end, min(end + self.throttle.slice, stop))
            await self.throttle.spend(end - at)
            yield self.file.read(at, end)
