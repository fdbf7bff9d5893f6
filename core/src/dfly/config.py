"""Settings of a process, given once at the top and passed down. Sizes in bytes, times in seconds."""

from collections.abc import Iterable, Mapping, Sequence

import attrs


def several(named: str | Iterable[str]) -> tuple[str, ...]:
    """What was named; a string is one, and not its letters.

    >>> several("http://one:7300"), several(["*.json", "*.bin"])
    (('http://one:7300',), ('*.json', '*.bin'))
    """
    return (named,) if isinstance(named, str) else tuple(named)


@attrs.frozen(kw_only=True)
class Network:
    """How this process speaks HTTP. TLS is always verified; `ca_file` adds to the usual authorities.

    `cert` and `key` are PEM files of a client certificate. Proxies come from the environment unless `proxy` is given.
    `forbid_link_local`: never connect to link-local and metadata addresses; for who fetches what others name.
    """

    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None
    forbid_link_local: bool = False
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    #: A body slower than `low_speed` bytes/s over `low_speed_time` seconds counts as a lost connection.
    low_speed: int = 1024
    low_speed_time: float = 60.0


@attrs.frozen(kw_only=True)
class Patience:
    """How often and how long the core tries again. `tries` counts attempts without any progress between them."""

    tries: int = 6
    first_delay: float = 0.5
    longest_delay: float = 30.0
    #: The longest pause an origin may ask for (Retry-After) before it is an error.
    longest_pause: float = 600.0


@attrs.frozen(kw_only=True)
class Fetch:
    """How hard to fetch from an origin. `limit_rate` in bytes/s of origin traffic, None for no limit."""

    concurrency: int = 8
    limit_rate: int | None = None


@attrs.frozen(kw_only=True)
class Joining:
    """How this process takes part in a swarm; without `seed_peers` it does not, and fetches from the origin itself.

    `seed_peers` are base URLs. `cluster_token` is what the seed peers ask for. `port` 0 takes a free one for the session;
    `interface` is an address or device to listen on; `advertise` are addresses that other nodes reach this one by, besides
    the one the seed peer sees. `location` ("zone/rack") orders the ring. `upload_limit` in bytes/s.
    `seed_time` is how long to go on serving neighbours that are not done, and `patience` how long to go on without a byte
    while the seed peer is away or does not send what it has published, in seconds.
    """

    seed_peers: tuple[str, ...] = attrs.field(default=(), converter=several)
    cluster_token: str = attrs.field(default="", repr=False)
    port: int = 0
    interface: str = ""
    advertise: tuple[str, ...] = attrs.field(default=(), converter=several)
    location: str = ""
    upload_limit: int | None = None
    seed_time: float = 10.0
    patience: float = 15.0
    back_to_source: bool = True
    insecure: bool = False
    #: How long (seconds) a seed peer that was lost is given to come back before the next one is asked.
    settle: float = 3.0


def joining_from(environ: Mapping[str, str], *, seed_peers: Sequence[str] | None = None) -> Joining:
    """How the environment says to take part: the variables of dfget's flags. `seed_peers` counts for more than DFLY_SEED_PEERS.

    >>> joining_from({"DFLY_SEED_PEERS": "http://one:7300 http://two:7300"}).seed_peers
    ('http://one:7300', 'http://two:7300')
    """
    named = environ.get("DFLY_SEED_PEERS", "").split() if seed_peers is None else seed_peers
    return Joining(
        seed_peers=named,
        cluster_token=environ.get("DFLY_CLUSTER_TOKEN", ""),
        location=environ.get("DFLY_LOCATION", ""),
        interface=environ.get("DFLY_INTERFACE", ""),
        back_to_source=not is_set(environ, "DFLY_NO_BACK_TO_SOURCE"),
        insecure=is_set(environ, "DFLY_INSECURE"),
    )


def network_from(environ: Mapping[str, str]) -> Network:
    """How the environment says to speak HTTP: DFLY_CA_FILE, DFLY_CERT, DFLY_KEY and DFLY_PROXY, as for dfget.

    >>> network_from({"DFLY_CA_FILE": "/company/ca.pem"}).ca_file
    '/company/ca.pem'
    """
    ca_file, cert, key, proxy = (environ.get(f"DFLY_{name}") or None for name in ("CA_FILE", "CERT", "KEY", "PROXY"))
    return Network(ca_file=ca_file, cert=cert, key=key, proxy=proxy)


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether the environment switches `name` on: it is there, and none of the words that the flags read as off.

    >>> is_set({"DFLY_INSECURE": "1"}, "DFLY_INSECURE"), is_set({"DFLY_INSECURE": "0"}, "DFLY_INSECURE")
    (True, False)
    """
    return environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off", "f", "n")
