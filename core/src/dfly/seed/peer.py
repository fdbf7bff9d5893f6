"""The seed peer as a process: builds every part, passes it in, and takes it down in order."""

import asyncio
import contextlib
import resource
import signal
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager

import attrs
import structlog
from aiohttp import web

from dfly.backend import Secret
from dfly.config import Fetch, Network, Patience
from dfly.errors import SwarmError, UsageError
from dfly.origin.backends import Backends
from dfly.origin.pauses import Pauses
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.app import App
from dfly.seed.catalog import Catalog
from dfly.seed.keys import Keys
from dfly.seed.mirror import Mirror as StoredMirror
from dfly.seed.mirroring import Mirror, MirrorListener
from dfly.seed.tasks import Tasks
from dfly.seed.webseed import WebSeed
from dfly.store.blobs import BlobStore

_log = structlog.get_logger(__name__)

#: Hub questions at once, and seconds that open requests get at the end.
_QUESTIONS, _LAST_WORDS = 16, 2.0
_BACKLOG = 4096
#: Seconds that a connection may stay without a complete request: a thousand silent ones would hold every descriptor.
_SILENCE = 75.0


@attrs.frozen(kw_only=True)
class SeedPeerConfig:
    """Settings of a seed peer. `listen` is (host, port), port 0 for any; `revision_ttl` and `grant_lifetime` in seconds."""

    data_dir: str
    listen: tuple[str, int] = ("127.0.0.1", 65001)
    cluster_token: Secret | None = None
    allow_source: tuple[str, ...] = ()
    insecure: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    revision_ttl: float = 30.0
    grant_lifetime: int = 3600
    fetch: Fetch = attrs.field(factory=Fetch)
    network: Network = attrs.field(factory=Network)
    patience: Patience = attrs.field(factory=Patience)


#: Opens the mirror of a seed peer, which tells its listener what happens; the pauses are those that origins asked for.
OpenMirror = Callable[[SeedPeerConfig, MirrorListener, Pauses], AbstractContextManager[Mirror]]


@contextmanager
def stored_mirror(config: SeedPeerConfig, listener: MirrorListener, pauses: Pauses) -> Iterator[Mirror]:
    """The mirror that keeps its blobs in the data directory."""
    with contextlib.closing(BlobStore(config.data_dir)) as store:
        mirror = StoredMirror(
            store=store, listener=listener, settings=config.fetch, patience=config.patience, pauses=pauses
        )
        with contextlib.closing(mirror):
            yield mirror


class SeedPeer:
    """One seed peer; `run` it, or keep it `running` while something else happens."""

    def __init__(
        self, config: SeedPeerConfig, *, open_mirror: OpenMirror = stored_mirror, plugins: Plugins | None = None
    ) -> None:
        self.config = config
        self._open_mirror = open_mirror
        self._plugins = plugins or Plugins()

    def run(self, *, started: Callable[[str], None]) -> None:
        """Serve until SIGINT or SIGTERM; `started` is called with the URL when requests are answered.

        Raises SwarmError where the address cannot be had.
        """
        _raise_file_limit()
        asyncio.run(self._run(started))

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve from a thread of its own; yields the URL."""
        ready: list[str | BaseException] = []
        up, stops = threading.Event(), []

        async def serve() -> None:
            stop, loop = asyncio.Event(), asyncio.get_running_loop()
            stops.append(lambda: loop.call_soon_threadsafe(stop.set))
            async with self.serving() as url:
                ready.append(url)
                up.set()
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:
                ready.append(error)
                raise
            finally:
                up.set()

        thread = threading.Thread(target=run, name="dfly-seed-peer")
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
    async def serving(self) -> AsyncIterator[str]:
        """Serve in the running event loop; yields the URL. Raises SwarmError where the address cannot be had."""
        config, loop = self.config, asyncio.get_running_loop()
        keys = Keys.of(config.cluster_token)
        access = Access(cluster_token=config.cluster_token, allow_source=config.allow_source, insecure=config.insecure)
        async with contextlib.AsyncExitStack() as stack:
            cancel = threading.Event()
            backends = stack.enter_context(
                Backends(
                    self._plugins,
                    network=attrs.evolve(config.network, forbid_link_local=True),
                    patience=config.patience,
                    cancel=cancel,
                )
            )
            pool = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="dfly-hub")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(cancel.set)
            tasks = Tasks(
                open_mirror=lambda told: stack.enter_context(self._open_mirror(config, told, backends.pauses)),
                keys=keys,
                loop=loop,
            )
            catalog = Catalog(
                plugins=self._plugins,
                backends=backends,
                access=access,
                keys=keys,
                pool=pool,
                revision_ttl=config.revision_ttl,
            )
            stack.callback(catalog.close)
            egress: Counter[str] = Counter()
            app = App(
                access=access,
                catalog=catalog,
                tasks=tasks,
                web_seed=WebSeed(tasks=tasks, keys=keys, egress=egress, lifetime=config.grant_lifetime),
                plugins=self._plugins,
                egress=egress,
            )
            url = await stack.enter_async_context(_listening(app, config))
            clocks = asyncio.create_task(app.run_clocks())
            stack.callback(clocks.cancel)
            app.ready = True
            _log.info("listening", url=url)
            yield url
            _log.info("stopping")

    async def _run(self, started: Callable[[str], None]) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with self.serving() as url:
            started(url)
            await stop.wait()


@asynccontextmanager
async def _listening(app: App, config: SeedPeerConfig) -> AsyncIterator[str]:
    """The application behind its socket; yields the URL."""
    host, port = config.listen
    # a node's closed connection ends its handler at once, not with the next failing write: so the ring heals at once
    runner = web.AppRunner(
        app.application(),
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=_LAST_WORDS,
        keepalive_timeout=_SILENCE,
    )
    await runner.setup()
    try:
        tls = _tls(config)
        try:
            await web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG).start()
        except OSError as error:
            raise SwarmError(
                f"cannot listen on {host}:{port}: {error.strerror or error}",
                hint="choose another address with --listen",
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await runner.cleanup()


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
