"""The web seed: published bytes of a blob, by ranged GET, for whoever has a grant.

libtorrent never asks a URL again after one bad status, bans it after one wrong byte, and hangs on a 200. Hence: exactly the shape
of range that it sends, always 206, a refusal for every byte that is not published, and no 5xx for one that is.
Sent with sendfile, a megabyte at a time, so that the scheduler sees a stalled entry node while it stalls.
"""

import re
import time
from collections import Counter
from collections.abc import Callable
from io import FileIO

import attrs
from aiohttp import web

from dfly.layout import MIB, Layout
from dfly.seed.answers import no_more_words
from dfly.seed.grants import Grant
from dfly.seed.keys import Keys
from dfly.seed.sending import send_part
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks

#: Seconds that a node may take for a megabyte before its connection and descriptor are taken back.
_PATIENCE = 60.0
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


@attrs.frozen(kw_only=True)
class _Wanted:
    """Bytes `[start, stop)` of a blob of `size`, in the file at `path`, for a node of a task."""

    task: Task
    node: str
    blob: str
    path: str
    size: int
    start: int
    stop: int


@attrs.define(kw_only=True, eq=False)
class WebSeed:
    """Serves `GET /v1/blobs/{grant}/{blob}`. `egress` counts bytes by kind; `lifetime` of a grant and `now` are in seconds."""

    tasks: Tasks
    keys: Keys
    egress: Counter[str]
    lifetime: int = 3600
    now: Callable[[], float] = time.time

    def grant(self, task: str, node: str) -> tuple[str, float]:
        """A new grant for a node, and the Unix time at which it ends."""
        grant = Grant(task=task, node=node, expires=int(self.now()) + self.lifetime)
        return grant.sealed(self.keys), float(grant.expires)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request. Raises AccessDenied for a grant that is none."""
        wanted = self._read(request)
        if isinstance(wanted, web.Response):
            return wanted
        try:
            # unbuffered: sendfile reads by descriptor
            file = open(wanted.path, "rb", buffering=0)  # noqa: SIM115 - the next statement closes it
        except OSError:
            return _status(404, "the blob is gone")
        with file:
            response = web.StreamResponse(status=206)
            response.content_type = "application/octet-stream"
            response.content_length = wanted.stop - wanted.start
            response.headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{wanted.size}"
            with no_more_words(request):
                await response.prepare(request)
                await self._send(request, wanted, file)
                await response.write_eof()
            return response

    def _read(self, request: web.Request) -> _Wanted | web.Response:
        grant = Grant.opened(request.match_info["grant"], self.keys, now=self.now())
        blob, mirror = request.match_info["blob"], self.tasks.mirror
        task = self.tasks.get(grant.task)
        if task is None or blob not in task.scheduler.blobs:
            return _status(404, "no such blob in this task")
        size, path = mirror.size(blob), mirror.path(blob)
        if size is None or path is None:
            return _status(404, "nothing is known of this blob yet")
        wanted = _range(request.headers.getall("Range", []), size)
        if wanted is None or not mirror.published(blob, *wanted):
            return _status(416, "give one range of published bytes", headers={"Content-Range": f"bytes */{size}"})
        start, stop = wanted
        return _Wanted(task=task, node=grant.node, blob=blob, path=path, size=size, start=start, stop=stop)

    async def _send(self, request: web.Request, wanted: _Wanted, file: FileIO) -> None:
        layout, at = Layout(wanted.size), wanted.start
        self._tell(wanted, layout.segment_of(at), 0)
        while at < wanted.stop:
            segment = layout.segment_of(at)
            end = min(wanted.stop, at + MIB, layout.segment_range(segment)[1])
            sent = await send_part(request, file, at, end - at, patience=_PATIENCE)
            self.egress["web seed"] += sent
            self._tell(wanted, segment, sent)
            if sent != end - at:
                # the file is shorter than was published: end the connection rather than send something else
                raise ConnectionResetError("the blob has been cut short")
            at = end

    def _tell(self, wanted: _Wanted, segment: int, count: int) -> None:
        wanted.task.post(wanted.task.scheduler.served(wanted.node, wanted.blob, segment, count))


def _range(headers: list[str], size: int) -> tuple[int, int] | None:
    """The half-open range of a request that has exactly one; None for any other shape, or one beyond the end."""
    match = _RANGE.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    return (first, last + 1) if first <= last < size else None


def _status(status: int, said: str, *, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, text=said + "\n", headers=headers)
