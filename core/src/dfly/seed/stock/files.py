"""The web seed of stock clients: `GET /v1/files/{pass}/{name}`, one complete blob with HTTP's ordinary ranges (BEP 19).

Unlike the one that nodes take published bytes from (`dfly.seed.webseed`) it knows only what is whole and verified, so that a
client may ask for all of it, which aria2c does. By path only: libtorrent asks no URL with a query on a private address.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import attrs
from aiohttp import web

from dfly.errors import NotFound
from dfly.seed.answers import no_more_words
from dfly.seed.keys import Keys
from dfly.seed.sending import send_part
from dfly.seed.stock.passes import Pass
from dfly.seed.tasks import Tasks
from dfly.store.blobs import Committed

#: Bytes that a client may take so many seconds for before its connection and descriptor are taken back.
_STEP, _PATIENCE = 1 << 18, 60.0


@attrs.define(kw_only=True, eq=False)
class Files:
    """Serves them, as a `Face`. `egress` counts bytes by kind; `now` is Unix time."""

    tasks: Tasks
    keys: Keys
    egress: Counter[str]
    now: Callable[[], float] = time.time

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_get("/v1/files/{pass}/{name}", self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET and HEAD. Raises AccessDenied for a pass that is none, NotFound for what is not here."""
        shown = Pass.opened(request.match_info["pass"], self.keys, now=self.now())
        if request.match_info["name"] != shown.name:
            raise NotFound("this pass is for another file", kind="file")
        committed = await asyncio.to_thread(self.tasks.mirror.committed, shown.blob)
        if committed is None:
            raise NotFound(f"{shown.name} is not here, or not whole", kind="file", hint="fetch it here again")
        tag = f'"{committed.sha256}"'
        start, stop, status = _asked(request, committed.size, tag)
        headers = {"Accept-Ranges": "bytes", "ETag": tag}
        if status == 416:
            return web.Response(status=416, headers={**headers, "Content-Range": f"bytes */{committed.size}"})
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{committed.size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_type, response.content_length = "application/octet-stream", stop - start
        with no_more_words(request):
            await response.prepare(request)
            if request.method != "HEAD":
                await self._send(request, committed, start, stop)
            await response.write_eof()
        return response

    async def _send(self, request: web.Request, committed: Committed, start: int, stop: int) -> None:
        # unbuffered: sendfile reads by descriptor
        with open(committed.path, "rb", buffering=0) as file:
            for at in range(start, stop, _STEP):
                count = min(_STEP, stop - at)
                sent = await send_part(request, file, at, count, patience=_PATIENCE)
                self.egress["files"] += sent
                if sent != count:
                    raise ConnectionResetError("the blob has been cut short")


def _asked(request: web.Request, size: int, tag: str) -> tuple[int, int, int]:
    """The half-open range and the status. One that is no range, several, or one of other content (If-Range), is all of it."""
    try:
        asked = request.http_range
    except ValueError:
        return 0, size, 200
    start, stop = asked.start, asked.stop
    if (start is None and stop is None) or request.headers.get("If-Range", tag) != tag:
        return 0, size, 200
    if start is not None and start < 0:
        start, stop = max(0, size + start), size
    start, stop = start or 0, size if stop is None else min(stop, size)
    return (start, stop, 206) if start < stop else (0, 0, 416)
