"""The seed peer as a process: builds every part, passes it in, and takes it down in order."""

import asyncio
import contextlib
import os
import resource
import signal
import ssl
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import structlog

from dfly.backend import Secret
from dfly.config import Fetch, Network, Patience
from dfly.errors import UsageError
from dfly.origin.backends import Backends
from dfly.origin.pauses import Pauses
from dfly.plugins import Plugins
from dfly.seed.access import Access, plain_ip
from dfly.seed.app import App
from dfly.seed.catalog import Catalog
from dfly.seed.given import given_in
from dfly.seed.keys import Keys
from dfly.seed.mirror import Mirror as StoredMirror
from dfly.seed.mirroring import Mirror, MirrorListener
from dfly.seed.operators.export import Export
from dfly.seed.operators.imported import Imported
from dfly.seed.operators.importing import Import
from dfly.seed.operators.inventory import Inventory
from dfly.seed.operators.preheating import Preheating
from dfly.seed.operators.remembered import Memory
from dfly.seed.operators.remembering import Remembering
from dfly.seed.pulling import Puller
from dfly.seed.running import in_thread, listening
from dfly.seed.seals import ClusterSeals
from dfly.seed.stock.files import Files
from dfly.seed.stock.torrents import Torrents
from dfly.seed.stock.tracker import Tracker
from dfly.seed.tasks import Tasks
from dfly.seed.watching.metrics import Requests, SeedPeerMetrics
from dfly.seed.watching.page import Page
from dfly.seed.watching.readiness import Readiness
from dfly.seed.watching.watched import Watched
from dfly.seed.webseed import WebSeed
from dfly.store.blobs import BlobStore
from dfly.tracing import NO_TRACES, Traces

if TYPE_CHECKING:
    from dfly.swarm import Swarm

_log = structlog.get_logger(__name__)

#: Hub questions at once.
_QUESTIONS = 16
#: Backends beyond which those that were not used for so many seconds are closed, looked at so often.
_MOST_BACKENDS, _IDLE_BACKEND, _TIDY = 64, 900.0, 60.0


@attrs.frozen(kw_only=True)
class SeedPeerConfig:
    """Settings of a seed peer. `listen` is (host, port), port 0 for any; `revision_ttl` and `grant_lifetime` in seconds.

    `cluster_secret` is what only the seed peers of a cluster share; without it one believes nobody's seals but its own.
    `patience` is for questions to hubs, which somebody waits for; `content_patience` for files, which may outlast a bad hour.
    """

    data_dir: str
    listen: tuple[str, int] = ("127.0.0.1", 65001)
    cluster_token: Secret | None = None
    cluster_secret: Secret | None = None
    operator_token: Secret | None = None
    allow_source: tuple[str, ...] = ()
    insecure: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    revision_ttl: float = 30.0
    grant_lifetime: int = 3600
    fetch: Fetch = attrs.field(factory=Fetch)
    network: Network = attrs.field(factory=Network)
    patience: Patience = attrs.field(factory=Patience)
    #: A second address that answers /metrics, /healthz and /readyz to anybody, and nothing else.
    metrics_listen: tuple[str, int] | None = None
    content_patience: Patience = attrs.field(factory=lambda: Patience(tries=100, longest_pause=3600.0))


#: Opens the mirror of a seed peer, which tells its listener what happens; the pauses are those that origins asked for.
OpenMirror = Callable[[SeedPeerConfig, MirrorListener, Pauses], AbstractContextManager[Mirror]]


class Supervisor(Protocol):
    """Who started this process, and hears how it goes (`dfly.daemon.notify`). `watchdog`: how often, in seconds."""

    @property
    def watchdog(self) -> float | None:
        """None: it need not hear regularly."""

    def __call__(self, *lines: str) -> None:
        """Tell it `READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=…`."""


def _unsupervised(*_: str) -> None:
    pass


