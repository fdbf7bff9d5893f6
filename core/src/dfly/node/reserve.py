"""A node held in reserve for the seed peer's place: it binds a control port when it joins and serves there when its turn comes.

When every seed peer is gone, two hundred nodes must not go to the hub each for itself. The nodes of the last ring know the same
first few stand-ins; the first of them that lives publishes what all still lack, and the ring goes on round it.
"""

import os
import shutil
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from dfly import wire
from dfly.backend import Backend
from dfly.config import Fetch, Network, Patience
from dfly.errors import SwarmError
from dfly.node.control import SeedPeer
from dfly.node.resolve import contents
from dfly.plugins import Plugins
from dfly.values import Snapshot

if TYPE_CHECKING:
    from dfly.node.joining import Joined
    from dfly.seed.stand_in import StandIn

#: A stand-in serves others after its own task is done while there is progress, at most this long (seconds).
LONGEST_SERVICE = 600.0


@attrs.frozen(kw_only=True)
class Source:
    """What this process would go back to the source with; `resolve` asks it what the user's URL means."""

    backend: Callable[[], Backend]
    resolve: Callable[[], Snapshot]
    plugins: Plugins
    network: Network
    settings: Fetch
    patience: Patience


class Reserve:
    """`port` is the control port, 0 where this node would not stand in. `known` tells what seed peers have announced."""

    def __init__(self, joined: "Joined", *, data_dir: str) -> None:
        self._joined = joined
        self._data_dir = os.path.join(data_dir, "stand-in")
        self._standing: StandIn | None = None
        self.known: Callable[[], list[wire.Segment]] = list
        self._socket = _bound(joined)
        self.port: int = self._socket.getsockname()[1] if self._socket else 0

    def peer_at(self, address: wire.Address) -> SeedPeer:
        """Another node's control port, as a seed peer."""
        here = self._joined.seat.seed_peer
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return attrs.evolve(here, url=f"http://{host}:{address[1]}")

    def serve(self, address: wire.Address) -> SeedPeer:
        """Take the seed peer's place, at `address`, which is this node's own.

        Raises SwarmError where the source means other files than the seed peer said, or does not show them to everybody: a
        word from the network must not have this node fetch, with its user's rights, what it then hands to others.
        """
        assert self._socket is not None
        if self._standing is None:
            from dfly.seed.stand_in import StandIn

            joined, source = self._joined, self._joined.source
            meant = source.resolve()
            if contents(meant) != contents(joined.snapshot) or (joined.snapshot.public and not meant.public):
                raise SwarmError("the source has other files than the seed peer told: this node does not stand in")
            self._standing = StandIn(
                sock=self._socket,
                data_dir=self._data_dir,
                resolved=joined.seat.resolved,
                ask=joined.ask,
                backend=source.backend(),
                known=self.known(),
                cluster_token=joined.seat.seed_peer.cluster_token,
                insecure=joined.joining.insecure,
                network=source.network,
                plugins=source.plugins,
                fetch=source.settings,
                patience=source.patience,
            )
            self._standing.start()
        return self.peer_at(address)

    def wait_for_others(self, stop: threading.Event) -> None:
        """Where this node stands in: stay until the others have what they came for."""
        waited = 0.0
        while self._standing is not None and self._standing.busy() and waited < LONGEST_SERVICE:
            if stop.wait(0.5):
                return
            waited += 0.5

    def close(self) -> None:
        """Stop serving, and leave nothing of it below the output."""
        if self._standing is not None:
            self._standing.close()
            shutil.rmtree(self._data_dir, ignore_errors=True)
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()


def _bound(joined: "Joined") -> socket.socket | None:
    """A socket with a port; None where this node must not serve: it would do so in plain HTTP, which a cluster with TLS forbids.

    It does not listen yet: the kernel would accept other nodes' questions, which nobody answers before this one's turn.
    """
    if joined.seat.seed_peer.url.startswith("https:") or not joined.joining.back_to_source:
        return None
    sock = socket.socket(_family(joined.joining.interface), socket.SOCK_STREAM)
    try:
        sock.bind((joined.joining.interface, 0))
    except OSError:
        sock.close()
        return None
    return sock


def _family(interface: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in interface else socket.AF_INET
