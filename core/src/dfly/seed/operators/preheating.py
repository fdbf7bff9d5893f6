"""Preheating at the seed peer: what an operator orders is resolved and fetched here as for any node, and nodes are sent for it.

The operator's secrets end here. What a node is sent is what anybody may ask for: the link without what is secret in it, and the
options that are none. Where that does not open the same snapshot, no node is sent: to hand the source to whoever stands by would
open it to everybody who knows the cluster token.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import structlog
from aiohttp import web

from dfly import wire
from dfly.backend import option_fields
from dfly.errors import AccessDenied, NotFound, TimedOut, UsageError
from dfly.plugins import Plugins
from dfly.seed.answers import no_more_words
from dfly.seed.bodies import Bodies
from dfly.seed.catalog import Resolver, Selected
from dfly.seed.faces import OPERATOR
from dfly.seed.joining import Join
from dfly.seed.operators.errands import Errands, Job
from dfly.seed.operators.remembered import Memory, shareable
from dfly.seed.operators.standing import Roster
from dfly.seed.operators.warming import Warming
from dfly.seed.options import Given
from dfly.seed.stream import HEARTBEAT
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks
from dfly.values import bare_url
from dfly.wire import Ask, Heartbeat
from dfly.wire.errands import DONE, FAILED, RUNNING, Errand, ErrandReport, Preheat

_log = structlog.get_logger(__name__)

#: Seconds between looks at what is overdue, and between two lines about the same machine.
TICK, PACE = 0.5, 0.2
_NO_OPTIONS: Mapping[str, tuple[str, ...]] = {}


@attrs.define(kw_only=True, eq=False)
class Preheating:
    """A Face. `resolver` and `tasks` are those of all nodes; `given` reads the options that came with a request."""

    resolver: Resolver
    tasks: Tasks
    plugins: Plugins
    memory: Memory
    given: Callable[[web.Request], Awaitable[Given]]
    _bodies: Bodies = attrs.field(factory=Bodies)
    _roster: Roster = attrs.field(factory=Roster)
    _errands: Errands = attrs.field(init=False)
    _warming: set[asyncio.Task[None]] = attrs.field(factory=set)
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        self._errands = Errands(roster=self._roster)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_get("/v1/errands", self.stand_by, allow_head=False)
        router.add_post("/v1/errands/{id}/report", self.report)
        router.add_get(OPERATOR + "standing", self.standing)
        router.add_post(OPERATOR + "preheat", self.preheat)
        router.add_get(OPERATOR + "preheat/{id}", self.follow, allow_head=False)

    async def run_clock(self) -> None:
        """Let time pass until cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self._errands.tick()

    def close(self) -> None:
        """End every connection, and wait for nothing any more."""
        self._closed = True
        self._roster.close()
        self._errands.wake()
        for warming in self._warming:
            warming.cancel()

    async def stand_by(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/errands."""
        join = Join.read(request.query, remote=request.remote)
        standing = self._roster.come(join.node, join.location)
        _log.info("node.stands_by", node=join.node, location=join.location)
        response = _ndjson()
        try:
            with no_more_words(request):
                await response.prepare(request)
                self._errands.came(standing)
                async for batch in standing.batches():
                    await response.write(batch)
                await response.write_eof()
        finally:
            if self._roster.go(standing):
                self._errands.went(join.node)
        return response

    async def standing(self, _request: web.Request) -> web.Response:
        """GET /v1/operator/standing: the nodes that could be sent."""
        return web.json_response({"nodes": [{"node": n.node, "location": n.location} for n in self._roster.all()]})

    async def report(self, request: web.Request) -> web.Response:
        """POST /v1/errands/{id}/report."""
        said = ErrandReport.decode(await self._bodies.read(request, most=wire.LONGEST_LINE))
        self._errands.report(request.match_info["id"], said)
        return web.json_response({})

    async def preheat(self, request: web.Request) -> web.Response:
        """POST /v1/operator/preheat."""
        order = Preheat.decode(await self._bodies.read(request, most=wire.LONGEST_BODY))
        given, began = await self.given(request), time.monotonic()
        try:
            async with asyncio.timeout(order.timeout):
                selected = await self.resolver.resolve(order.ask, given)
                ask, options = order.ask, _NO_OPTIONS
                if order.nodes is not None:
                    ask, options = await self._without_secrets(order.ask, given, selected)
        except TimeoutError as error:
            raise TimedOut(f"{bare_url(order.ask.url)} was not listed within {order.timeout:g} s") from error
        nodes = self._roster.chosen(order.nodes, task=selected.task) if order.nodes is not None else []
        task = await self.tasks.open(selected.task, selected.snapshot, selected.backend)
        if selected.guest is not None:
            task.guests.admit(selected.guest)
        if order.pin:
            await asyncio.to_thread(self.memory.change, selected.task, pinned=True)
        job = self._errands.begin(
            source=selected.snapshot.source,
            files=len(selected.snapshot.entries),
            patience=order.timeout,
            nodes=nodes,
            ask=ask,
            options=options,
            pin=order.pin,
            waited=time.monotonic() - began,
        )
        _log.info("preheat.begun", task=task.name, source=bare_url(job.source), nodes=len(nodes))
        warming = asyncio.create_task(self._warm(job, task))
        self._warming.add(warming)
        warming.add_done_callback(self._warming.discard)
        return web.json_response({"id": job.id, **_told(job)})

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/operator/preheat/{id}."""
        job, seen = self._errands.get(request.match_info["id"]), -1
        response = _ndjson()
        with no_more_words(request):
            await response.prepare(request)
            while not self._closed:
                news = [row for row in job.rows() if row.changed > seen]
                seen, over = job.changes, job.ended is not None
                lines = [{"t": "node" if row.node else "seed_peer", **row.as_json()} for row in news]
                if over:
                    lines.append({"t": "over", **_told(job)})
                await response.write(
                    b"".join(json.dumps(line).encode() + b"\n" for line in lines) or Heartbeat().encode()
                )
                if over:
                    break
                await asyncio.sleep(PACE)
                if job.changes == seen and not self._closed:
                    await job.news(HEARTBEAT)
            await response.write_eof()
        return response

    async def _warm(self, job: Job, task: Task) -> None:
        """Fetch everything here, and say how far it is."""
        warming = Warming(task, self.tasks.mirror)

        def changed() -> None:
            job.note(job.seed, state=RUNNING, bytes=warming.bytes, total=warming.total, sources=warming.sources)

        changed()
        try:
            await warming.run(changed)
        except Exception:  # noqa: BLE001 - the log has it, and the operator is told
            _log.exception("preheat.failed", task=task.name)
            wrong = {"type": "SwarmError", "message": "the seed peer met an error of its own", "hint": "see its log"}
            job.note(job.seed, state=FAILED, error=wrong)
            return
        changed()
        if warming.failed:
            job.note(job.seed, state=FAILED, error=_failures(warming))
        else:
            job.note(job.seed, state=DONE)
        _log.info("preheat.fetched", task=task.name, failed=len(warming.failed), bytes=warming.bytes)

    async def _without_secrets(
        self, ask: Ask, given: Given, selected: Selected
    ) -> tuple[Ask, Mapping[str, tuple[str, ...]]]:
        """What nodes are sent for, with options by field. Raises AccessDenied where that is not open to everybody."""
        plain, options = await asyncio.to_thread(self._plain, ask.url, given)
        open_ask = attrs.evolve(ask, url=shareable(ask.url, selected.snapshot))
        if len(Errand(id="", ask=open_ask, options=options).encode()) > wire.LONGEST_LINE // 2:
            raise UsageError("that is more than nodes are told in one line", hint="give fewer --include and --exclude")
        if (open_ask, dict(plain)) != (ask, dict(given)):
            try:
                same = (await self.resolver.resolve(open_ask, plain)).task == selected.task
            except (AccessDenied, NotFound):
                same = False
            if not same:
                raise AccessDenied(
                    f"{bare_url(ask.url)} opens only to a secret, and secrets are not handed to nodes",
                    hint="leave out --nodes: the seed peer fetches it, and gives it to whoever asks with a token of their own",
                    url=bare_url(ask.url),
                )
        return open_ask, options

    def _plain(self, url: str, given: Given) -> tuple[Given, dict[str, tuple[str, ...]]]:
        """The options without the secrets, by option name and by field."""
        plain: dict[str, tuple[str, ...]] = {}
        options: dict[str, tuple[str, ...]] = {}
        for spec in option_fields(self.plugins.backend_for(url)):
            names = [flag.removeprefix("--").lower() for flag in (spec.flag, *spec.flags)]
            said = next((name for name in names if given.get(name)), None)
            if said is not None and not spec.secret and all(bare_url(value) == value for value in given[said]):
                plain[said] = options[spec.field] = given[said]
        return plain, options


def _told(job: Job) -> dict[str, Any]:
    return {
        "source": bare_url(job.source),
        "files": job.files,
        "nodes": [progress.node for _, progress in job.errands.values()],
    }


def _failures(warming: Warming) -> dict[str, Any]:
    paths = sorted(path for blob in warming.failed for path in warming.paths(blob))
    first = next(iter(warming.failed.values()))
    return {"type": first.error, "message": first.message, "hint": first.hint, "paths": paths[:1000]}


def _ndjson() -> web.StreamResponse:
    return web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