@contextmanager
def stored_mirror(config: SeedPeerConfig, listener: MirrorListener, pauses: Pauses) -> Iterator[Mirror]:
    """The mirror that keeps its blobs in the data directory."""
    with contextlib.closing(BlobStore(config.data_dir)) as store:
        mirror = StoredMirror(
            store=store, listener=listener, settings=config.fetch, patience=config.content_patience, pauses=pauses
        )
        with contextlib.closing(mirror):
            yield mirror


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
        config, loop = self.config, asyncio.get_running_loop()
        keys = Keys.of(config.cluster_secret) if config.cluster_secret else Keys.kept_in(config.data_dir)
        seals = ClusterSeals(keys=keys)
        access = Access(
            cluster_token=config.cluster_token,
            operator_token=config.operator_token,
            allow_source=config.allow_source,
            insecure=config.insecure,
        )
        async with contextlib.AsyncExitStack() as stack:
            cancel, requests = threading.Event(), Requests()
            backends = stack.enter_context(
                Backends(
                    self._plugins,
                    network=attrs.evolve(config.network, forbid_link_local=True),
                    patience=config.patience,
                    cancel=cancel,
                    on_retry=requests.asked_again,
                    on_answer=requests.answered,
                )
            )
            pool = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="dfly-hub")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(cancel.set)
            tasks = Tasks(
                open_mirror=lambda told: stack.enter_context(self._open_mirror(config, told, backends.pauses)),
                seals=seals,
                loop=loop,
                traces=self._traces,
                open_puller=lambda *collaborators: stack.enter_context(
                    contextlib.closing(Puller(*collaborators, open_swarm=self._open_swarm))
                ),
            )
            catalog = Catalog(
                plugins=self._plugins,
                backends=backends,
                access=access,
                keys=keys,
                seals=seals,
                pool=pool,
                revision_ttl=config.revision_ttl,
            )
            stack.callback(catalog.close)
            memory = Memory(os.path.join(config.data_dir, "snapshots"))
            imported = Imported(
                resolver=catalog,
                memory=memory,
                plugins=self._plugins,
                backends=backends,
                access=access,
                seals=seals,
            )
            egress: Counter[str] = Counter()
            readiness = Readiness(directory=config.data_dir)
            inventory = Inventory(tasks=tasks, memory=memory, egress=egress, config=config)
            resolver = Watched(
                resolver=Remembering(resolver=imported, memory=memory, plugins=self._plugins),
                counts=tasks.counts,
                traces=self._traces,
            )
            preheating = Preheating(
                resolver=resolver,
                tasks=tasks,
                plugins=self._plugins,
                memory=memory,
                given=partial(given_in, access=access, plugins=self._plugins),
            )
            metrics = SeedPeerMetrics(
                tasks=tasks, egress=egress, requests=requests, readiness=readiness, directory=config.data_dir
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
                catalog=resolver,
                tasks=tasks,
                web_seed=WebSeed(tasks=tasks, keys=keys, egress=egress, lifetime=config.grant_lifetime),
                plugins=self._plugins,
                egress=egress,
                faces=(
                    inventory,
                    preheating,
                    Tracker(tasks=tasks, keys=keys),
                    Files(tasks=tasks, keys=keys, egress=egress),
                    Torrents(memory=memory, tasks=tasks, keys=keys),
                    Export(remembered=memory.all, store=tasks.mirror, plugins=self._plugins, backends=backends),
                    Import(mirror=tasks.mirror, memory=memory, plugins=self._plugins),
                    exposition,
                    page,
                ),
                readiness=readiness,
            )
            url = await stack.enter_async_context(listening(app.application(), config.listen, tls=_tls(config)))
            stack.callback(preheating.close)
            stack.callback(page.close)
            clocks = (app.run_clocks(), inventory.run_clock(), preheating.run_clock(), _tidy(backends, tasks.mirror))
            for clock in clocks:
                stack.callback(asyncio.create_task(clock).cancel)
            readiness.state = "serving"
            _log.info("listening", url=url)
            yield url
            _log.info("stopping")

    def _open_swarm(self, on_event: Callable[[Any], None]) -> "Swarm":
        # not before it is needed: most seed peers never take anything from a node
        from dfly.swarm import Swarm, SwarmSettings

        host = self.config.listen[0]
        # nodes let in the address that they know the seed peer by
        return Swarm(SwarmSettings(interfaces=(host,) if _is_one_address(host) else ()), on_event=on_event)

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


def _is_one_address(host: str) -> bool:
    try:
        return not plain_ip(host).is_unspecified
    except ValueError:
        return False


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
