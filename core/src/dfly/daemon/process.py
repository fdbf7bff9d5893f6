"""The node daemon as a process: puts faces before its parts, answers until it is told to stop, and takes both down in order."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import attrs
import structlog
from aiohttp import web

from dfly.daemon.admission import Caller
from dfly.daemon.app import App
from dfly.daemon.endpoints import Endpoints
from dfly.daemon.exporting import export_from
from dfly.daemon.front import Front
from dfly.daemon.inventory import Inventory
from dfly.daemon.metrics import NodeMetrics
from dfly.daemon.names import Names
from dfly.daemon.notify import Notify
from dfly.daemon.parts import Parts, built
from dfly.daemon.reads import Reads
from dfly.daemon.settings import NodeConfig
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.running import bind, http_logger, in_thread, listening, url_of
from dfly.seed.watching.readiness import Readiness
from dfly.swarm import raise_file_limit
from dfly.tracing import NO_TRACES, Traces

_log = structlog.get_logger(__name__)

#: Seconds that open HTTP requests get at the end.
_LAST_WORDS = 2.0
#: Backends that are kept whoever uses them; seconds after which others go, longer than a file takes; and between looks.
_MOST_BACKENDS, _IDLE_BACKEND, _TIDY = 64, 86400.0, 600.0


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
        with in_thread(self.serving, name="dfly-daemon") as started:
            yield started

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Started]:
        """Serve in the running event loop."""
        config, closing = self.config, threading.Event()
        async with contextlib.AsyncExitStack() as stack:
            parts = stack.enter_context(built(config, plugins=self._plugins, traces=self._traces, closing=closing))
            reads = self._reads(parts)
            stack.push_async_callback(reads.close)
            readiness = Readiness(directory=config.data_dir)
            exposition = self._metrics(parts, readiness).exposition()
            app = App(
                cache=parts.cache,
                members=parts.rings,
                seed_peers=config.joining.seed_peers,
                faces=(
                    self._inventory(parts),
                    self._endpoints(parts, reads),
                    export_from(parts.cache, parts.records, plugins=self._plugins, backends=parts.backends),
                    exposition,
                ),
                readiness=readiness,
            )
            metrics = None
            if config.metrics_listen is not None:
                # first up and last down: it tells who asks that the daemon is starting, or stopping
                plain = exposition.by_itself(readiness)
                metrics = await stack.enter_async_context(listening(plain, config.metrics_listen))
            runner = web.AppRunner(
                app.application(), access_log=None, logger=http_logger(), shutdown_timeout=_LAST_WORDS
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            if config.listen:
                await bind(runner, *config.listen)
            url = url_of(runner) if config.listen else None
            front = Front(
                config.socket,
                users=config.users,
                visit=parts.visit,
                http=_taken_by(runner, asyncio.get_running_loop()),
            )
            front.open()
            stack.push_async_callback(asyncio.to_thread, front.close)
            stack.callback(asyncio.create_task(_tidy(parts.backends)).cancel)
            stack.callback(closing.set)
            readiness.state = "serving"
            self._notify("READY=1", f"STATUS=listening at {front.path}")
            _log.info("listening", socket=front.path, url=url, metrics=metrics)
            yield Started(socket=front.path, url=url, metrics=metrics)
            readiness.state = "stopping"
            self._notify("STOPPING=1")
            _log.info("stopping")

    def _reads(self, parts: Parts) -> Reads:
        return Reads(
            admissions=parts.admissions,
            means=parts.means,
            settings=self.config.fetch,
            client=parts.backends.clients.data,
            closing=parts.closing,
            names=Names(os.path.join(self.config.data_dir, "names.json")),
            reopen=parts.reopening.alone,
            ttl=self.config.revision_ttl,
        )

    def _endpoints(self, parts: Parts, reads: Reads) -> Endpoints:
        return Endpoints(
            plugins=self._plugins,
            reads=reads,
            identity=secrets.token_hex(8),
            settled=parts.backends.settled,
            environment=dict(os.environ),
        )

    def _inventory(self, parts: Parts) -> Inventory:
        return Inventory(
            cache=parts.cache,
            records=parts.records,
            verifier=parts.verifier,
            live=parts.means.live,
            activity=parts.means.activity,
            uploaded=parts.uploaded,
            places=parts.places,
            seed_peers=self.config.joining.seed_peers,
            config=self.config,
        )

    def _metrics(self, parts: Parts, readiness: Readiness) -> NodeMetrics:
        return NodeMetrics(
            activity=parts.means.activity,
            cache=parts.cache,
            requests=parts.requests,
            readiness=readiness,
            directory=self.config.data_dir,
            rings=parts.rings,
            swarm=parts.moved,
        )

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


async def _tidy(backends: Backends) -> None:
    """Close backends that nobody has come for: each has options of its own, and holds the token among them."""
    while True:
        await asyncio.sleep(_TIDY)
        await asyncio.to_thread(backends.evict, keep=_MOST_BACKENDS, idle=_IDLE_BACKEND, but=())


def _taken_by(runner: web.AppRunner, loop: asyncio.AbstractEventLoop) -> Callable[[socket.socket, Caller], None]:
    """Hands a connection to the HTTP server."""

    def take(connected: socket.socket, _: Caller) -> None:
        assert runner.server is not None
        connected.setblocking(False)
        asyncio.run_coroutine_threadsafe(loop.connect_accepted_socket(runner.server, connected), loop)

    return take
