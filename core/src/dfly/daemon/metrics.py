"""What a node daemon tells Prometheus: what came from where, what its cache is good for, what went wrong."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import attrs
from aiohttp import web

from dfly.daemon.activity import Activity
from dfly.daemon.cache import Cache, Stock
from dfly.seed.watching import families as f
from dfly.seed.watching.exposition import Exposition
from dfly.seed.watching.families import Sample
from dfly.seed.watching.metrics import Requests, free_bytes
from dfly.seed.watching.readiness import Readiness
from dfly.swarm.traffic import SwarmStats
from dfly.version import VERSION


@attrs.define(kw_only=True, eq=False)
class NodeMetrics:
    """Reads the parts of a daemon. `rings` counts its places, `swarm` gives what its session has moved, None without one."""

    activity: Activity
    cache: Cache
    requests: Requests
    readiness: Readiness
    directory: str
    rings: Callable[[], int]
    swarm: Callable[[], SwarmStats | None]

    def exposition(self) -> Exposition:
        """The Face that tells it, to whoever reaches it: it names nobody and nothing."""
        return Exposition(families=f.told_by("node"), read=self.read, check=_anybody)

    async def read(self) -> Sequence[Sample]:
        """All values of now."""
        stock, free, moved = await asyncio.to_thread(
            lambda: (Stock.of(self.cache), free_bytes(self.directory), self.swarm())
        )
        ready = not await self.readiness.failed()
        return [
            Sample(f.BUILD, 1, (VERSION, "node")),
            Sample(f.READY, ready),
            Sample(f.CACHE_BLOBS, stock.blobs),
            Sample(f.CACHE_BYTES, stock.bytes),
            *([] if stock.limit is None else [Sample(f.CACHE_LIMIT, stock.limit)]),
            Sample(f.DISK_FREE, free),
            Sample(f.RINGS, self.rings()),
            Sample(f.CONNECTIONS, sum(t.connections for t in moved.torrents.values()) if moved else 0),
            Sample(f.SENT, moved.uploaded if moved else 0, ("peer",)),
            *self._errands(),
            Sample(f.HUB_RETRIES, self.requests.retries + self.activity.retries),
            *(Sample(f.HUB_REQUESTS, took, (kind,)) for kind, took in self.requests.took.items()),
        ]

    def _errands(self) -> Iterator[Sample]:
        done = self.activity
        for source in ("hub", "seed-peer", "peer", "cache"):
            yield Sample(f.RECEIVED, done.received[source], (source,))
        yield Sample(f.SENT, done.lent, ("dfget",))
        yield Sample(f.SEGMENTS, done.segments)
        for result in ("hit", "miss"):
            yield Sample(f.CACHE_REQUESTS, done.lookups[result], (result,))
        yield Sample(f.TASKS, done.under_way)
        yield Sample(f.STALLS, done.stalls)
        for kind, count in sorted(done.errors.items()):
            yield Sample(f.ERRORS, count, (kind,))
        yield Sample(f.DURATIONS, done.took)


def _anybody(_request: web.Request) -> None:
    pass
