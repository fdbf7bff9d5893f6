"""The node daemon as a process: builds every part, passes it in, and takes it down in order."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import attrs
import structlog
from aiohttp import web

from dfly.backend import Secret
from dfly.config import Fetch, Joining, Network, Patience
from dfly.daemon.admission import Admissions, Caller
from dfly.daemon.app import App
from dfly.daemon.cache import Cache
from dfly.daemon.claims import Claims
from dfly.daemon.endpoints import Endpoints
from dfly.daemon.errand import Means
from dfly.daemon.exporting import export_from
from dfly.daemon.front import Front
from dfly.daemon.inventory import Inventory
from dfly.daemon.metrics import NodeMetrics
from dfly.daemon.names import Names
from dfly.daemon.naming import node_name
from dfly.daemon.notify import Notify
from dfly.daemon.reads import Reads
from dfly.daemon.records import Records
from dfly.daemon.reopening import Reopening
from dfly.daemon.repair import Verifier
from dfly.daemon.standing_by import StandingBy
from dfly.daemon.visit import Visit
from dfly.errors import SwarmError
from dfly.node.control import SeedPeer
from dfly.node.readers import Readers
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.running import listening
from dfly.seed.watching.metrics import Requests
from dfly.seed.watching.readiness import Readiness
from dfly.store.blobs import BlobStore
from dfly.swarm import raise_file_limit
from dfly.tracing import NO_TRACES, Traces

if TYPE_CHECKING:
    from dfly.daemon.neighbours import Neighbours
    from dfly.swarm import Swarm, SwarmEvent

_log = structlog.get_logger(__name__)

#: Seconds that open HTTP requests get at the end.
_LAST_WORDS = 2.0


@attrs.frozen(kw_only=True)
class NodeConfig:
    """Settings of a node daemon. `listen` is (host, port) of the HTTP API beside the socket, None for the socket only.

    `users` may connect besides the daemon's own and root, None: everybody. `cache_size` in bytes, None: as the disk takes.
    `rings` is how many snapshots' rings it is in at most. `revision_ttl` is for how many seconds a branch is what it was, to
    the clients of its endpoints.
    """

    data_dir: str
    socket: str
    listen: tuple[str, int] | None = None
    users: Collection[int] | None = ()
    cache_size: int | None = None
    rings: int = 32
    revision_ttl: float = 5.0
    #: A second address that answers /metrics, /healthz and /readyz to anybody, and nothing else.
    metrics_listen: tuple[str, int] | None = None
    joining: Joining = attrs.field(factory=Joining)
    fetch: Fetch = attrs.field(factory=Fetch)
    network: Network = attrs.field(factory=Network)
    patience: Patience = attrs.field(factory=Patience)


@attrs.frozen(kw_only=True)
class Started:
    """Where a daemon answers: its socket, the URL of its HTTP API where it has one, and of its metrics' own address."""

    socket: str
    url: str | None
    metrics: str | None = None


