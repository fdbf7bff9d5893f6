"""Joins a swarm for one task: asks a seed peer what the source URL is, and brings the files from it and from other nodes.

Builds what a task in the swarm needs (control client, libtorrent session, event stream) and passes it in.
"""

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx

from dfly import wire
from dfly.backend import Secret
from dfly.config import Joining
from dfly.errors import SwarmError, UsageError
from dfly.events import Listener
from dfly.node.arrival import Arrival, swarm_arrivals
from dfly.node.control import SeedPeer, Whereabouts, in_order
from dfly.node.rolling import Rolling
from dfly.output.plan import Target
from dfly.packs import Freight
from dfly.swarm import Swarm, SwarmSettings, raise_file_limit
from dfly.values import Snapshot


@attrs.frozen(kw_only=True)
class Joined:
    """A task that a seed peer has resolved: `snapshot` is what to fetch, `task` where to meet the others."""

    seed_peer: SeedPeer
    task: str
    snapshot: Snapshot

    def arrivals(self, targets: Sequence[Target], *, root: str, emit: Listener) -> dict[str, Arrival]:
        """What has to travel for `targets`, by blob id."""
        return swarm_arrivals(Freight.of(self.snapshot, task=self.task), targets, root=root, emit=emit)

    @contextmanager
    def rolling(
        self, arrivals: Mapping[str, Arrival], joining: Joining, *, emit: Listener, stop: threading.Event
    ) -> Iterator[Rolling]:
        """A session in the swarm; `bring` the arrivals with it, then `linger`. Closes the arrivals at the end."""
        raise_file_limit()
        inbox: SimpleQueue[Any] = SimpleQueue()
        settings = SwarmSettings(
            listen_port=joining.port,
            interfaces=(joining.interface,) if joining.interface else (),
            upload_limit=joining.upload_limit,
        )
        try:
            with Swarm(settings, on_event=inbox.put) as swarm:
                me = Whereabouts(
                    node=secrets.token_hex(8), port=swarm.port, advertise=joining.advertise, location=joining.location
                )
                rolling = Rolling(
                    arrivals,
                    seed_peer=self.seed_peer,
                    task=self.task,
                    me=me,
                    swarm=swarm,
                    inbox=inbox,
                    emit=emit,
                    stop=stop,
                )
                with rolling:
                    yield rolling
        finally:
            for arrival in arrivals.values():
                arrival.close()


def join(ask: wire.Ask, options: Mapping[str, str], joining: Joining, *, client: httpx.Client) -> Joined:
    """Ask the seed peers for `ask`, in the order that all nodes use for this repository.

    `options` are backend options that may travel, secrets among them: they are refused over plain HTTP to another machine
    unless `joining.insecure`. Raises what the seed peer's backend raised; SwarmError where no seed peer answers.
    """
    last: SwarmError | None = None
    for url in in_order(joining.seed_peers, ask.url.partition("@")[0]):
        peer = SeedPeer(
            url=url.rstrip("/"),
            client=client,
            cluster_token=Secret(joining.cluster_token) if joining.cluster_token else None,
        )
        require_private(peer.url, options, joining)
        try:
            resolved = peer.resolve(ask, options)
        except SwarmError as error:
            last = error
            continue
        return Joined(seed_peer=peer, task=resolved.task, snapshot=resolved.snapshot)
    assert last is not None, "join without seed peers"
    raise last


def require_private(url: str, options: Mapping[str, str], joining: Joining) -> None:
    """Refuse to send secrets in plain text to another machine."""
    parts = urlsplit(url)
    local = parts.hostname in ("127.0.0.1", "::1", "localhost")
    secret = bool(joining.cluster_token) or any("token" in name or "header" in name for name in options)
    if parts.scheme != "https" and secret and not local and not joining.insecure:
        raise UsageError(
            f"the seed peer {url} is reached over plain HTTP: tokens would be readable on the way",
            hint="use https:// (and --ca-file), or --insecure if the network is trusted",
        )
