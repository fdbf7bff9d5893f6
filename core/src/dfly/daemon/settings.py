"""What a node daemon is told when it starts."""

from collections.abc import Collection

import attrs

from dfly.config import Fetch, Joining, Network, Patience


@attrs.frozen(kw_only=True)
class NodeConfig:
    """Settings of a node daemon. `listen` is (host, port) of the HTTP API beside the socket, None for the socket only.

    `users` may connect besides the daemon's own and root, None: everybody. `cache_size` in bytes, None: as the disk takes.
    `rings` is how many snapshots' rings it is in at most. `revision_ttl` is for how many seconds a branch is what it was, to
    the clients of its endpoints.
    """

    data_dir: str
    socket: str
    listen: tuple[str, int] | None = None
    users: Collection[int] | None = ()
    cache_size: int | None = None
    rings: int = 32
    revision_ttl: float = 5.0
    #: A second address that answers /metrics, /healthz and /readyz to anybody, and nothing else.
    metrics_listen: tuple[str, int] | None = None
    joining: Joining = attrs.field(factory=Joining)
    fetch: Fetch = attrs.field(factory=Fetch)
    network: Network = attrs.field(factory=Network)
    patience: Patience = attrs.field(factory=Patience)
