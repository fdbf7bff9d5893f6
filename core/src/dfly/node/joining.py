"""Joins a swarm for one task: asks a seed peer what the source URL is, and brings the files from it and from other nodes.

Builds what a task in the swarm needs (control client, libtorrent session, event stream) and passes it in.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from queue import SimpleQueue
from typing import Any

import attrs
import httpx

from dfly import wire
from dfly.config import Joining, Network
from dfly.events import Listener
from dfly.node.arrival import Arrival
from dfly.node.control import SeedPeer, Whereabouts
from dfly.node.freight import swarm_arrivals
from dfly.node.readers import Readers
from dfly.node.reserve import Reserve, Source
from dfly.node.rolling import Rolling
from dfly.node.seats import candidates, take_seat
from dfly.node.succession import Seat, Succession
from dfly.node.travelling import Options
from dfly.origin.client import authorities
from dfly.output.place import waiting_place
from dfly.output.plan import Target
from dfly.packs import Freight
from dfly.swarm import Session, Swarm, SwarmEvent, SwarmSettings, raise_file_limit
from dfly.values import Snapshot


@attrs.frozen(kw_only=True)
class Joined:
    """A task that a seed peer has resolved: `seat` is where to meet the others, `resolved` what to fetch.

    `candidates` are all seed peers in this task's order; `source` builds this node's own backend, for a stand-in.
    """

    seat: Seat
    candidates: tuple[SeedPeer, ...]
    ask: wire.Ask
    options: Options = attrs.field(repr=False)
    joining: Joining
    source: Source

    @property
    def snapshot(self) -> Snapshot:
        """What to fetch."""
        return self.seat.resolved.snapshot

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the seed peers are."""
        return tuple(peer.url for peer in self.candidates)

    def arrivals(self, targets: Sequence[Target], *, root: str, emit: Listener) -> dict[str, Arrival]:
        """What has to travel for `targets`, by blob id."""
        return swarm_arrivals(self.freight(), targets, root=root, emit=emit)

    def freight(self) -> Freight:
        """How the snapshot travels."""
        return self._freight

    @cached_property
    def _freight(self) -> Freight:
        return Freight.of(self.snapshot, task=self.seat.task)

    @contextmanager
    def rolling(
        self, arrivals: Mapping[str, Arrival], *, root: str, emit: Listener, stop: threading.Event
    ) -> Iterator[Rolling]:
        """A session in the swarm; `bring` the arrivals with it, then `linger`. Closes the arrivals at the end."""
        inbox = SimpleQueue[Any]()
        with (
            closing_all(arrivals.values()),
            open_swarm(self.joining, self.source.network, urls=self.urls, on_event=inbox.put) as swarm,
            self.rolling_in(swarm, inbox, arrivals, place=waiting_place(root), emit=emit, stop=stop) as rolling,
        ):
            yield rolling

    @contextmanager
    def rolling_in(
        self,
        swarm: Session,
        inbox: "SimpleQueue[Any]",
        arrivals: Mapping[str, Arrival],
        *,
        place: str,
        emit: Listener,
        stop: threading.Event,
        node: str = "",
        grows: bool = False,
        sources: dict[str, int] | None = None,
        readers: Readers | None = None,
    ) -> Iterator[Rolling]:
        """The same in a session that is there, whose events of these blobs come to `inbox`.

        Should this node stand in, it keeps what it serves below `place`. `node` is what the ring knows it by, anew where not
        given. `grows`: more may be wanted on the way (`Rolling.also`). `sources` and `readers` are as for `Rolling`.
        """
        joining = self.joining
        with ExitStack() as stack:
            reserve = stack.enter_context(closing(Reserve(self, data_dir=place)))
            me = self.whereabouts(node or secrets.token_hex(8), port=swarm.port, control=reserve.port)
            rolling = Rolling(
                arrivals,
                succession=self.succession(reserve),
                me=me,
                swarm=swarm,
                inbox=inbox,
                emit=emit,
                stop=stop,
                patience=joining.patience,
                declined=self.freight().sizes().keys() - arrivals.keys(),
                grows=grows,
                lazy=self.ask.lazy,
                sources=sources,
                readers=readers,
            )
            reserve.known = rolling.known_segments
            yield stack.enter_context(rolling)
            reserve.wait_for_others(stop)

    def whereabouts(self, node: str, *, port: int, control: int = 0) -> Whereabouts:
        """How others reach this node."""
        joining = self.joining
        return Whereabouts(
            node=node, port=port, control=control, advertise=joining.advertise, location=joining.location
        )

    def succession(self, reserve: Reserve) -> Succession:
        """Where to go on when the seed peer is gone."""
        return Succession(
            seat=self.seat,
            candidates=self.candidates,
            ask=attrs.evolve(self.ask, url=self.snapshot.source) if self.seat.resolved.seal else self.ask,
            options=self.options,
            peer_at=reserve.peer_at,
            own_port=reserve.port,
            stand_in=reserve.serve,
            settle=self.joining.settle,
        )


@contextmanager
def closing_all(arrivals: Iterable[Arrival]) -> Iterator[None]:
    """Close these in the end, whatever happens."""
    with ExitStack() as stack:
        for arrival in arrivals:
            stack.callback(arrival.close)
        yield


def open_swarm(
    joining: Joining, network: Network, *, urls: Iterable[str], on_event: Callable[[SwarmEvent], None]
) -> Swarm:
    """A session as `joining` says, for web seeds at `urls`. A context manager."""
    raise_file_limit()
    settings = SwarmSettings(
        listen_port=joining.port,
        interfaces=(joining.interface,) if joining.interface else (),
        upload_limit=joining.upload_limit,
        authorities=authorities(network) if any(url.startswith("https:") for url in urls) else "",
    )
    return Swarm(settings, on_event=on_event)


def join(
    ask: wire.Ask,
    options: Options,
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
    peers = candidates(ask, joining, client=client, secret=secret)
    seat = take_seat(ask, options, peers, stop=stop)
    return Joined(seat=seat, candidates=peers, ask=ask, options=options, joining=joining, source=source)
