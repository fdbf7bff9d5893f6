"""What a seed peer is told when it starts."""

import attrs

from dfly.backend import Secret
from dfly.config import Fetch, Network, Patience


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
