"""The facades of hubs (`dfly.facade`), each below `/<prefix>/` on the daemon's HTTP face: the web server's side of them.

A body at hand goes out at once. A file goes out with sendfile, as far as it has arrived and at the client's pace, so that
nothing of it is held in memory; the head of the answer waits for its first bytes, because until then it can still be an error.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import structlog
from aiohttp import web
from multidict import CIMultiDict

from dfly.backend import build_options, option_fields
from dfly.daemon.reading import Reading
from dfly.daemon.reads import Reads
from dfly.errors import DflyError, NotFound, UsageError
from dfly.facade import IDENTITY, WHO, Answer, Asked, Content, Facade
from dfly.layout import MIB
from dfly.plugins import Plugins
from dfly.seed.answers import no_more_words, refuse
from dfly.seed.sending import send_part
from dfly.values import bare_url

_log = structlog.get_logger(__name__)

#: Bytes of a request's body: what is for the hub's API alone is passed on.
LARGEST_BODY = 64 * MIB
#: Bytes handed to the kernel at once, and seconds that a client may take for them.
_STRETCH, _DEAF = 4 * MIB, 600.0


@attrs.define(kw_only=True, eq=False)
class Endpoints:
    """`identity` is this daemon's id; `settled` is `Backends.settled`; `environment` is where the usual options come from."""

    plugins: Plugins
    reads: Reads
    identity: str
    settled: Callable[[Any, Any], Any]
    environment: Mapping[str, str]
    _facades: dict[str, Facade] = attrs.field(factory=dict)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Every prefix that a plugin may have a facade for; which have one is found out when it is asked for."""
        for prefix in self.plugins.prefixes():
            router.add_route("*", f"/{prefix}{WHO}", partial(self._who, prefix))
            router.add_route("*", f"/{prefix}/{{rest:[\\s\\S]*}}", partial(self._answer, prefix))

    async def _who(self, prefix: str, _request: web.Request) -> web.Response:
        if await asyncio.to_thread(self.plugins.facade, prefix) is None:
            return _nothing(prefix)
        usual = await asyncio.to_thread(self._usual, prefix)
        upstream = usual[0].get(usual[1][0]) if usual[1] else None
        told = {"endpoint": self.identity, "upstream": upstream and _without_password(upstream)}
        return web.json_response(told, headers={IDENTITY: self.identity})

    async def _answer(self, prefix: str, request: web.Request) -> web.StreamResponse:
        facade = await self._facade(prefix)
        if facade is None:
            return _nothing(prefix)
        try:
            answer = await facade.answer(await _asked(request, prefix), self.reads)
            return await self._sent(request, answer)
        except DflyError as error:
            response = refuse(error)
            response.headers[IDENTITY] = self.identity
            return response

    async def _facade(self, prefix: str) -> Facade | None:
        if prefix not in self._facades:
            found = await asyncio.to_thread(self._made, prefix)
            if found is None:
                return None
            self._facades.setdefault(prefix, found)
        return self._facades[prefix]

    def _made(self, prefix: str) -> Facade | None:
        facade_class = self.plugins.facade(prefix)
        return None if facade_class is None else facade_class(self._usual(prefix, settled=True)[0])

    def _usual(self, prefix: str, *, settled: bool = False) -> tuple[dict[str, str], list[str]]:
        """The plain options that the environment gives the backend, and which of them are endpoints."""
        backend_class = self.plugins.backend(prefix)
        fields = [spec for spec in option_fields(backend_class) if not spec.secret and not spec.repeated]
        settings = build_options(backend_class, {}, self.environment)
        if settled:
            settings = self.settled(backend_class, settings)
        plain = {
            spec.field: value for spec in fields if isinstance(value := getattr(settings, spec.field), str) and value
        }
        return plain, [spec.field for spec in fields if spec.endpoint]

    # Sending

    async def _sent(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        headers = CIMultiDict(answer.headers)
        headers[IDENTITY] = self.identity
        content = answer.body
        if not isinstance(content, Content):
            if request.method == "HEAD" and "Content-Length" not in headers:
                headers["Content-Length"] = str(len(content))
            return web.Response(
                status=answer.status, headers=headers, body=None if request.method == "HEAD" else content
            )
        headers["Content-Length"] = str(content.stop - content.start)
        if request.method == "HEAD" or content.start >= content.stop:
            return web.Response(status=answer.status, headers=headers)
        reading = await self.reads.read(content)
        try:
            return await self._streamed(request, answer.status, headers, reading)
        finally:
            reading.close()

    async def _streamed(
        self, request: web.Request, status: int, headers: CIMultiDict[str], reading: Reading
    ) -> web.StreamResponse:
        content = reading.wanted.content
        at = content.start
        gone = partial(_has_gone, request)
        stop = await reading.until(at, gone=gone)
        response = web.StreamResponse(status=status, headers=headers)
        with no_more_words(request):
            await response.prepare(request)
            while True:
                at = await _send(request, reading, at, stop)
                if at >= content.stop:
                    break
                try:
                    stop = await reading.until(at, gone=gone)
                except DflyError as error:
                    _log.warning("reading.cut", path=content.entry.path, at=at, cause=error.message)
                    raise ConnectionResetError(error.message) from error
            await response.write_eof()
        return response


def _has_gone(request: web.Request) -> bool:
    # nothing ends a handler that has nothing to write
    return request.transport is None or request.transport.is_closing()


async def _send(request: web.Request, reading: Reading, at: int, stop: int) -> int:
    """Send `[at, stop)` of the file; returns `stop`. Raises ConnectionResetError where that cannot be."""
    with open(reading.fd, "rb", buffering=0, closefd=False) as file:
        while at < stop:
            count = min(stop - at, _STRETCH)
            sent = await send_part(request, file, at, count, patience=_DEAF)
            if sent != count:
                raise ConnectionResetError("the file has been cut short")
            at += sent
    return at


async def _asked(request: web.Request, prefix: str) -> Asked:
    path, _, query = request.raw_path.partition("?")
    body = bytearray()
    if request.can_read_body:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise UsageError(f"a body of more than {LARGEST_BODY // MIB} MiB is not passed on")
    return Asked(
        method=request.method,
        path=path.removeprefix(f"/{prefix}") or "/",
        query=query,
        base=f"{request.scheme}://{request.host}/{prefix}",
        headers={name.lower(): value for name, value in request.headers.items()},
        body=bytes(body),
    )


def _without_password(endpoint: str) -> str:
    """What anybody may know of an endpoint, which may be a bare domain."""
    if "://" in endpoint:
        return bare_url(endpoint)
    return bare_url(f"https://{endpoint}").removeprefix("https://")


def _nothing(prefix: str) -> web.Response:
    return refuse(NotFound(f"the plugin for {prefix}:// brings no endpoint", hint="dfctl plugins lists what there is"))
