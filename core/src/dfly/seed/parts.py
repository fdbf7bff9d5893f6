"""What works behind a seed peer's faces: built in the order in which it depends on itself, taken down the other way round.

backends ─▶ tasks (with the mirror, and what pulls from nodes)
╰─▶ catalog ─▶ imported ─▶ remembering ─▶ watched: who is asked for a snapshot
"""

import asyncio
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from dfly.origin.backends import Backends
from dfly.origin.pauses import Pauses
from dfly.plugins import Plugins
from dfly.seed.access import Access, plain_ip
from dfly.seed.catalog import Catalog
from dfly.seed.keys import Keys
from dfly.seed.mirror import Mirror as StoredMirror
from dfly.seed.mirroring import Mirror, MirrorListener
from dfly.seed.operators.imported import Imported
from dfly.seed.operators.remembered import Memory
from dfly.seed.operators.remembering import Remembering
from dfly.seed.pulling import Puller
from dfly.seed.seals import ClusterSeals
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.tasks import Tasks
from dfly.seed.watching.metrics import Requests
from dfly.seed.watching.watched import Watched
from dfly.store.blobs import BlobStore
from dfly.tracing import Traces

if TYPE_CHECKING:
    from dfly.swarm import Swarm

#: Hub questions at once.
_QUESTIONS = 16

#: Opens the mirror of a seed peer, which tells its listener what happens; the pauses are those that origins asked for.
OpenMirror = Callable[[SeedPeerConfig, MirrorListener, Pauses], AbstractContextManager[Mirror]]


@attrs.frozen(kw_only=True)
class Parts:
    """What faces are built of. `requests` counts what hubs are asked, `egress` the bytes that were served, by what they were."""

    access: Access
    keys: Keys
    backends: Backends
    requests: Requests
    tasks: Tasks
    memory: Memory
    resolver: Watched
    egress: Counter[str]


@contextmanager
def built(
    config: SeedPeerConfig,
    *,
    open_mirror: OpenMirror,
    plugins: Plugins,
    traces: Traces,
    loop: asyncio.AbstractEventLoop,
) -> Iterator[Parts]:
    """Parts that work until the context is left; `loop` is the one that serves. Raises OutputError for the data directory."""
    keys = Keys.of(config.cluster_secret) if config.cluster_secret else Keys.kept_in(config.data_dir)
    seals = ClusterSeals(keys=keys)
    access = Access(
        cluster_token=config.cluster_token,
        operator_token=config.operator_token,
        allow_source=config.allow_source,
        insecure=config.insecure,
    )
    with contextlib.ExitStack() as stack:
        cancel, requests = threading.Event(), Requests()
        backends = stack.enter_context(
            Backends(
                plugins,
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
            open_mirror=lambda told: stack.enter_context(open_mirror(config, told, backends.pauses)),
            seals=seals,
            loop=loop,
            traces=traces,
            open_puller=lambda *collaborators: stack.enter_context(
                contextlib.closing(Puller(*collaborators, open_swarm=partial(_open_swarm, config.listen[0])))
            ),
        )
        catalog = Catalog(
            plugins=plugins,
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
            resolver=catalog, memory=memory, plugins=plugins, backends=backends, access=access, seals=seals
        )
        yield Parts(
            access=access,
            keys=keys,
            backends=backends,
            requests=requests,
            tasks=tasks,
            memory=memory,
            resolver=Watched(
                resolver=Remembering(resolver=imported, memory=memory, plugins=plugins),
                counts=tasks.counts,
                traces=traces,
            ),
            egress=Counter(),
        )


@contextmanager
def stored_mirror(config: SeedPeerConfig, listener: MirrorListener, pauses: Pauses) -> Iterator[Mirror]:
    """The mirror that keeps its blobs in the data directory."""
    with contextlib.closing(BlobStore(config.data_dir)) as store:
        mirror = StoredMirror(
            store=store, listener=listener, settings=config.fetch, patience=config.content_patience, pauses=pauses
        )
        with contextlib.closing(mirror):
            yield mirror


def _open_swarm(host: str, on_event: Callable[[Any], None]) -> "Swarm":
    # not before it is needed: most seed peers never take anything from a node
    from dfly.swarm import Swarm, SwarmSettings

    # nodes let in the address that they know the seed peer by
    return Swarm(SwarmSettings(interfaces=(host,) if _is_one_address(host) else ()), on_event=on_event)


def _is_one_address(host: str) -> bool:
    try:
        return not plain_ip(host).is_unspecified
    except ValueError:
        return False
