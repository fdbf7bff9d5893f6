"""What operators ask a node daemon: what is in its cache, what is under way, whose neighbour it is; and what they have changed.

The paths and fields are a seed peer's (`dfly.seed.operators.inventory`), as far as a daemon has them.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import attrs
import structlog
from aiohttp import web

from dfly.daemon.activity import Activity
from dfly.daemon.cache import Cache, Stock
from dfly.daemon.exporting import revisions
from dfly.daemon.records import Record, Records
from dfly.daemon.repair import Verifier
from dfly.daemon.underway import UnderWay
from dfly.errors import NotFound, SwarmError, UsageError
from dfly.packs import Freight
from dfly.seed.faces import OPERATOR
from dfly.seed.operators.asked import flag, json_body, known, text, texts
from dfly.seed.operators.effective import effective
from dfly.seed.operators.meant import meant
from dfly.seed.operators.shown import snapshot_row
from dfly.values import Snapshot, bare_task
from dfly.version import VERSION

_log = structlog.get_logger(__name__)


@attrs.define(kw_only=True, eq=False)
class Inventory:
    """A Face. `places` gives a row for each ring that this node is in, `config` is the attrs value of settings.

    `activity` is what errands have done so far, `uploaded` gives how many bytes went to other nodes.
    """

    cache: Cache
    records: Records
    verifier: Verifier
    live: UnderWay
    activity: Activity
    uploaded: Callable[[], int]
    places: Callable[[], list[dict[str, Any]]]
    seed_peers: tuple[str, ...]
    config: Any
    started: float = attrs.field(factory=time.monotonic)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See `Face`."""
        router.add_get(OPERATOR + "snapshots", self.snapshots)
        router.add_post(OPERATOR + "pins", self.pins)
        router.add_post(OPERATOR + "remove", self.remove)
        router.add_post(OPERATOR + "verify", self.verify)
        router.add_get(OPERATOR + "status", self.status)
        router.add_get(OPERATOR + "peers", self.peers)
        router.add_get(OPERATOR + "config", self.configuration)

    async def snapshots(self, request: web.Request) -> web.Response:
        """GET snapshots: what is remembered, and what is brought for the first time."""
        rows = await asyncio.to_thread(self._all_rows, blobs="blobs" in request.query)
        return web.json_response({"snapshots": rows})

    async def pins(self, request: web.Request) -> web.Response:
        """POST pins, `{"url": …, "pinned": true}`: keep a snapshot whatever else needs room, or no longer."""
        said = await json_body(request)
        url, pinned = text(said, "url"), flag(said, "pinned", default=True)
        for record in self._named(url):
            await asyncio.to_thread(self.records.change, record.task, pinned=pinned)
        await asyncio.to_thread(self._pin)
        return web.json_response({"snapshots": await asyncio.to_thread(self._rows, self._named(url))})

    async def remove(self, request: web.Request) -> web.Response:
        """POST remove, `{"url": …, "force": false}`: forget it, and give up the blobs that nothing else here needs."""
        said = await json_body(request)
        url, force = text(said, "url"), flag(said, "force", default=False)
        return web.json_response(await asyncio.to_thread(self._remove, url, force=force))

    async def verify(self, request: web.Request) -> web.Response:
        """POST verify, `{"blobs": [...]}` or nothing for all: reads them, mends what it can."""
        wanted = texts(await json_body(request), "blobs")
        known(wanted or (), here=self.cache)
        found = await asyncio.to_thread(self.verifier.verify, wanted)
        return web.json_response(attrs.asdict(found))

    async def status(self, _request: web.Request) -> web.Response:
        """GET status: the errands under way, the cache, and what came from where since the start."""
        stock, uploaded = await asyncio.to_thread(lambda: (Stock.of(self.cache), self.uploaded()))
        places = self.places()
        return web.json_response(
            {
                "role": "node",
                "version": VERSION,
                "pid": os.getpid(),
                "time": round(time.time(), 3),
                "seconds": round(time.monotonic() - self.started, 3),
                "cache": attrs.asdict(stock),
                "seed_peers": list(self.seed_peers),
                "received": dict(self.activity.received),
                "sent": {"peer": uploaded, "dfget": self.activity.lent},
                "rings": len(places),
                "tasks": self.live.rows(),
            }
        )

    async def peers(self, request: web.Request) -> web.Response:
        """GET peers: this node's place in each ring."""
        url, places = request.query.get("url", ""), self.places()
        if url and not (places := [place for place in places if url in (place["url"], bare_task(place["task"]))]):
            wanted = {record.task for record in self._named(url)}
            places = [place for place in self.places() if place["task"] in wanted]
        rows = [{**place, "task": bare_task(place["task"])} for place in places]
        return web.json_response({"role": "node", "tasks": rows})

    async def configuration(self, _request: web.Request) -> web.Response:
        """GET config: the settings, without secrets."""
        return web.json_response({"role": "node", "version": VERSION, "settings": effective(self.config)})

    def _pin(self) -> None:
        self.cache.pin(self.records.pinned_blobs())

    def _named(self, url: str) -> list[Record]:
        found = meant(url, self.records.all())
        if not found:
            raise NotFound(f"{url} is not in this cache", kind="snapshot", hint="dfctl ls shows what is")
        return found

    def _all_rows(self, *, blobs: bool) -> list[dict[str, Any]]:
        live, records, now = self.live.all(), self.records.all(), time.time()
        known = {record.task for record in records}
        # of several errands for one task the oldest
        first = {progress.task: progress for progress in reversed(live) if progress.task not in known}
        return self._rows(records, blobs=blobs) + [
            {
                **self._row(progress.snapshot, task, blobs=blobs),
                "revisions": [],
                "asked": [],
                "pinned": False,
                "imported": False,
                "resolved": now - progress.row()["seconds"],
                "used": now,
            }
            for task, progress in first.items()
        ]

    def _row(self, snapshot: Snapshot, task: str, *, blobs: bool) -> dict[str, Any]:
        here = self.cache.__contains__
        return snapshot_row(snapshot, Freight.of(snapshot, task=task), task=task, here=here, blobs=blobs)

    def _rows(self, records: list[Record], *, blobs: bool = False) -> list[dict[str, Any]]:
        return [
            {
                **self._row(record.snapshot, record.task, blobs=blobs),
                "revisions": list(revisions(record)),
                "asked": [record.ask.url],
                "pinned": record.pinned,
                "imported": False,
                "resolved": record.since,
                "used": record.used,
            }
            for record in records
        ]

    def _remove(self, url: str, *, force: bool) -> dict[str, Any]:
        going = self._named(url)
        pinned = next((record.snapshot.source for record in going if record.pinned), None)
        if pinned and not force:
            raise UsageError(f"{pinned} is pinned", hint="unpin it first, or give --force")
        tasks = {record.task for record in going}
        mine: set[str] = set()
        others: set[str] = set()
        for record in self.records.all():
            freight = Freight.of(record.snapshot, task=record.task)
            (mine if record.task in tasks else others).update(freight.sizes(), (blob for blob, _ in freight.ids))
        rows, blobs = self._rows(going), sorted(mine - others)
        if not force and (busy := self.cache.busy(blobs)):
            raise SwarmError(
                f"{going[0].snapshot.source} is in use: {len(busy)} of its blobs are being brought, lent or served",
                hint="try again in a minute, or give --force, which leaves those in place",
            )
        for record in going:
            self.records.forget(record.task)
        self._pin()
        staying = self.cache.give_up(blobs, lent=force)
        gone = [blob for blob in blobs if blob not in staying]
        _log.info("snapshot.removed", url=going[0].snapshot.source, snapshots=len(going), blobs=len(gone))
        return {"snapshots": rows, "removed": gone, "staying": staying}
