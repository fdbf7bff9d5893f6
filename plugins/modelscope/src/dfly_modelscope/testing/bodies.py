"""Sends file content: ranges in the hub's own way, a limit on what leaves the machine, and the faults of a transfer."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import attrs
from aiohttp import web

from dfly_modelscope.testing.content import File
from dfly_modelscope.testing.faults import Fault
from dfly_modelscope.testing.records import Call

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_SLICE = 1 << 20
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


@attrs.frozen(kw_only=True)
class Body:
    """One file on its way to one client. A part is sent under `part_status`: the real hub says 200, and Content-Range."""

    request: web.Request
    file: File
    call: Call
    fault: Fault
    throttle: Throttle
    headers: Mapping[str, str]
    part_status: int

    async def send(self) -> web.StreamResponse:
        """Answer with the range that was asked for."""
        headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream", **self.headers}
        start, stop, status = 0, self.file.size, 200
        asked = _RANGE.fullmatch(self.request.headers.get("Range", ""))
        if asked and not self.fault.whole:
            start, stop = int(asked[1]), min(int(asked[2]) + 1, stop) if asked[2] else stop
            if start >= stop:
                self.call.status = 416
                return web.Response(status=416, headers={"Content-Range": f"bytes */{self.file.size}"})
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{self.file.size}"
            status = self.part_status
        headers.update(self.fault.headers)
        self.call.status = status
        response = web.StreamResponse(status=status, headers={k: v for k, v in headers.items() if v})
        stop = max(stop - self.fault.shorten, start)
        response.content_length = stop - start
        await response.prepare(self.request)
        if self.request.method != "HEAD":
            # a client may leave when it has what it wants
            with suppress(ConnectionError):
                await self._send(response, start, stop)
        return response

    async def _send(self, response: web.StreamResponse, start: int, stop: int) -> None:
        end = stop if self.fault.cut is None else min(stop, start + self.fault.cut)
        for at in range(start, end, self.throttle.slice):
            chunk = self.file.read(at, min(at + self.throttle.slice, end))
            if self.fault.flip and at == start:
                chunk = bytes([chunk[0] ^ 0xFF]) + chunk[1:]
            await self.throttle.spend(len(chunk))
            # counted first: a client that has everything must find it counted
            self.call.bytes += len(chunk)
            await response.write(chunk)
        transport = self.request.transport
        if end < stop and transport is not None:
            transport.close()
        else:
            await response.write_eof()
