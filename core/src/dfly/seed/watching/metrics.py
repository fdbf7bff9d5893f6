"""What a seed peer tells Prometheus: who fetched what from where, what is kept, what went wrong."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import attrs
import structlog
from aiohttp import web

from dfly.durations import Durations
from dfly.seed.access import Access, is_loopback
from dfly.seed.tasks import Tasks
from dfly.seed.watching import families as f
from dfly.seed.watching.exposition import Check, Exposition
from dfly.seed.watching.families import Sample
from dfly.seed.watching.readiness import Readiness
from dfly.store.stock import Stock
from dfly.version import VERSION

_log = structlog.get_logger(__name__)

#: Seconds for which it is believed how much is kept: all blobs are looked at for that.
STOCK = 60.0
#: What `egress` counts is called.
_SENT = {"web seed": "node", "files": "client"}


@attrs.define(eq=False)
class Requests:
    """How long hubs took to answer, by kind of request, and how often they were asked again. Told from threads."""

    took: dict[str, Durations] = attrs.field(factory=lambda: {kind: Durations() for kind in ("api", "content")})
    retries: int = 0

    def asked_again(self, origin: str, cause: str, after: float) -> None:
        """A question is put to a hub once more, in `after` seconds."""
        self.retries += 1
        _log.warning("hub.waiting", origin=origin, cause=cause, after=round(after, 1))

    def answered(self, kind: str, seconds: float) -> None:
        """One request, "api" or "content", was answered."""
        self.took[kind].took(seconds)


@attrs.define(kw_only=True, eq=False)
class SeedPeerMetrics:
    """Reads the parts of a seed peer. `egress` is bytes sent by kind, `directory` where the blobs are."""

    tasks: Tasks
    egress: Counter[str]
    requests: Requests
    readiness: Readiness
    directory: str
    clock: Callable[[], float] = time.monotonic
    _stock: Stock = attrs.field(factory=lambda: Stock(0, 0))
    _looked: float | None = None

    def exposition(self, access: Access) -> Exposition:
        """The Face that tells it."""
        return Exposition(families=f.told_by("seed-peer"), read=self.read, check=scrapers(access))

    async def read(self) -> Sequence[Sample]:
        """All values of now."""
        if self._looked is None or self.clock() - self._looked >= STOCK:
            self._looked = self.clock()
            self._stock = await asyncio.to_thread(Stock.of, self.directory)
        free = await asyncio.to_thread(free_bytes, self.directory)
        ready = not await self.readiness.failed()
        return [
            Sample(f.BUILD, 1, (VERSION, "seed-peer")),
            Sample(f.READY, ready),
            Sample(f.CACHE_BLOBS, self._stock.blobs),
            Sample(f.CACHE_BYTES, self._stock.bytes),
            Sample(f.DISK_FREE, free),
            *self._moved(),
            *self._rings(),
            *self._news(),
            Sample(f.HUB_RETRIES, self.requests.retries + self.tasks.counts.waits),
            *(Sample(f.HUB_REQUESTS, took, (kind,)) for kind, took in self.requests.took.items()),
        ]

    def _moved(self) -> Iterator[Sample]:
        yield Sample(f.RECEIVED, self.tasks.mirror.hub_bytes, ("hub",))
        yield Sample(f.RECEIVED, self.tasks.pulled_bytes, ("peer",))
        sent = Counter({"node": 0, "client": 0})
        for kind, count in self.egress.items():
            if kind != "control":
                sent[_SENT.get(kind, kind.replace(" ", "-"))] += count
        for to, count in sent.items():
            yield Sample(f.SENT, count, (to,))
        yield Sample(f.CONTROL, self.egress["control"])
        for source in ("seed-peer", "peer", "hub"):
            yield Sample(f.NODES_RECEIVED, self.tasks.counts.received[source], (source,))

    def _rings(self) -> Iterator[Sample]:
        tasks = self.tasks.all()
        yield Sample(f.TASKS, len(tasks))
        yield Sample(f.MEMBERS, sum(len(task.scheduler.members) for task in tasks))
        yield Sample(f.UNDONE, sum(len(task.scheduler.undone) for task in tasks))
        yield Sample(f.STREAMS, sum(len(task.broadcast) for task in tasks))
        yield Sample(f.HUB_WAITING, bool(self.tasks.waiting_for))

    def _news(self) -> Iterator[Sample]:
        counts = self.tasks.counts
        yield Sample(f.PUBLISHED, counts.blobs["segment"])
        for outcome in ("complete", "withdrawn", "failed"):
            yield Sample(f.BLOBS, counts.blobs[outcome], (outcome,))
        for result in ("hit", "miss"):
            yield Sample(f.CACHE_REQUESTS, counts.lookups[result], (result,))
        for kind in ("stalled", "wrong_bytes", "silent_peer", "doubt", "web_seed"):
            yield Sample(f.COMPLAINTS, counts.complaints[kind], (kind,))
        for kind, count in sorted(counts.errors.items()):
            yield Sample(f.ERRORS, count, (kind,))
        yield Sample(f.RESOLVING, counts.resolving)
        yield Sample(f.DURATIONS, counts.tasks)


def scrapers(access: Access) -> Check:
    """Lets in who has the cluster token, and this machine."""

    def check(request: web.Request) -> None:
        if not is_loopback(request.remote):
            access.check_token(request.headers.get("Authorization", ""))

    return check


def free_bytes(directory: str) -> int:
    """What the file system of a directory still takes; 0 where it cannot be asked."""
    try:
        system = os.statvfs(directory)
    except OSError:
        return 0
    return system.f_bavail * system.f_frsize
