"""What works behind a node daemon's faces: built in the order in which it depends on itself, taken down the other way round.

    store ─▶ cache ─▶ means of every errand ─▶ admissions and visits
                │          ▲
                ╰───────▶ rings ─▶ errands that seed peers send

A daemon without seed peers has neither rings nor such errands, and does without libtorrent.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from dfly.backend import Secret
from dfly.daemon.admission import Admissions, Caller
from dfly.daemon.cache import Cache
from dfly.daemon.claims import Claims
from dfly.daemon.errand import Means
from dfly.daemon.naming import node_name
from dfly.daemon.records import Records
from dfly.daemon.reopening import Reopening
from dfly.daemon.repair import Verifier
from dfly.daemon.seating import Seating
from dfly.daemon.settings import NodeConfig
from dfly.daemon.standing_by import StandingBy
from dfly.daemon.visit import Visit
from dfly.node.control import SeedPeer
from dfly.node.readers import Readers
from dfly.node.sources import control_client
from dfly.origin.backends import Backends
from dfly.plugins import Plugins
from dfly.seed.watching.metrics import Requests
from dfly.store.blobs import BlobStore
from dfly.swarm import SwarmStats
from dfly.tracing import Traces

if TYPE_CHECKING:
    import httpx

    from dfly.daemon.neighbours import Neighbours, Rejoin
    from dfly.swarm import Swarm, SwarmEvent


@attrs.frozen(kw_only=True)
class Parts:
    """What faces are built of. `neighbours` is None without seed peers, `closing` is set when all of it shall come to an end."""

    config: NodeConfig
    closing: threading.Event
    cache: Cache
    records: Records
    requests: Requests
    backends: Backends
    admissions: Admissions
    reopening: Reopening
    verifier: Verifier
    means: Means
    neighbours: "Neighbours | None"

    def visit(self, connected: socket.socket, caller: Caller) -> None:
        """Serve one dfget."""
        Visit(
            connected,
            caller,
            admissions=self.admissions,
            means=self.means,
            settings=self.config.fetch,
            closing=self.closing,
        ).run()

    def rings(self) -> int:
        """How many rings this node is in."""
        return len(self.places())

    def places(self) -> list[dict[str, Any]]:
        """Its place in each of them, as JSON."""
        return self.neighbours.rows() if self.neighbours is not None else []

    def uploaded(self) -> int:
        """How many bytes have gone to other nodes."""
        moved = self.moved()
        return moved.uploaded if moved else 0

    def moved(self) -> SwarmStats | None:
        """What the libtorrent session has moved; None without one."""
        return self.neighbours.moved() if self.neighbours is not None else None


@contextmanager
def built(config: NodeConfig, *, plugins: Plugins, traces: Traces, closing: threading.Event) -> Iterator[Parts]:
    """Parts that work until the context is left, which sets `closing`. Raises OutputError for the data directory."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(BlobStore(config.data_dir)))
        cache = stack.enter_context(contextlib.closing(Cache(store, limit=config.cache_size)))
        records = stack.enter_context(contextlib.closing(Records(os.path.join(config.data_dir, "snapshots"))))
        cache.pin(records.pinned_blobs())
        requests = Requests()
        backends = stack.enter_context(
            Backends(
                plugins,
                network=config.network,
                patience=config.patience,
                cancel=closing,
                on_retry=requests.asked_again,
                on_answer=requests.answered,
            )
        )
        control = stack.enter_context(control_client(backends, config.network, config.patience, config.joining))
        seating = _seating(config, plugins=plugins, backends=backends, client=control)
        reopening = Reopening(seating=seating, closing=closing)
        means = Means(
            cache=cache,
            claims=Claims(),
            records=records,
            by_swarm=None,
            back_to_source=config.joining.back_to_source,
            patience=config.patience,
            pauses=backends.pauses,
            traces=traces,
        )
        verifier = Verifier(
            cache,
            records=records,
            means=lambda: means,  # those of below: the rings tell it of damaged blobs, and it mends by the rings
            reopen=reopening.with_ring,
            settings=config.fetch,
            closing=closing,
        )
        stack.callback(verifier.close)
        stack.callback(closing.set)
        neighbours = None
        if config.joining.seed_peers:
            neighbours = stack.enter_context(
                _neighbours(
                    config,
                    cache=cache,
                    records=records,
                    rejoin=reopening.join,
                    damaged=verifier.suspect,
                    readers=means.readers,
                )
            )
            means = attrs.evolve(means, by_swarm=neighbours.bring)
            stack.enter_context(_standing_by(config, seating=seating, means=means))
        yield Parts(
            config=config,
            closing=closing,
            cache=cache,
            records=records,
            requests=requests,
            backends=backends,
            admissions=Admissions(seating=seating, uid=os.geteuid()),
            reopening=reopening,
            verifier=verifier,
            means=means,
            neighbours=neighbours,
        )


@contextmanager
def _neighbours(
    config: NodeConfig,
    *,
    cache: Cache,
    records: Records,
    rejoin: "Rejoin",
    damaged: Callable[[str], None],
    readers: Readers,
) -> Iterator["Neighbours"]:
    """All rings that this node is in, through one libtorrent session."""
    # brings libtorrent along, which a daemon without seed peers neither needs nor, on the newest Python, has
    from dfly.daemon.neighbours import Neighbours
    from dfly.daemon.places import Places
    from dfly.daemon.session import SharedSession
    from dfly.node.joining import open_swarm

    def open_session(on_event: "Callable[[SwarmEvent], None]") -> "Swarm":
        return open_swarm(config.joining, config.network, urls=config.joining.seed_peers, on_event=on_event)

    with contextlib.closing(SharedSession(open_session)) as session:
        folder = os.path.join(config.data_dir, "standing-in")
        places = Places(cache=cache, session=session, folder=folder, most=config.rings, damaged=damaged)
        neighbours = Neighbours(
            cache=cache, records=records, places=places, session=session, rejoin=rejoin, readers=readers
        )
        with contextlib.closing(neighbours):
            neighbours.start()
            yield neighbours


@contextmanager
def _standing_by(config: NodeConfig, *, seating: Seating, means: Means) -> Iterator[None]:
    """There for what seed peers send this node for: that comes by them, or not at all."""
    joining = attrs.evolve(config.joining, back_to_source=False)
    token = Secret(joining.cluster_token) if joining.cluster_token else None

    def pin(task: str) -> None:
        means.records.change(task, pinned=True)
        means.cache.pin(means.records.pinned_blobs())

    standing = StandingBy(
        seed_peers=[
            SeedPeer(url=url.rstrip("/"), client=seating.client, cluster_token=token, insecure=joining.insecure)
            for url in joining.seed_peers
        ],
        node=node_name(config.data_dir),
        location=joining.location,
        admissions=Admissions(seating=attrs.evolve(seating, joining=joining), uid=os.geteuid()),
        means=attrs.evolve(means, back_to_source=False),
        settings=config.fetch,
        uid=os.geteuid(),
        pin=pin,
    )
    with contextlib.closing(standing):
        standing.start()
        yield


def _seating(config: NodeConfig, *, plugins: Plugins, backends: Backends, client: "httpx.Client") -> Seating:
    return Seating(
        joining=config.joining,
        client=client,
        backends=backends,
        plugins=plugins,
        network=config.network,
        settings=config.fetch,
        patience=config.patience,
    )
