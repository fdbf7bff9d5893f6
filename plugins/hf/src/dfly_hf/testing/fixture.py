"""`FixtureHub`: the two origins of a hub in a thread of their own, and the words a test says to them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from dfly_hf.testing.bodies import Throttle
from dfly_hf.testing.cdn import Cdn
from dfly_hf.testing.content import Files
from dfly_hf.testing.faults import Fault
from dfly_hf.testing.hub import Hub
from dfly_hf.testing.records import Call, Records
from dfly_hf.testing.repos import Account, Repo
from dfly_hf.testing.site import Site

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LARGEST_FORM = 8 << 20


class FixtureHub:
    """A hub on loopback; a context manager that serves while it is open.

    `prefix` is a path below which the hub lives; `page_size` rows make a page of a listing; signed links live for
    `link_seconds`; `rate` limits all content together, in bytes/s; `short_hashes` lets the API expand them; `password`
    ("user:password") guards the hub as a proxy would; `next_link_base` is the endpoint that links to next pages name.
    """

    def __init__(
        self,
        *,
        prefix: str = "",
        page_size: int = 1000,
        link_seconds: int = 3600,
        rate: float | None = None,
        short_hashes: bool = False,
        password: str | None = None,
        next_link_base: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._site = Site(
            prefix=prefix.rstrip("/"),
            page_size=page_size,
            link_seconds=link_seconds,
            short_hashes=short_hashes,
            password=password,
            next_link_base=next_link_base,
            throttle=Throttle(rate),
        )
        self._host, self._port = host, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fixture-hub", daemon=True)
        self._runners: list[web.AppRunner] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._site.cdn_url = self._run(self._serve(Cdn(self._site).answer, 0))
        self._site.hub_url = self._run(self._serve(Hub(self._site).answer, self._port)) + self._site.prefix
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

    def repo(
        self,
        repo: str,
        files: Files | Path | None = None,
        *,
        kind: str = "models",
        private: bool = False,
        gated: bool = False,
        disabled: bool = False,
    ) -> Repo:
        """Create a repository, with a first commit on main if `files` are given; `datasets/owner/name` is a dataset."""
        first, _, rest = repo.partition("/")
        if first in ("datasets", "spaces", "kernels", "models") and rest:
            kind, repo = first, rest
        made = Repo(kind, repo, private=private, gated=gated, disabled=disabled)
        if files is not None:
            made.commit(files)
        self._site.repos[kind, repo] = made
        return made

    def rename(self, old: str, new: str, *, kind: str = "models") -> None:
        """Answer for `old` with a redirect to `new`; a repository of the old name moves."""
        repo = self._site.repos.pop((kind, old), None)
        if repo is not None:
            repo.id = new
            self._site.repos[kind, new] = repo
        self._site.renames[kind, old] = new

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

    async def _serve(self, handler: Handler, port: int) -> str:
        app = web.Application(client_max_size=_LARGEST_FORM)
        app.router.add_route("*", r"/{place:[\s\S]*}", handler)
        # a body to a client that is gone is not worth waiting for
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self._host, port).start()
        return f"http://{self._host}:{runner.addresses[0][1]}"

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
