"""The seed peer's HTTP face: the routes of `dfly.wire`, each a few lines between a request and the part that does the work."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence

import attrs
import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from dfly import wire
from dfly.errors import AccessDenied, NotFound, SwarmError
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.answers import Handler, in_words, no_more_words, refuse
from dfly.seed.bodies import Bodies
from dfly.seed.catalog import Resolver
from dfly.seed.faces import OPEN, OPERATOR, WATCHED, Face
from dfly.seed.given import given_in
from dfly.seed.joining import Join
from dfly.seed.options import schema
from dfly.seed.sending import StreamOutlet, write_part, write_parts
from dfly.seed.stream import FLUSH, HEARTBEAT
from dfly.seed.streams import Streams
from dfly.seed.task import Task
from dfly.seed.tasks import Tasks
from dfly.seed.watching.readiness import Readiness
from dfly.seed.watching.watched import below_the_callers_span
from dfly.seed.webseed import WebSeed
from dfly.wire import Ask, Have, Report, WireError

_log = structlog.get_logger(__name__)

#: Seconds between looks at what is overdue.
TICK = 0.25
#: How many times as long as a flush takes there is none after it.
_REST = 3
#: Seconds that a node may leave a batch of its stream unread.
_PATIENCE = 60.0
#: A body of so many bytes is parsed in a thread.
_LARGE = 1 << 18
#: Seconds that a node's stream is given to open, for what the node says meanwhile.
_OPENING = 5.0
_WEB_SEED = "/v1/blobs/{grant}/{blob}"
#: A grant is the web seed's token: libtorrent cannot send another.
_WITHOUT_TOKEN = ("/healthz", "/readyz", _WEB_SEED)
_MOST_PATTERNS, _LONGEST_TEXT = 1000, 4096
#: Segments that one report may have brought first.
_MOST_FIRST = 32
#: Segments that one report may have looked at.
_MOST_DOUBTED = 4


@attrs.define(kw_only=True, eq=False)
class App:
    """The parts, and what counts them: `egress` is bytes sent by kind. `faces` answer requests of their own."""

    access: Access
    catalog: Resolver
    tasks: Tasks
    web_seed: WebSeed
    plugins: Plugins
    egress: Counter[str]
    faces: Sequence[Face] = ()
    readiness: Readiness = attrs.field(factory=Readiness)
    _bodies: Bodies = attrs.field(factory=Bodies)
    _schema: bytes | None = None
    _streams: Streams = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = Streams(web_seed=self.web_seed)

    def application(self) -> web.Application:
        """The aiohttp application; its clocks run while it does."""
        middlewares = [in_words, self._authenticated(), below_the_callers_span]
        app = web.Application(middlewares=middlewares, client_max_size=wire.LONGEST_BODY)
        app.router.add_post("/v1/snapshots", self.snapshots)
        app.router.add_get("/v1/snapshots/{task}/events", self.events, allow_head=False)
        app.router.add_post("/v1/snapshots/{task}/report", self.report)
        app.router.add_post("/v1/snapshots/{task}/have", self.have)
        app.router.add_get("/v1/snapshots/{task}/hashes/{blob}", self.hashes, allow_head=False)
        app.router.add_get(_WEB_SEED, self.web_seed.handle, allow_head=False)
        app.router.add_get("/v1/plugins", self.list_plugins)
        app.router.add_get("/v1/stats", self.stats)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readiness.answer)
        for face in self.faces:
            face.add_routes(app.router)
        app.on_shutdown.append(self._end_streams)
        return app

    async def run_clocks(self) -> None:
        """Flush, tick and show signs of life until cancelled."""
        ticked = alive = time.monotonic()
        pause = FLUSH
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            try:
                if now - ticked >= TICK:
                    ticked = now
                    self.tasks.tick()
                    self._streams.renew()
                if now - alive >= HEARTBEAT:
                    alive = now
                    self.tasks.heartbeat()
                began = time.monotonic()
                self.tasks.flush()
                # where thousands listen, fewer and longer batches: reports want their turn
                pause = max(FLUSH, _REST * (time.monotonic() - began))
            except Exception:  # noqa: BLE001 - the log has it
                # a clock that stops would leave every node without news, for the sake of one task
                _log.exception("clock.failed")

    async def snapshots(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/snapshots."""
        given = await given_in(request, access=self.access, plugins=self.plugins)
        body = await self._bodies.read(request, most=wire.LONGEST_CARRIED)
        ask = _checked(await self._bodies.parsed(body, Ask.decode) if len(body) > _LARGE else Ask.decode(body))
        del body
        selected = await self.catalog.resolve(ask, given)
        task = await self.tasks.open(
            selected.task,
            selected.snapshot,
            selected.backend,
            carried=selected.carried,
            fallback=ask.fallback,
            lazy=ask.lazy,
        )
        if selected.guest is not None:
            task.guests.admit(selected.guest)
        # seal and ticket are the caller's own; the rest is the same bytes for all, and there may be a lot of them
        own = {"seal": selected.seal, "ticket": selected.guest.ticket if selected.guest else ""}
        parts = (task.answer, json.dumps(own)[1:].encode())
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = sum(map(len, parts))
        with no_more_words(request):
            await response.prepare(request)
            for part in parts:
                await write_part(response, part, patience=_PATIENCE)
            await response.write_eof()
        self.egress["control"] += response.content_length
        return response

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/snapshots/{task}/events."""
        task, ticket = self._task(request), request.headers.get(wire.TICKET_HEADER, "")
        task.guests.check(ticket)
        join = Join.read(request.query, remote=request.remote)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        outlet = StreamOutlet.of(request, response, egress=self.egress, patience=_PATIENCE)
        with no_more_words(request):
            await response.prepare(request)
            listener = task.broadcast.listen(join.node, after=join.after, outlet=outlet)
            self._streams.begin(listener, task, address=outlet.address, ticket=ticket)
            try:
                task.join(join)
                for part in listener.begin():
                    await write_parts(response, part, patience=_PATIENCE)
                    self.egress["control"] += len(part)
                listener.go()
                await outlet.ended()
                await response.write_eof()
            finally:
                self._streams.end(listener)
                task.drop(listener)
        return response

    async def report(self, request: web.Request) -> web.Response:
        """POST /v1/snapshots/{task}/report."""
        task = self._task(request)
        report = Report.decode(await self._bodies.read(request, most=wire.LONGEST_BODY))
        if task.scheduler.member(report.node) is None:
            raise SwarmError("this node is not in the ring", hint="open the event stream first")
        for blob, index in report.bad_segments[:_MOST_DOUBTED]:
            if blob in task.scheduler.blobs:
                self.tasks.mirror.recheck(blob, index)
        self.tasks.wanting.mind(task, accepted=report.accepted, first=report.first[:_MOST_FIRST])
        return web.Response(body=task.report(report).encode(), content_type="application/json")

    async def have(self, request: web.Request) -> web.Response:
        """POST /v1/snapshots/{task}/have."""
        task = self._task(request)
        have = Have.decode(await self._bodies.read(request, most=wire.LONGEST_BODY))
        if not await task.await_member(have.node, _OPENING):
            raise SwarmError("this node is not in the ring", hint="open the event stream as well")
        return web.json_response({"believed": await self.tasks.carrying.have(task, have)})

    async def hashes(self, request: web.Request) -> web.Response:
        """GET /v1/snapshots/{task}/hashes/{blob}."""
        task, blob, mirror = self._task(request), request.match_info["blob"], self.tasks.mirror
        size = mirror.size(blob)
        hashes = mirror.hashes(blob) if blob in task.scheduler.blobs else None
        if hashes is None or size is None:
            raise NotFound(f"there is no complete blob {blob[:80]} in this task")
        return web.Response(body=task.marked(blob, size, hashes), content_type="application/octet-stream")

    async def list_plugins(self, _request: web.Request) -> web.Response:
        """GET /v1/plugins."""
        if self._schema is None:
            self._schema = json.dumps(await asyncio.to_thread(schema, self.plugins)).encode()
        return web.Response(body=self._schema, content_type="application/json")

    async def stats(self, _request: web.Request) -> web.Response:
        """GET /v1/stats."""
        tasks = [
            {
                "task": task.name,
                "source": task.source,
                "blobs": len(task.scheduler.blobs),
                "members": len(task.scheduler.members),
                "streams": len(task.broadcast),
            }
            for task in self.tasks.all()
        ]
        return web.json_response(
            {
                "hub_bytes": self.tasks.mirror.hub_bytes,
                "egress": dict(self.egress),
                "waiting_for": self.tasks.waiting_for,
                "tasks": tasks,
            }
        )

    async def healthz(self, _request: web.Request) -> web.Response:
        """GET /healthz: the process answers."""
        return web.json_response({"ok": True})

    def _authenticated(self) -> Middleware:
        @web.middleware
        async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            path = resource.canonical if resource is not None else ""
            if path not in _WITHOUT_TOKEN and not path.startswith((*OPEN, *WATCHED)):
                authorization = request.headers.get("Authorization", "")
                try:
                    if request.path.startswith(OPERATOR):
                        self.access.check_operator(authorization, remote=request.remote)
                    else:
                        self.access.check_token(authorization)
                except AccessDenied as error:
                    return refuse(error, status=401)
            return await handler(request)

        return authenticated

    def _task(self, request: web.Request) -> Task:
        task = self.tasks.get(request.match_info["task"])
        if task is None:
            raise NotFound("there is no such task here", kind="task", hint="ask for the snapshot again")
        return task

    async def _end_streams(self, _app: web.Application) -> None:
        self.readiness.state = "stopping"
        self.tasks.close_streams()


def _checked(ask: Ask) -> Ask:
    patterns = (*ask.include, *ask.exclude)
    if len(patterns) > _MOST_PATTERNS or any(len(text) > _LONGEST_TEXT for text in (ask.url, *patterns)):
        raise WireError("an ask is too large")
    return ask
