"""What operators ask a seed peer: what is here, who is fetching it, how fast, with which settings; and what they have changed.

    GET  /v1/operator/snapshots[?blobs=1]     what is remembered, and how much of it is here
    POST /v1/operator/pins      {url, pinned}
    POST /v1/operator/remove    {url, force}  forget it, and remove the blobs that nothing else needs
    POST /v1/operator/verify    {blobs}       read blobs, hold them against their digests, mend them
    GET  /v1/operator/status                  what goes on, with rates
    GET  /v1/operator/peers[?url=…]           every task's ring, with each node's progress
    GET  /v1/operator/config                  the settings, without secrets

The node daemon answers the same paths with the same fields, as far as it has them; `docs/dfctl.md` says what they are.
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs
import structlog
from aiohttp import web

from dfly.errors import NotFound, SwarmError, UsageError
from dfly.seed.faces import OPERATOR
from dfly.seed.operators.asked import flag, json_body, known, text, texts
from dfly.seed.operators.effective import effective
from dfly.seed.operators.remembered import Memory, Remembered
from dfly.seed.operators.shown import node_rows, remembered_row, task_row
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks
from dfly.seed.topology.members import Rate
from dfly.version import VERSION

_log = structlog.get_logger(__name__)

#: Seconds between looks at how much has moved.
PACE = 1.0


@attrs.define(kw_only=True, eq=False)
class Inventory:
    """A Face. `egress` is bytes sent by kind, `config` the attrs value of settings that is shown."""

    tasks: Tasks
    memory: Memory
    egress: Counter[str]
    config: Any
    _rates: dict[str, Rate] = attrs.field(factory=dict)
    _started: float = attrs.field(factory=time.monotonic)
    _verifying: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See `Face`."""
        router.add_get(OPERATOR + "snapshots", self.snapshots)
        router.add_post(OPERATOR + "pins", self.pins)
        router.add_post(OPERATOR + "remove", self.remove)
        router.add_post(OPERATOR + "verify", self.verify)
        router.add_get(OPERATOR + "status", self.status)
        router.add_get(OPERATOR + "peers", self.peers)
        router.add_get(OPERATOR + "config", self.configuration)

    async def run_clock(self) -> None:
        """Watch how fast bytes move, until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(PACE)

    def look(self, now: float) -> None:
        """Take note of how much has moved by `now`, in seconds."""
        for kind, count in self._moved().items():
            self._rates.setdefault(kind, Rate()).seen(count, now)

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET snapshots."""
        return web.json_response({"snapshots": await self._rows(self.memory.all(), blobs="blobs" in request.query)})

    async def pins(self, request: web.Request) -> web.Response:
        """POST pins."""
        said = await json_body(request)
        url, pinned = text(said, "url"), flag(said, "pinned", default=True)
        for found in self._named(url):
            await asyncio.to_thread(self.memory.change, found.task, pinned=pinned)
        return web.json_response({"snapshots": await self._rows(self._named(url))})

    async def remove(self, request: web.Request) -> web.Response:
        """POST remove."""
        said = await json_body(request)
        url, force = text(said, "url"), flag(said, "force", default=False)
        going = self._named(url)
        names = {found.task for found in going}
        blobs = await asyncio.to_thread(self._only_in, names)
        rows = await self._rows(going)
        # nothing is awaited from here on until they are gone: nobody joins meanwhile
        self._check(going, blobs, force=force)
        for found in going:
            task = self.tasks.get(found.task)
            if task is not None:
                self.tasks.end(task)
            self.memory.forget(found.task)
        # a task that was opened meanwhile may be of the same blobs
        free = [blob for blob in sorted(blobs) if not self.tasks.wanted(blob)]
        staying = set(await asyncio.to_thread(self.tasks.mirror.remove, free))
        gone = [blob for blob in free if blob not in staying]
        _log.info("snapshot.removed", url=going[0].snapshot.source, snapshots=len(going), blobs=len(gone))
        return web.json_response({"snapshots": rows, "removed": gone, "staying": sorted(staying)})

    async def verify(self, request: web.Request) -> web.Response:
        """POST verify."""
        wanted = texts(await json_body(request), "blobs")
        async with self._verifying:
            found = await asyncio.to_thread(self._verify, wanted)
        return web.json_response(found)

    async def status(self, _request: web.Request) -> web.Response:
        """GET status."""
        moved = self._moved()
        return web.json_response(
            {
                "role": "seed-peer",
                "version": VERSION,
                "pid": os.getpid(),
                "time": round(time.time(), 3),
                "seconds": round(time.monotonic() - self._started, 3),
                "waiting_for": self.tasks.waiting_for,
                "moved": moved,
                "rates": {kind: round(self._rates[kind].known or 0) if kind in self._rates else 0 for kind in moved},
                "tasks": [task_row(task, sizes=self._sizes(task)) for task in self.tasks.all()],
            }
        )

    async def peers(self, request: web.Request) -> web.Response:
        """GET peers."""
        url = request.query.get("url", "")
        tasks = self.tasks.all()
        if url:
            named = {found.task for found in self.memory.named(url)}
            tasks = [task for task in tasks if task.id in named or url in (task.name, task.source)]
            if not tasks:
                raise NotFound(f"nobody fetches {url} from here", kind="task", hint="dfctl peers shows all")
        rows = [
            {"task": task.name, "url": task.source, "nodes": node_rows(task, sizes=self._sizes(task))} for task in tasks
        ]
        return web.json_response({"role": "seed-peer", "tasks": rows})

    async def configuration(self, _request: web.Request) -> web.Response:
        """GET config."""
        return web.json_response({"role": "seed-peer", "version": VERSION, "settings": effective(self.config)})

    def _moved(self) -> dict[str, int]:
        """Bytes so far: from hubs, and to nodes by kind."""
        return {"hub": self.tasks.mirror.hub_bytes, "web seed": 0, "control": 0, **self.egress}

    def _sizes(self, task: Task) -> Mapping[str, int | None]:
        sizes = task.freight.sizes()
        return {blob: self.tasks.mirror.size(blob) if size is None else size for blob, size in sizes.items()}

    def _named(self, url: str) -> list[Remembered]:
        found = self.memory.named(url)
        if not found:
            raise NotFound(f"{url} is not here", kind="snapshot", hint="dfctl ls shows what is")
        return found

    async def _rows(self, snapshots: list[Remembered], *, blobs: bool = False) -> list[dict[str, Any]]:
        nodes = {task.id: len(task.scheduler.members) for task in self.tasks.all()}

        def rows() -> list[dict[str, Any]]:
            here = set(self.tasks.mirror.held())
            return [
                remembered_row(found, here=here, nodes=nodes.get(found.task, 0), blobs=blobs) for found in snapshots
            ]

        return await asyncio.to_thread(rows)

    def _only_in(self, going: set[str]) -> set[str]:
        """The blobs of these snapshots that no other remembered one, and no other open task, needs."""
        mine: set[str] = set()
        others: set[str] = set()
        for found in self.memory.all():
            (mine if found.task in going else others).update(found.blobs())
        for task in self.tasks.all():
            if task.id not in going:
                others.update(task.freight.sizes(), (blob for blob, _ in task.freight.ids))
        return mine - others

    def _check(self, going: list[Remembered], blobs: set[str], *, force: bool) -> None:
        """Raise the reason for which these must not go."""
        for found in going:
            source, task = found.snapshot.source, self.tasks.get(found.task)
            if found.pinned and not force:
                raise UsageError(f"{source} is pinned", hint="unpin it first, or give --force")
            nodes = sum(member.connected for member in task.scheduler.known()) if task is not None else 0
            if nodes and not force:
                raise SwarmError(
                    f"{source} has {nodes} node{'s' * (nodes > 1)} in its ring",
                    hint="wait until they are done, or give --force: they ask for it again, from the hub",
                )
            if any(self.tasks.mirror.busy(blob) for blob in blobs):
                raise SwarmError(f"{source} is still being fetched from its hub", hint="wait until it is here")

    def _verify(self, wanted: tuple[str, ...] | None) -> dict[str, Any]:
        here = sorted(self.tasks.mirror.held())
        known(wanted or (), here=here)
        chosen = here if wanted is None else [blob for blob in here if blob in wanted]
        verdicts = {blob: self.tasks.mirror.verify(blob) for blob in chosen}
        by: dict[str, list[str]] = {"right": [], "mended": [], "lost": []}
        for blob, verdict in verdicts.items():
            if verdict is not None:
                by[verdict].append(blob)
        return {"right": len(by["right"]), "mended": by["mended"], "lost": by["lost"]}
