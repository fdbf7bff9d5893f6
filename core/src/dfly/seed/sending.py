"""What is sent to clients that read: one that has gone or stands still ends its own connection, and holds on to nothing here."""

import asyncio
from io import FileIO

from aiohttp import web


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


async def write_part(response: web.StreamResponse, data: bytes, *, patience: float) -> None:
    """Write some of a stream. Raises ConnectionResetError where the other end does not take it within `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            await response.write(data)
    except TimeoutError as error:
        raise ConnectionResetError("the other end does not read") from error
