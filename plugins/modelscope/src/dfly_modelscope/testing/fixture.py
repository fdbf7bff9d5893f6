"""`FixtureHub`: the two origins of a hub in a thread of their own, and the words a test says to them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self

from aiohttp import web

from dfly_modelscope.testing.bodies import Throttle
from dfly_modelscope.testing.cdn import Cdn
from dfly_modelscope.testing.content import Files
from dfly_modelscope.testing.faults import Fault
from dfly_modelscope.testing.hub import Hub
from dfly_modelscope.testing.records import Call, Records
from dfly_modelscope.testing.repos import Account, Repo
from dfly_modelscope.testing.site import Site
from dfly_modelscope.urls import KINDS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FixtureHub:
    """ModelScope on loopback; a context manager that serves while it is open.

    `prefix` is a path below which the hub lives; a model's listing is cut at `cap` rows; signed links live for
    `link_seconds`; `rate` limits all content together, in bytes/s; parts of files come under `part_status`;
    `tells_head` is how a listing names its commit; `bare_lists` leaves out the key around a dataset's rows. Links name
    the storage `cdn_name` (`host` unless given): to a cookie jar, two ports of one host are one place.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        cap: int = 3000,
        link_seconds: int = 3600,
        rate: float | None = None,
        part_status: int = 200,
        tells_head: Literal["short", "full", "no"] = "short",
        bare_lists: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        cdn_name: str | None = None,
    ) -> None:
        self._cdn_name = cdn_name or host
        self._site = Site(
            prefix=prefix.rstrip("/"),
            cap=cap,
            link_seconds=link_seconds,
            part_status=part_status,
            tells_head=tells_head,
            bare_lists=bare_lists,
            throttle=Throttle(rate),
        )
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fixture-hub", daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._site.cdn_url = f"http://{self._cdn_name}:{self._run(self._serve(Cdn(self._site).answer, 0))}"
        port = self._run(self._serve(Hub(self._site).answer, self._port))
        self._site.hub_url = f"http://{self._host}:{port}{self._site.prefix}"
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
        return self._site.hub_url

    @property
    def cdn_url(self) -> str:
        """Where redirects lead."""
        return self._site.cdn_url

    @property
    def records(self) -> Records:
        """What was asked and sent."""
        return self._site.records

    def calls(self, *kinds: str) -> list[Call]:
        """As `Records.calls`."""
        return self.records.calls(*kinds)

    def repo(self, repo: str, files: Files | Path | None = None, *, private: bool = False, gated: bool = False) -> Repo:
        """Create a repository, with a first commit on master if `files` are given; `datasets/owner/name` is a dataset."""
        first, _, rest = repo.partition("/")
        kind, repo = (first, rest) if first in KINDS and rest.count("/") == 1 else ("models", repo)
        made = Repo(kind, repo, private=private, gated=gated)
        if files is not None:
            made.commit(files)
        self._site.repos[kind, repo] = made
        return made

    def token(self, token: str, *, name: str = "me", grants: Iterable[str] = ()) -> None:
        """Accept `token` for an account that may read its own repositories and those in `grants`."""
        self._site.accounts[token] = Account(name, frozenset(grants))

    def fault(self, where: str, match: str = "*", **what: Any) -> None:
        """Let something go wrong; the arguments are `Fault`'s."""
        self._site.faults.add(Fault(where=where, match=match, **what))

    def expire_links(self) -> None:
        """No link given out so far works any more."""
        self._site.key = secrets.token_bytes(16)

    def limit_rate(self, rate: float | None) -> None:
        """Limit all content together from now on, in bytes/s."""
        self._site.throttle.rate = rate

    async def _serve(self, handler: Handler, port: int) -> int:
        app = web.Application()
        app.router.add_route("*", r"/{place:[\s\S]*}", handler)
        # a body to a client that is gone is not worth waiting for
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self._host, port).start()
        return int(runner.addresses[0][1])

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
