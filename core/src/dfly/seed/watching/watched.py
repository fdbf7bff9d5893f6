"""Takes the time of what resolves sources, counts what it cannot, and makes a span of it."""

import time
from collections.abc import Callable

import attrs
from aiohttp import web

from dfly.errors import DflyError
from dfly.seed.answers import Handler
from dfly.seed.catalog import Resolver, Selected
from dfly.seed.options import Given
from dfly.seed.watching.counts import Counts
from dfly.tracing import HEADER, NO_TRACES, Traces, below, within
from dfly.values import bare_url
from dfly.wire import Ask


@attrs.frozen(kw_only=True)
class Watched:
    """A Resolver: the answers of `resolver`."""

    resolver: Resolver
    counts: Counts
    traces: Traces = NO_TRACES
    clock: Callable[[], float] = time.monotonic

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """See `Resolver`."""
        began = self.clock()
        try:
            with within(self.traces.begin("dfly.seed.resolve", source=bare_url(ask.url))) as span:
                selected = await self.resolver.resolve(ask, given)
                span.set(files=len(selected.snapshot.entries), bytes=selected.snapshot.size, carried=selected.carried)
                return selected
        except DflyError as error:
            self.counts.failed(error)
            raise
        finally:
            self.counts.resolving.took(self.clock() - began)


@web.middleware
async def below_the_callers_span(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What a request brings about is a part of the trace that it names."""
    with below(request.headers.get(HEADER, "")):
        return await handler(request)
