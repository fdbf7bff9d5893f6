"""The live page: what this seed peer and its nodes are doing, for a person with a browser. Reads, and changes nothing.

    GET /ui           the page, drawn here; complete without a script
    GET /ui/events    what has changed since, as server-sent events, for a script of a few lines
    GET /ui/state     the same as JSON

A browser shows the cluster's or the operators' token as the password of HTTP Basic, with any user name; that is taken here and
nowhere else, because a browser repeats it unasked, and what is here nobody can use to change anything.
"""

import asyncio
import base64
import binascii
import secrets
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs
from aiohttp import web

from dfly.errors import AccessDenied, SwarmError
from dfly.seed.access import Access, plain_ip
from dfly.seed.answers import no_more_words, refuse
from dfly.seed.sending import write_part
from dfly.seed.tasks import Tasks
from dfly.seed.watching import drawing
from dfly.seed.watching.picture import Paces, Picture

#: Seconds between pictures; where drawing takes long, so many times as long.
EVERY, SPARE = 1.0, 10.0
#: Seconds after which a browser hears that nothing is new, and that it may leave a message unread.
_ALIVE, _PATIENCE = 10.0, 30.0
#: Browsers that are told of changes at once.
MOST_VIEWERS = 64
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@attrs.frozen(kw_only=True)
class _Shown:
    """A picture as operators see it, and as others do."""

    whole: Picture
    public: Picture

    def to(self, *, operator: bool) -> Picture:
        return self.whole if operator else self.public


@attrs.define(kw_only=True, eq=False)
class Page:
    """A Face. `egress` is bytes sent by kind. `close` it when the seed peer stops: its streams end only then."""

    access: Access
    tasks: Tasks
    egress: Mapping[str, int]
    every: float = EVERY
    _paces: Paces = attrs.field(factory=Paces)
    _shown: _Shown | None = None
    _taken: float = 0.0
    _pause: float = 0.0
    _viewers: int = 0
    _closed: asyncio.Event = attrs.field(factory=asyncio.Event)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See `Face`."""
        router.add_get("/ui", self.page)
        router.add_get("/ui/events", self.events, allow_head=False)
        router.add_get("/ui/state", self.state)

    def close(self) -> None:
        """End all streams."""
        self._closed.set()

    async def page(self, request: web.Request) -> web.Response:
        """GET /ui."""
        try:
            operator = self._viewer(request)
        except AccessDenied as error:
            return _ask_again(error)
        nonce = secrets.token_urlsafe(16)
        html = await asyncio.to_thread(drawing.page, self._now(operator=operator), nonce=nonce, operator=operator)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {**_HEADERS, "Content-Security-Policy": policy}
        return web.Response(text=html, content_type="text/html", charset="utf-8", headers=headers)

    async def state(self, request: web.Request) -> web.Response:
        """GET /ui/state."""
        try:
            operator = self._viewer(request)
        except AccessDenied as error:
            return _ask_again(error)
        picture = self._now(operator=operator)
        return web.json_response(await asyncio.to_thread(picture.as_json), headers=_HEADERS)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /ui/events."""
        try:
            operator = self._viewer(request)
        except AccessDenied as error:
            return _ask_again(error)
        if self._viewers >= MOST_VIEWERS:
            return refuse(SwarmError("too many browsers look at this page", hint="close some"), status=503)
        response = web.StreamResponse(headers={**_HEADERS, "Content-Type": "text/event-stream"})
        self._viewers += 1
        try:
            with no_more_words(request):
                await response.prepare(request)
                await self._tell(response, operator=operator)
                await response.write_eof()
        finally:
            self._viewers -= 1
        return response

    async def _tell(self, response: web.StreamResponse, *, operator: bool) -> None:
        known: dict[str, str] = {}
        said = time.monotonic()
        while not self._closed.is_set():
            began = time.monotonic()
            news = await asyncio.to_thread(drawing.event, self._now(operator=operator), known)
            self._pause = max(self.every, SPARE * (time.monotonic() - began))
            if not news and time.monotonic() - said >= _ALIVE:
                news = b": nothing new\n\n"
            if news:
                said = time.monotonic()
                await write_part(response, news, patience=_PATIENCE)
            try:
                async with asyncio.timeout(self._pause):
                    await self._closed.wait()
            except TimeoutError:
                continue

    def _now(self, *, operator: bool) -> Picture:
        """One picture for all who look within a moment."""
        now = time.monotonic()
        if self._shown is None or now - self._taken >= self.every / 2:
            whole = self._paces.of(Picture.of(self.tasks, self.egress), now)
            self._shown, self._taken = _Shown(whole=whole, public=whole.hiding()), now
        return self._shown.to(operator=operator)

    def _viewer(self, request: web.Request) -> bool:
        """Whether an operator looks, or somebody else who may. Raises AccessDenied."""
        if self.access.cluster_token is None and self.access.operator_token is None:
            _require_own_name(request)
        return self.access.check_viewer(_as_bearer(request), remote=request.remote)


def _as_bearer(request: web.Request) -> str:
    """The Authorization header, a browser's password in the place where others put their token."""
    said = request.headers.get("Authorization", "")
    scheme, _, given = said.partition(" ")
    if scheme.lower() != "basic":
        return said
    try:
        _, _, password = base64.b64decode(given.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return ""
    return f"Bearer {password}"


def _require_own_name(request: web.Request) -> None:
    """Where no token is asked for, a page of a stranger's could make its own name mean this machine, and read what is here."""
    host = urlsplit(f"//{request.host}").hostname or ""
    try:
        plain_ip(host)
    except ValueError:
        if host != "localhost":
            raise AccessDenied(
                "without a token, this page is shown under an address only", hint="open it as http://127.0.0.1:PORT/ui"
            ) from None


def _ask_again(error: AccessDenied) -> web.Response:
    answer = refuse(error, status=401)
    answer.headers["WWW-Authenticate"] = 'Basic realm="dfly: any name, and the token as password", charset="UTF-8"'
    return answer
