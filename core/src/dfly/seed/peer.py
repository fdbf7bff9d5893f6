"""The seed peer as a process: puts faces before its parts, answers until it is told to stop, and takes both down in order."""

import asyncio
import contextlib
import resource
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Protocol

import structlog

from dfly.errors import UsageError
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.app import App
from dfly.seed.given import given_in
from dfly.seed.mirroring import Mirror
from dfly.seed.operators.export import Export
from dfly.seed.operators.importing import Import
from dfly.seed.operators.inventory import Inventory
from dfly.seed.operators.preheating import Preheating
from dfly.seed.parts import OpenMirror, built, stored_mirror
from dfly.seed.running import in_thread, listening
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.stock.files import Files
from dfly.seed.stock.torrents import Torrents
from dfly.seed.stock.tracker import Tracker
from dfly.seed.watching.metrics import SeedPeerMetrics
from dfly.seed.watching.page import Page
from dfly.seed.watching.readiness import Readiness
from dfly.seed.webseed import WebSeed
from dfly.tracing import NO_TRACES, Traces

_log = structlog.get_logger(__name__)

#: Backends beyond which those that were not used for so many seconds are closed, looked at so often.
_MOST_BACKENDS, _IDLE_BACKEND, _TIDY = 64, 900.0, 60.0


class Supervisor(Protocol):
    """Who started this process, and hears how it goes (`dfly.daemon.notify`). `watchdog`: how often, in seconds."""

    @property
    def watchdog(self) -> float | None:
        """None: it need not hear regularly."""

    def __call__(self, *lines: str) -> None:
        """Tell it `READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=…`."""


def _unsupervised(*_: str) -> None:
    pass


class SeedPeer:
    """One seed peer; `run` it, or keep it `running` while something else happens."""

    def __init__(
        self,
        config: SeedPeerConfig,
        *,
        open_mirror: OpenMirror = stored_mirror,
        plugins: Plugins | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self.config = config
        self._traces = traces
        #: Where /metrics is answered besides, once that is known.
        self.metrics_url = ""
        self._open_mirror = open_mirror
        self._plugins = plugins or Plugins()

    def run(self, *, started: Callable[[str], None], supervisor: Supervisor | None = None) -> None:
        """Serve until SIGINT or SIGTERM; `started` is called with the URL when requests are answered.

        Raises SwarmError where the address cannot be had.
        """
        _raise_file_limit()
        asyncio.run(self._run(started, supervisor))

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve from a thread of its own; yields the URL."""
        with in_thread(self.serving, name="dfly-seed-peer") as url:
            yield url

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve in the running event loop; yields the URL. Raises SwarmError where the address cannot be had."""
        config, plugins = self.config, self._plugins
        async with contextlib.AsyncExitStack() as stack:
            parts = stack.enter_context(
                built(
                    config,
                    open_mirror=self._open_mirror,
                    plugins=plugins,
                    traces=self._traces,
                    loop=asyncio.get_running_loop(),
                )
            )
            access, keys, tasks, memory, egress = parts.access, parts.keys, parts.tasks, parts.memory, parts.egress
            readiness = Readiness(directory=config.data_dir)
            inventory = Inventory(tasks=tasks, memory=memory, egress=egress, config=config)
            preheating = Preheating(
                resolver=parts.resolver,
                tasks=tasks,
                plugins=plugins,
                memory=memory,
                given=partial(given_in, access=access, plugins=plugins),
            )
            metrics = SeedPeerMetrics(
                tasks=tasks, egress=egress, requests=parts.requests, readiness=readiness, directory=config.data_dir
            )
            exposition = metrics.exposition(access)
            page = Page(access=access, tasks=tasks, egress=egress)
            if config.metrics_listen is not None:
                # first up and last down: it tells who asks that the seed peer is starting, or stopping
                plain = exposition.by_itself(readiness)
                self.metrics_url = await stack.enter_async_context(listening(plain, config.metrics_listen))
                _log.info("metrics.listening", url=self.metrics_url)
            app = App(
                access=access,
                catalog=parts.resolver,
                tasks=tasks,
                web_seed=WebSeed(tasks=tasks, keys=keys, egress=egress, lifetime=config.grant_lifetime),
                plugins=plugins,
                egress=egress,
                faces=(
                    inventory,
                    preheating,
                    Tracker(tasks=tasks, keys=keys),
                    Files(tasks=tasks, keys=keys, egress=egress),
                    Torrents(memory=memory, tasks=tasks, keys=keys),
                    Export(remembered=memory.all, store=tasks.mirror, plugins=plugins, backends=parts.backends),
                    Import(mirror=tasks.mirror, memory=memory, plugins=plugins),
                    exposition,
                    page,
                ),
                readiness=readiness,
            )
            url = await stack.enter_async_context(listening(app.application(), config.listen, tls=_tls(config)))
            stack.callback(preheating.close)
            stack.callback(page.close)
            tidying = _tidy(parts.backends, tasks.mirror)
            clocks = (app.run_clocks(), inventory.run_clock(), preheating.run_clock(), tidying)
            for clock in clocks:
                stack.callback(asyncio.create_task(clock).cancel)
            readiness.state = "serving"
            _log.info("listening", url=url)
            yield url
            _log.info("stopping")

    async def _run(self, started: Callable[[str], None], supervisor: Supervisor | None) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        tell, pause = (supervisor, supervisor.watchdog) if supervisor else (_unsupervised, None)
        async with self.serving() as url:
            started(url)
            tell("READY=1", f"STATUS=listening at {url}")
            while not stop.is_set():
                tell("WATCHDOG=1")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
            tell("STOPPING=1")


async def _tidy(backends: Backends, mirror: Mirror) -> None:
    """Close backends of callers that have not come for long: each has options of its own, and tokens change."""
    while True:
        await asyncio.sleep(_TIDY)
        await asyncio.to_thread(
            lambda: backends.evict(keep=_MOST_BACKENDS, idle=_IDLE_BACKEND, but=tuple(mirror.backends()))
        )


def _tls(config: SeedPeerConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
    except OSError as error:
        raise UsageError(
            f"{config.tls_cert}: no usable certificate and key: {error.strerror or error}",
            hint="give PEM files with --tls-cert and --tls-key",
        ) from error
    return context


def _raise_file_limit() -> None:
    """Each node is a stream and a web-seed connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
