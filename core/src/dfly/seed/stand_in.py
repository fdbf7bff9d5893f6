"""A node in the seed peer's place, for one task, when all seed peers are gone: so that not every node goes to the hub.

It has no authority of its own. It believes what its own node was told, it admits those whom a seed peer has let in, who can tell
the task's id, and those whom the source admits, and it fetches from the source what the ring lacks. What nodes hold it leaves
with them, and so it never says that such a blob is complete: nodes judge by the hub's digest. Where the hub tells none they are
sent back to the source.
"""

import asyncio
import contextlib
import hmac
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import attrs
import structlog

from dfly.backend import Backend, Secret
from dfly.config import Fetch, Network, Patience
from dfly.errors import DflyError, NotFound, SwarmError
from dfly.origin.backends import Backends
from dfly.packs import Freight
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.app import App
from dfly.seed.catalog import ADMITTED, Selected
from dfly.seed.keys import Keys
from dfly.seed.mirror import Mirror
from dfly.seed.options import Given, caller_options, not_open
from dfly.seed.running import in_thread, listening
from dfly.seed.seals import RememberedSeals
from dfly.seed.tasks import Tasks
from dfly.seed.webseed import WebSeed
from dfly.store.blobs import BlobStore
from dfly.store.hashing import pick
from dfly.values import bare_url
from dfly.wire import Ask, Resolved, Segment

_log = structlog.get_logger(__name__)

#: Seconds that other nodes get to find out that the seed peer is gone, and who stands in.
GRACE = 3.0
_QUESTIONS = 4


class StandIn:
    """Serves the task of `resolved` on `sock`, which is bound, and which `close` does not close.

    `ask` is what this node has asked for, `backend` its own way to the source; `known` is every segment that it was told of.
    What is fetched lies below `data_dir`. Plain HTTP: other nodes' hub tokens are accepted from elsewhere only if `insecure`.
    """

    def __init__(
        self,
        *,
        sock: socket.socket,
        data_dir: str,
        resolved: Resolved,
        ask: Ask,
        backend: Backend,
        known: Sequence[Segment],
        cluster_token: Secret | None,
        network: Network,
        plugins: Plugins,
        fetch: Fetch,
        patience: Patience,
        insecure: bool = False,
        grace: float = GRACE,
    ) -> None:
        self._sock, self._data_dir = sock, data_dir
        self._resolved, self._ask, self._backend = resolved, ask, backend
        # the pack is small and has no digest of its own: it is fetched whole, so that somebody can say that it is right
        packed = Freight.of(resolved.snapshot, task=resolved.task).pack
        self._known = [s for s in known if packed is None or s.blob != packed.blob]
        self._access = Access(cluster_token=cluster_token, insecure=insecure)
        self._network, self._plugins, self._fetch, self._patience = network, plugins, fetch, patience
        self._grace = grace
        self._tasks: Tasks | None = None
        self._running = contextlib.ExitStack()

    def start(self) -> str:
        """Serve from a thread of its own; returns the URL. Raises OutputError where the disk will not have it."""
        return self._running.enter_context(in_thread(self._serving, name="dfly-stand-in"))

    def busy(self) -> bool:
        """Whether a node that is connected still lacks something."""
        task = self._tasks.get(self._resolved.task) if self._tasks else None
        return task is not None and bool(task.scheduler.undone)

    def close(self) -> None:
        """Stop serving, and throw away nothing."""
        self._running.close()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[str]:
        async with contextlib.AsyncExitStack() as stack:
            cancel = threading.Event()
            network = attrs.evolve(self._network, forbid_link_local=True)
            backends = stack.enter_context(
                Backends(self._plugins, network=network, patience=self._patience, cancel=cancel)
            )
            pool = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="dfly-hub")
            stack.callback(pool.shutdown, wait=False, cancel_futures=True)
            stack.callback(cancel.set)
            os.makedirs(self._data_dir, mode=0o700, exist_ok=True)
            store = stack.enter_context(contextlib.closing(BlobStore(self._data_dir)))
            tasks = Tasks(
                open_mirror=lambda told: stack.enter_context(
                    contextlib.closing(
                        Mirror(
                            store=store,
                            listener=told,
                            settings=self._fetch,
                            patience=self._patience,
                            pauses=backends.pauses,
                        )
                    )
                ),
                seals=RememberedSeals(self._known),
                loop=asyncio.get_running_loop(),
                unfit=unfit,
                held_back=self._grace,
            )
            egress: Counter[str] = Counter()
            app = App(
                access=self._access,
                catalog=OneTask(
                    resolved=self._resolved,
                    ask=self._ask,
                    backend=self._backend,
                    plugins=self._plugins,
                    backends=backends,
                    pool=pool,
                ),
                tasks=tasks,
                web_seed=WebSeed(tasks=tasks, keys=Keys.passing(), egress=egress),
                plugins=self._plugins,
                egress=egress,
            )
            resolved, lazy = self._resolved, self._ask.lazy
            task = await tasks.open(resolved.task, resolved.snapshot, self._backend, carried=True, lazy=lazy)
            await tasks.carrying.adopt(task, self._known)
            url = await stack.enter_async_context(listening(app.application(), self._sock))
            stack.callback(asyncio.create_task(app.run_clocks()).cancel)
            self._tasks = tasks
            app.readiness.state = "serving"
            _log.info("standing_in", url=url, source=bare_url(self._resolved.snapshot.source))
            yield url