class NodeDaemon:
    """One node daemon; `run` it, or keep it `running` while something else happens."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        plugins: Plugins | None = None,
        notify: Notify | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self.config = config
        self._traces = traces
        self._plugins = plugins or Plugins()
        self._notify = notify or Notify()

    def run(self, *, started: Callable[[Started], None]) -> None:
        """Serve until SIGINT or SIGTERM; `started` is called when requests are answered.

        Raises OutputError for the data directory, UsageError and SwarmError for the places to listen.
        """
        raise_file_limit()
        asyncio.run(self._run(started))

    @contextmanager
    def running(self) -> Iterator[Started]:
        """Serve from a thread of its own."""
        ready: list[Started | BaseException] = []
        up, stops = threading.Event(), []

        async def serve() -> None:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            async with self.serving() as where:
                ready.append(where)
                up.set()
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                ready.append(error)
                if len(ready) > 1:
                    raise
            finally:
                up.set()

        thread = threading.Thread(target=run, name="dfly-daemon")
        thread.start()
        up.wait()
        if isinstance(ready[0], BaseException):
            thread.join()
            raise ready[0]
        try:
            yield ready[0]
        finally:
            with contextlib.suppress(RuntimeError):
                stops[0]()
            thread.join()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Started]:
        """Serve in the running event loop."""
        closing = threading.Event()
        async with contextlib.AsyncExitStack() as stack:
            parts = stack.enter_context(self._parts(closing))
            reads = Reads(
                admissions=parts.admissions,
                means=parts.means,
                settings=parts.settings,
                client=parts.backends.clients.data,
                closing=closing,
                names=Names(os.path.join(self.config.data_dir, "names.json")),
                reopen=parts.reopening.alone,
                ttl=self.config.revision_ttl,
            )
            stack.push_async_callback(reads.close)
            endpoints = Endpoints(
                plugins=self._plugins,
                reads=reads,
                identity=secrets.token_hex(8),
                settled=parts.backends.settled,
                environment=dict(os.environ),
            )
            readiness = Readiness(directory=self.config.data_dir)
            exposition = self._metrics(parts, readiness).exposition()
            app = App(
                cache=parts.cache,
                members=lambda: parts.neighbours.places if parts.neighbours is not None else 0,
                seed_peers=self.config.joining.seed_peers,
                faces=(
                    self._inventory(parts),
                    endpoints,
                    export_from(parts.cache, parts.records, plugins=self._plugins, backends=parts.backends),
                    exposition,
                ),
                readiness=readiness,
            )
            metrics = None
            if self.config.metrics_listen is not None:
                # first up and last down: it tells who asks that the daemon is starting, or stopping
                plain = exposition.by_itself(readiness)
                metrics = await stack.enter_async_context(listening(plain, self.config.metrics_listen))
            runner = web.AppRunner(app.application(), access_log=None, shutdown_timeout=_LAST_WORDS)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            url = await _listening(runner, self.config.listen) if self.config.listen else None
            front = Front(
                self.config.socket,
                users=self.config.users,
                visit=parts.visit,
                http=_taken_by(runner, asyncio.get_running_loop()),
            )
            front.open()
            stack.push_async_callback(asyncio.to_thread, front.close)
            stack.callback(closing.set)
            readiness.state = "serving"
            self._notify("READY=1", f"STATUS=listening at {front.path}")
            _log.info("listening", socket=front.path, url=url, metrics=metrics)
            yield Started(socket=front.path, url=url, metrics=metrics)
            readiness.state = "stopping"
            self._notify("STOPPING=1")
            _log.info("stopping")

    def _metrics(self, parts: "_Parts", readiness: Readiness) -> NodeMetrics:
        neighbours = parts.neighbours
        return NodeMetrics(
            activity=parts.means.activity,
            cache=parts.cache,
            requests=parts.requests,
            readiness=readiness,
            directory=self.config.data_dir,
            rings=lambda: neighbours.places if neighbours is not None else 0,
            swarm=lambda: neighbours.moved() if neighbours is not None else None,
        )

    def _inventory(self, parts: "_Parts") -> Inventory:
        return Inventory(
            cache=parts.cache,
            records=parts.records,
            verifier=parts.verifier,
            live=parts.means.live,
            places=lambda: parts.neighbours.rows() if parts.neighbours is not None else [],
            seed_peers=self.config.joining.seed_peers,
            config=self.config,
        )

    @contextmanager
    def _parts(self, closing: threading.Event) -> Iterator["_Parts"]:
        config = self.config
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(contextlib.closing(BlobStore(config.data_dir)))
            cache = stack.enter_context(contextlib.closing(Cache(store, limit=config.cache_size)))
            records = Records(os.path.join(config.data_dir, "snapshots"))
            cache.pin(records.pinned_blobs())
            requests = Requests()
            backends = stack.enter_context(
                Backends(
                    self._plugins,
                    network=config.network,
                    patience=config.patience,
                    cancel=closing,
                    on_retry=requests.asked_again,
                    on_answer=requests.answered,
                )
            )
            admissions = Admissions(
                plugins=self._plugins,
                backends=backends,
                joining=config.joining,
                network=config.network,
                settings=config.fetch,
                patience=config.patience,
                uid=os.geteuid(),
            )
            means = Means(
                cache=cache,
                claims=Claims(),
                records=records,
                by_swarm=None,
                back_to_source=config.joining.back_to_source,
                patience=config.patience,
                pauses=backends.pauses,
                traces=self._traces,
            )
            reopening = Reopening(
                plugins=self._plugins,
                backends=backends,
                joining=config.joining,
                network=config.network,
                settings=config.fetch,
                patience=config.patience,
                closing=closing,
            )
            verifier = Verifier(
                cache,
                records=records,
                means=lambda: parts.means,
                reopen=reopening.with_ring,
                settings=config.fetch,
                closing=closing,
            )
            stack.callback(verifier.close)
            stack.callback(closing.set)
            neighbours = (
                self._neighbours(stack, cache, records, reopening, verifier, means.readers)
                if config.joining.seed_peers
                else None
            )
            means = attrs.evolve(means, by_swarm=neighbours.bring if neighbours is not None else None)
            if neighbours is not None:
                self._stand_by(stack, cache, records, backends, means)
            parts = _Parts(
                cache=cache,
                records=records,
                verifier=verifier,
                admissions=admissions,
                backends=backends,
                reopening=reopening,
                requests=requests,
                means=means,
                neighbours=neighbours,
                settings=config.fetch,
                closing=closing,
            )
            yield parts

    def _neighbours(
        self,
        stack: contextlib.ExitStack,
        cache: Cache,
        records: Records,
        reopening: Reopening,
        verifier: Verifier,
        readers: Readers,
    ) -> "Neighbours":
        # brings libtorrent along, which a daemon without seed peers neither needs nor, on the newest Python, has
        from dfly.daemon.neighbours import Neighbours
        from dfly.daemon.session import SharedSession
        from dfly.node.joining import open_swarm

        config = self.config
        session = SharedSession(partial(_open_swarm, open_swarm, config.joining, config.network))
        stack.callback(session.close)
        neighbours = Neighbours(
            cache=cache,
            records=records,
            session=session,
            rejoin=reopening.join,
            place=os.path.join(config.data_dir, "standing-in"),
            most=config.rings,
            damaged=verifier.suspect,
            readers=readers,
        )
        stack.callback(neighbours.close)
        neighbours.start()
        return neighbours

    def _stand_by(
        self, stack: contextlib.ExitStack, cache: Cache, records: Records, backends: Backends, means: Means
    ) -> None:
        """Be there for what seed peers send this node for: that comes by them, or not at all."""
        config = self.config
        joining = attrs.evolve(config.joining, back_to_source=False)
        token = Secret(joining.cluster_token) if joining.cluster_token else None
        client, insecure = backends.clients.data, joining.insecure

        def pin(task: str) -> None:
            records.change(task, pinned=True)
            cache.pin(records.pinned_blobs())

        standing = StandingBy(
            seed_peers=[
                SeedPeer(url=url.rstrip("/"), client=client, cluster_token=token, insecure=insecure)
                for url in joining.seed_peers
            ],
            node=node_name(config.data_dir),
            location=joining.location,
            admissions=Admissions(
                plugins=self._plugins,
                backends=backends,
                joining=joining,
                network=config.network,
                settings=config.fetch,
                patience=config.patience,
                uid=os.geteuid(),
            ),
            means=attrs.evolve(means, back_to_source=False),
            settings=config.fetch,
            uid=os.geteuid(),
            pin=pin,
        )
        stack.callback(standing.close)
        standing.start()

    async def _run(self, started: Callable[[Started], None]) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with self.serving() as where:
            started(where)
            while not stop.is_set():
                self._notify("WATCHDOG=1")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._notify.watchdog)


@attrs.frozen(kw_only=True)
class _Parts:
    cache: Cache
    records: Records
    verifier: Verifier
    admissions: Admissions
    backends: Backends
    reopening: Reopening
    requests: Requests
    means: Means
    neighbours: "Neighbours | None"
    settings: Fetch
    closing: threading.Event

    def visit(self, connected: socket.socket, caller: Caller) -> None:
        """Serve one dfget."""
        Visit(
            connected,
            caller,
            admissions=self.admissions,
            means=self.means,
            settings=self.settings,
            closing=self.closing,
        ).run()


def _open_swarm(
    opener: Callable[..., "Swarm"], joining: Joining, network: Network, on_event: "Callable[[SwarmEvent], None]"
) -> "Swarm":
    return opener(joining, network, urls=joining.seed_peers, on_event=on_event)


def _taken_by(runner: web.AppRunner, loop: asyncio.AbstractEventLoop) -> Callable[[socket.socket, Caller], None]:
    """Hands a connection to the HTTP server."""

    def take(connected: socket.socket, _: Caller) -> None:
        assert runner.server is not None
        connected.setblocking(False)
        asyncio.run_coroutine_threadsafe(loop.connect_accepted_socket(runner.server, connected), loop)

    return take


async def _listening(runner: web.AppRunner, listen: tuple[str, int]) -> str:
    host, port = listen
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SwarmError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint="choose another address with --listen"
        ) from error
    host, port = runner.addresses[0][:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
