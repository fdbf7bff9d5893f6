"""A proxy between nodes and a seed peer, through which one of them sounds one release newer than it is.

What a release may add to the wire without breaking the one before it: fields in messages and columns at the end of a
snapshot's rows, kinds of messages in the event stream, query parameters, headers. Here all of them are added everywhere.
"""

import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
from aiohttp import web

from dfly.seed.running import in_thread, listening
from dfly.wire import WIRE_VERSION

#: Headers that are one connection's own.
_OWN = ("host", "connection", "transfer-encoding", "content-length", "keep-alive")


class Newer:
    """In front of the seed peer at `upstream`. `node`, `seed_peer`: who sounds newer.

    `added` counts what was put in, `refused` are the requests that the seed peer could not read.
    """

    def __init__(self, upstream: str, *, node: bool, seed_peer: bool) -> None:
        self.upstream, self.node, self.seed_peer = upstream, node, seed_peer
        self.added: Counter[str] = Counter()
        self.refused: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Pass on from a thread of its own; yields the URL to join."""
        with in_thread(self._serving, name="newer") as url:
            yield url

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        patient = aiohttp.ClientTimeout(total=None)
        session = aiohttp.ClientSession(auto_decompress=False, timeout=patient)
        async with session as self._session, listening(app, ("127.0.0.1", 0)) as url:
            yield url

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body, headers, query = await request.read(), _passed(request.headers), dict(request.query)
        if self.node:
            headers["X-Dfly-Mood"] = "sunny"
            query["mood"] = "sunny"
            body = self._asked(body) if body else body
        async with self._session.request(
            request.method, self.upstream + request.path, params=query, data=body, headers=headers
        ) as answer:
            # others may be right: a report that comes when the node has just left its ring is a 409
            if answer.status == 400:
                self.refused.append(f"{request.method} {request.path}")
            if not self.seed_peer or "json" not in answer.headers.get("Content-Type", ""):
                return await _as_it_is(request, answer)
            if request.path.endswith("/events"):
                return await self._events(request, answer)
            said = self._with_more(json.loads(await answer.read()))
            return web.json_response(said, status=answer.status, headers={"X-Dfly-Mood": "sunny"})

    def _asked(self, body: bytes) -> bytes:
        said = json.loads(body)
        if "version" in said:
            said["version"] = WIRE_VERSION + 1
            self.added["version"] += 1
        return json.dumps(self._with_more(said)).encode()

    async def _events(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
        await response.prepare(request)
        async for line in answer.content:
            await response.write(json.dumps(self._with_more(json.loads(line))).encode() + b"\n")
            await response.write(b'{"t": "weather", "seq": 0, "sky": {"clouds": [1, 2]}}\n')
            self.added["message"] += 1
        return response

    def _with_more(self, said: dict[str, Any]) -> dict[str, Any]:
        """A message with a field that nobody knows; the messages and the snapshot's rows in it likewise."""
        self.added["field"] += 1
        more: dict[str, Any] = {**said, "mood": {"is": ["sunny"]}}
        for name in ("known", "snapshot"):
            if said.get(name):
                more[name] = self._with_more(said[name])
        if "entries" in said:
            more["entries"] = [[*row, {"colour": "blue"}] for row in said["entries"]]
            self.added["column"] += 1
        return more


def _passed(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OWN}


async def _as_it_is(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_passed(answer.headers))
    if "Content-Length" in answer.headers:
        response.content_length = int(answer.headers["Content-Length"])
    await response.prepare(request)
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
    return response
