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
from dfly.errors import AccessDenied
from dfly.seed.answers import in_words
from dfly.seed.faces import OPERATOR, Face
from dfly.seed.watching.readiness import Readiness
from dfly.version import VERSION

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.define(kw_only=True, eq=False)
class App:
    """The parts that it shows. `members` counts the rings this node is in; `faces` answer requests of their own."""

    cache: Cache
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
