"""The daemon's HTTP face, on its unix socket and, if asked for, on a loopback port.

Anybody on the machine may reach the port, so it tells how things are and nothing that is anybody's own. What names sources or
changes something is answered on the socket only, to root and the daemon's own user.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
from aiohttp import web

from dfly.daemon.cache import Cache
from dfly.daemon.front import caller_of
from dfly.daemon.records import Record, Records
from dfly.daemon.repair import Verifier
from dfly.errors import AccessDenied, NotFound, UsageError
from dfly.seed.answers import in_words
from dfly.seed.faces import OPERATOR, Face
from dfly.seed.readiness import Readiness
from dfly.version import VERSION

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.define(kw_only=True, eq=False)
class App:
    """The parts that it shows. `members` counts the rings this node is in; `faces` answer requests of their own."""

    cache: Cache
    records: Records
    verifier: Verifier
    members: Callable[[], int]
    seed_peers: tuple[str, ...]
    faces: Sequence[Face] = ()
    readiness: Readiness = attrs.field(factory=Readiness)
    started: float = attrs.field(factory=time.monotonic)

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[in_words, self._guarded])
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readiness.answer)
        app.router.add_get("/v1/status", self.status)
        app.router.add_get(OPERATOR + "snapshots", self.snapshots)
        app.router.add_post(OPERATOR + "verify", self.verify)
        app.router.add_post(OPERATOR + "pins", self.pins)
        for face in self.faces:
            face.add_routes(app.router)
        return app

    async def healthz(self, _request: web.Request) -> web.Response:
        """GET /healthz: the process answers."""
        return web.json_response({"ok": True})

    async def status(self, _request: web.Request) -> web.Response:
        """GET /v1/status."""
        blobs, used = await asyncio.to_thread(lambda: (len(self.cache.blobs()), self.cache.used_bytes))
        return web.json_response(
            {
                "version": VERSION,
                "pid": os.getpid(),
                "seconds": round(time.monotonic() - self.started, 3),
                "blobs": blobs,
                "bytes": used,
                "limit": self.cache.limit,
                "seed_peers": list(self.seed_peers),
                "rings": self.members(),
            }
        )

    async def snapshots(self, _request: web.Request) -> web.Response:
        """GET /v1/operator/snapshots: what is remembered."""
        return web.json_response(
            {"snapshots": await asyncio.to_thread(lambda: list(map(self._row, self.records.all())))}
        )

    async def verify(self, request: web.Request) -> web.Response:
        """POST /v1/operator/verify, `{"blobs": [...]}` or nothing for all: reads them, mends what it can."""
        said = await _body(request)
        wanted = said.get("blobs")
        if wanted is not None and not (isinstance(wanted, list) and all(isinstance(blob, str) for blob in wanted)):
            raise UsageError("blobs is a list of blob ids")
        found = await asyncio.to_thread(self.verifier.verify, wanted)
        return web.json_response(attrs.asdict(found))

    async def pins(self, request: web.Request) -> web.Response:
        """POST /v1/operator/pins, `{"url": …, "pinned": true}`: keep a snapshot whatever else needs room, or no longer."""
        said = await _body(request)
        url, pinned = said.get("url"), said.get("pinned", True)
        if not isinstance(url, str) or not isinstance(pinned, bool):
            raise UsageError("give a url, and pinned as true or false")
        tasks = [record.task for record in self.records.all() if url in (record.snapshot.source, record.ask.url)]
        if not tasks:
            raise NotFound(f"{url} is not in this cache", kind="snapshot", hint="fetch it first")
        for task in tasks:
            await asyncio.to_thread(self.records.change, task, pinned=pinned)
        self.cache.pin(self.records.pinned_blobs())
        return web.json_response(
            {"snapshots": [self._row(record) for record in self.records.all() if record.task in tasks]}
        )

    def _row(self, record: Record) -> dict[str, Any]:
        blobs = record.blobs()
        return {
            "url": record.snapshot.source,
            "files": len(record.snapshot.entries),
            "bytes": record.snapshot.size,
            "here": sum(blob in self.cache for blob in blobs),
            "blobs": len(blobs),
            "pinned": record.pinned,
            "used": record.used,
        }

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(OPERATOR):
            _require_owner(request)
        return await handler(request)


def _require_owner(request: web.Request) -> None:
    sock = request.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX or _uid(sock) not in (0, os.geteuid()):
        raise AccessDenied("only root and the daemon's own user may ask that, on its socket")


def _uid(sock: Any) -> int:
    try:
        return caller_of(sock).uid
    except OSError:
        return -1


async def _body(request: web.Request) -> dict[str, Any]:
    if not request.can_read_body:
        return {}
    try:
        said = await request.json()
    except ValueError as error:
        raise UsageError("the body is not JSON") from error
    if not isinstance(said, dict):
        raise UsageError("the body is not an object")
    return said
