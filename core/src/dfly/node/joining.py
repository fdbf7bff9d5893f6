"""Joins a swarm for one task: asks a seed peer what the source URL is, and brings the files from it and from other nodes.

Builds what a task in the swarm needs (control client, libtorrent session, event stream) and passes it in.
"""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedEnough
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import attrs
import httpx

from dfly import wire
from dfly.backend import Secret
from dfly.config import Joining
from dfly.errors import Cancelled, SwarmError
from dfly.events import Listener
from dfly.node.arrival import Arrival, swarm_arrivals
from dfly.node.control import SeedPeer, Whereabouts, in_order
from dfly.node.reserve import Reserve, Source
from dfly.node.rolling import Rolling
from dfly.node.succession import Seat, Succession
from dfly.origin.client import authorities
from dfly.output.place import waiting_place
from dfly.output.plan import Target
from dfly.packs import Freight
from dfly.swarm import Swarm, SwarmSettings, raise_file_limit
from dfly.values import Snapshot

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Joined:
    """A task that a seed peer has resolved: `seat` is where to meet the others, `resolved` what to fetch.

    `candidates` are all seed peers in this task's order; `source` builds this node's own backend, for a stand-in.
    """

    seat: Seat
    candidates: tuple[SeedPeer, ...]
    ask: wire.Ask
    options: Mapping[str, str] = attrs.field(repr=False)
    joining: Joining
    source: Source

    @property
    def snapshot(self) -> Snapshot:
        """What to fetch."""
        return self.seat.resolved.snapshot

    @property
    def _over_tls(self) -> bool:
        return any(peer.url.startswith("https:") for peer in self.candidates)

    def arrivals(self, targets: Sequence[Target], *, root: str, emit: Listener) -> dict[str, Arrival]:
        """What has to travel for `targets`, by blob id."""
        return swarm_arrivals(self._freight(), targets, root=root, emit=emit)

    def _freight(self) -> Freight:
        return Freight.of(self.snapshot, task=self.seat.task)

    @contextmanager
    def rolling(
        self, arrivals: Mapping[str, Arrival], *, root: str, emit: Listener, stop: threading.Event
    ) -> Iterator[Rolling]:
        """A session in the swarm; `bring` the arrivals with it, then `linger`. Closes the arrivals at the end."""
        raise_file_limit()
        joining, inbox = self.joining, SimpleQueue[Any]()
        settings = SwarmSettings(
            listen_port=joining.port,
            interfaces=(joining.interface,) if joining.interface else (),
            upload_limit=joining.upload_limit,
            authorities=authorities(self.source.network) if self._over_tls else "",
        )
        with ExitStack() as stack:
            for arrival in arrivals.values():
                stack.callback(arrival.close)
            swarm = stack.enter_context(Swarm(settings, on_event=inbox.put))
            reserve = stack.enter_context(closing(Reserve(self, data_dir=waiting_place(root))))
            me = Whereabouts(
                node=secrets.token_hex(8),
                port=swarm.port,
                control=reserve.port,
                advertise=joining.advertise,
                location=joining.location,
            )
            succession = Succession(
                seat=self.seat,
                candidates=self.candidates,
                ask=attrs.evolve(self.ask, url=self.snapshot.source) if self.seat.resolved.seal else self.ask,
                options=self.options,
                peer_at=reserve.peer_at,
                own_port=reserve.port,
                stand_in=reserve.serve,
                settle=joining.settle,
            )
            rolling = Rolling(
                arrivals,
                succession=succession,
                me=me,
                swarm=swarm,
                inbox=inbox,
                emit=emit,
                stop=stop,
                patience=joining.patience,
                declined=self._freight().sizes().keys() - arrivals.keys(),
            )
            reserve.known = rolling.known_segments
            yield stack.enter_context(rolling)
            reserve.wait_for_others(stop)


def join(
    ask: wire.Ask,
    options: Mapping[str, str],
    joining: Joining,
    *,
    client: httpx.Client,
    source: Source,
    stop: threading.Event,
    secret: frozenset[str] = frozenset(),
) -> Joined:
    """Ask the seed peers for `ask`, in the order that all nodes use for this repository.

    `options` are backend options that may travel; those named in `secret` are refused over plain HTTP to another machine
    unless `joining.insecure`. Raises what the seed peer's backend raised; SwarmError where no seed peer answers; Cancelled.
    """
    token = Secret(joining.cluster_token) if joining.cluster_token else None
    urls = [url.rstrip("/") for url in in_order(joining.seed_peers, ask.url.partition("@")[0])]
    candidates = tuple(
        SeedPeer(url=url, client=client, cluster_token=token, secret=secret, insecure=joining.insecure) for url in urls
    )
    last: SwarmError | None = None
    for peer in candidates:
        try:
            resolved = unless_stopped(partial(peer.resolve, ask, options), stop)
            seat = Seat(seed_peer=peer, resolved=resolved)
        except SwarmError as error:
            last = error
        else:
            return Joined(seat=seat, candidates=candidates, ask=ask, options=options, joining=joining, source=source)
    assert last is not None, "join without seed peers"
    raise last


def unless_stopped(job: Callable[[], T], stop: threading.Event) -> T:
    """What `job` returns or raises; Cancelled as soon as `stop` is set, whatever becomes of the job."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="dfly-join", daemon=True).start()
    while not stop.is_set():
        with suppress(WaitedEnough):
            return future.result(timeout=0.1)
    raise Cancelled
