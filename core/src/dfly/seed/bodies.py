"""Reads request bodies: each route with a cap of its own, and the few that may be very large one at a time.

A node that carries a snapshot over brings hundreds of megabytes where a repository has a million files. A few hundred nodes
do so within a second, so they take turns: what is in memory at once is one of them. Parsed, a stranger's body can be twenty
times its size; so the cap is low, and the turn lasts until the large one is parsed.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from dfly.wire import LONGEST_BODY, WireError

T = TypeVar("T")

#: Seconds that a body may take, and a large one once it is its turn.
PATIENCE, LARGE = 60.0, 120.0


class Bodies:
    """One for all routes. Lives in one event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def read(self, request: web.Request, *, most: int) -> bytes:
        """The body. Raises HTTPRequestEntityTooLarge beyond `most` bytes, WireError where it takes too long.

        Raises HTTPUnsupportedMediaType for a packed one: no node sends that, and a megabyte unpacks to a gigabyte.
        """
        if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise web.HTTPUnsupportedMediaType
        length = request.content_length
        if length is not None and length > most:
            raise web.HTTPRequestEntityTooLarge(most, length)
        body = bytearray()
        whole = await _fill(body, request, most=min(most, LONGEST_BODY), patience=PATIENCE)
        if not whole and most > LONGEST_BODY:
            async with self._turn:
                whole = await _fill(body, request, most=most, patience=LARGE)
        if not whole:
            raise web.HTTPRequestEntityTooLarge(most, len(body))
        return bytes(body)

    async def parsed(self, body: bytes, parse: Callable[[bytes], T]) -> T:
        """What `parse` makes of a large body, in a thread."""
        async with self._turn:
            return await asyncio.to_thread(parse, body)


async def _fill(body: bytearray, request: web.Request, *, most: int, patience: float) -> bool:
    """Read on until the end, or until there are more than `most` bytes: then False."""
    try:
        async with asyncio.timeout(patience):
            while len(body) <= most:
                chunk = await request.content.readany()
                if not chunk:
                    return True
                body += chunk
    except TimeoutError as error:
        raise WireError(f"it was not there within {patience:.0f} s") from error
    return False
