"""`/metrics` in Prometheus' own words. Everything is counted elsewhere, as plain numbers; it is read when somebody asks.

The registry belongs to one process object: two seed peers in one process, as in a test, tell two things.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from dfly.durations import Durations
from dfly.errors import AccessDenied
from dfly.seed.answers import in_words, refuse
from dfly.seed.watching.families import Family, Sample
from dfly.seed.watching.readiness import Readiness

#: Reads all values of now.
Read = Callable[[], Awaitable[Sequence[Sample]]]
#: Raises AccessDenied for who may not read them.
Check = Callable[[web.Request], None]


class Exposition:
    """A Face that answers `/metrics` to those whom `check` lets in."""

    def __init__(self, *, families: Iterable[Family], read: Read, check: Check) -> None:
        self._read, self._check = read, check
        self._collected = _Collected(tuple(families))
        self._registry = CollectorRegistry()
        self._registry.register(self._collected)
        ProcessCollector(registry=self._registry)
        self._turn = asyncio.Lock()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See `Face`."""
        router.add_get("/metrics", self.checked)

    async def checked(self, request: web.Request) -> web.Response:
        """GET /metrics."""
        try:
            self._check(request)
        except AccessDenied as error:
            return refuse(error, status=401)
        return await self.answer(request)

    async def answer(self, _request: web.Request) -> web.Response:
        """The same to anybody."""
        async with self._turn:
            self._collected.samples = await self._read()
            body = await asyncio.to_thread(generate_latest, self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    def by_itself(self, readiness: Readiness) -> web.Application:
        """An application for a port of its own, which answers anybody, and nothing else."""
        app = web.Application(middlewares=[in_words])
        app.router.add_get("/metrics", self.answer)
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/readyz", readiness.answer)
        return app


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"ok": True})


class _Collected(Collector):
    """Turns samples into what the library writes out."""

    def __init__(self, families: tuple[Family, ...]) -> None:
        self._families = families
        self.samples: Sequence[Sample] = ()

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield _metric(family, [sample for sample in self.samples if sample.family is family])

    def describe(self) -> Iterator[Metric]:
        return iter(())


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    labels = list(family.labels)
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.means, labels=labels)
        for sample in samples:
            assert isinstance(sample.value, Durations)
            histogram.add_metric(sample.labels, _buckets(sample.value), sum_value=sample.value.total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.means, labels=labels)
    for sample in samples:
        assert not isinstance(sample.value, Durations)
        metric.add_metric(list(sample.labels), sample.value)
    return metric


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    bounds = [*map(str, durations.bounds), "+Inf"]
    return list(zip(bounds, map(float, durations.cumulative()), strict=True))
