"""`LoopbackHub`: the two origins of a hub in a thread of their own, and the words a test says to them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, Self, TypeVar

from aiohttp import web

from dfly.testing.hub.faults import Fault
from dfly.testing.hub.records import Call, Records
from dfly.testing.hub.site import Account, Site
from dfly.testing.hub.storage import Storage

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
S = TypeVar("S", bound=Site[Any])
_LARGEST_FORM = 8 << 20


class LoopbackHub(Generic[S]):
    """A hub on loopback; a context manager that serves while it is open. `api` answers at the hub's own origin.

    Links name the storage `cdn_name` (`host` unless given): to a cookie jar, two ports of one host are one place.
    """

    def __init__(self, site: S, *, api: Handler, host: str, port: int, cdn_name: str | None = None) -> None:
        self.site = site
        self._api = api
        self._host, self._port = host, port
        self._cdn_name = cdn_name or host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loopback-hub", daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self.site.cdn_url = f"http://{self._cdn_name}:{self._run(self._serve(Storage(self.site).answer, 0))}"
        port = self._run(self._serve(self._answer, self._port))
        self.site.hub_url = f"http://{self._host}:{port}{self.site.prefix}"
        return self

    def __exit__(self, *_: object) -> None:
        for runner in self._runners:
            self._run(runner.cleanup())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """The endpoint, prefix included."""
        return self.site.hub_url

    @property
    def cdn_url(self) -> str:
        """Where redirects lead."""
        return self.site.cdn_url

    @property
    def records(self) -> Records:
        """What was asked and sent."""
        return self.site.records

    def calls(self, *kinds: str) -> list[Call]:
        """As `Records.calls`."""
        return self.records.calls(*kinds)

    def token(self, token: str, *, name: str = "me", grants: Iterable[str] = ()) -> None:
        """Accept `token` for an account that may read its own repositories and those in `grants`."""
        self.site.accounts[token] = Account(name, frozenset(grants))

    def fault(self, where: str, match: str = "*", **what: Any) -> None:
        """Let something go wrong; the arguments are `Fault`'s."""
        self.site.faults.add(Fault(where=where, match=match, **what))

    def expire_links(self) -> None:
        """No link given out so far works any more."""
        self.site.key = secrets.token_bytes(16)

    def limit_rate(self, rate: float | None) -> None:
        """Limit all content together from now on, in bytes/s."""
        self.site.throttle.rate = rate

    def hold(self, path: str, at: int) -> None:
        """Send nothing of the file at `path` from byte `at` on, until `let_go`: what a test is to see unfinished stays so."""
        self.site.brake.hold(path, at)

    def let_go(self) -> None:
        """Hold no file any more."""
        self._loop.call_soon_threadsafe(self.site.brake.let_go)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.raw_path.partition("?")[0] == f"{self.site.prefix}/_stats":
            return web.json_response(self.records.summary())
        return await self._api(request)

    async def _serve(self, handler: Handler, port: int) -> int:
        app = web.Application(client_max_size=_LARGEST_FORM)
        app.router.add_route("*", r"/{place:[\s\S]*}", handler)
        # a body to a client that is gone is not worth waiting for
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self._host, port).start()
        return int(runner.addresses[0][1])

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