@attrs.define(kw_only=True, eq=False)
class OneTask:
    """Answers whoever asks for the task of `resolved` and may have it; a yes of the source is believed for a while.

    Whoever brings along what a seed peer answered was let in there, as the id of a task that is not public cannot be guessed.
    """

    resolved: Resolved
    ask: Ask
    backend: Backend
    plugins: Plugins
    backends: Backends
    pool: ThreadPoolExecutor
    clock: Callable[[], float] = time.monotonic
    _admitted: dict[str, float] = attrs.field(factory=dict)

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """See `Resolver`. Raises NotFound for any other task, and AccessDenied."""
        if not self._is_this(ask):
            raise NotFound("this node stands in for one task only, which is another one", kind="task")
        if not self._was_let_in(ask):
            await asyncio.get_running_loop().run_in_executor(self.pool, self._admit, given)
        # the seal is the seed peer's: if one comes back, the node can show it there
        seal = ask.known.seal if ask.known else ""
        mine = self.resolved
        return Selected(task=mine.task, snapshot=mine.snapshot, backend=self.backend, seal=seal, carried=True)

    def _is_this(self, ask: Ask) -> bool:
        if ask.known is not None:
            return ask.known.task == self.resolved.task
        choice = (self.ask.recursive, self.ask.include, self.ask.exclude)
        urls = (self.ask.url, self.resolved.snapshot.source)
        return ask.url in urls and (ask.recursive, ask.include, ask.exclude) == choice

    def _was_let_in(self, ask: Ask) -> bool:
        """Whether the caller shows what only a seed peer can have told it: nodes send no secrets to each other."""
        mine, known = self.resolved, ask.known
        if known is None or not mine.task.startswith(f"{mine.snapshot.id}-"):
            return False  # an id without a tail is that of a public snapshot: anybody can compute it
        return hmac.compare_digest(known.task.encode(), mine.task.encode()) and known.snapshot == mine.snapshot

    def _admit(self, given: Given) -> None:
        snapshot = self.resolved.snapshot
        if snapshot.public:
            return
        backend_class = type(self.backend)
        caller = caller_options(backend_class, given)
        admitted = self._admitted.get(caller.secrets)
        if admitted is not None and self.clock() - admitted < ADMITTED:
            return
        if not self.backends.get(backend_class, caller.settings).authorize(snapshot):
            raise not_open(snapshot.source, backend_class)
        self._admitted[caller.secrets] = self.clock()


def unfit(freight: Freight) -> Mapping[str, DflyError]:
    """The blobs that nothing but a seed peer could vouch for."""
    found: dict[str, DflyError] = {}
    entries = {blob: [entry] for blob, entry in freight.blobs.items()}
    if freight.pack:
        entries[freight.pack.blob] = list(freight.pack.entries)
    for blob, parts in entries.items():
        unsure = next((entry for entry in parts if pick(entry.digests) is None), None)
        if unsure is not None:
            found[blob] = SwarmError(
                f"{unsure.path}: all seed peers are gone, and its source tells no digest to hold nodes' bytes against"
            )
    return found
