"""How a libtorrent session behaves in a cluster, as a function of a few facts about the machine.

libtorrent's defaults are for the open Internet: uTP, discovery, encryption, a handful of upload slots. Here peers are named
by the scheduler, links are fast and short, and torrents are small and many.
"""

import secrets
from typing import Any

import attrs

MIB = 1 << 20
BLOCK = 16 << 10
#: What a NIC is taken for when nobody knows: 1 Gbit/s, in bytes per second.
USUAL_NIC = 125_000_000
#: What libtorrent's settings hold; of more than that it takes the lower 32 bits, which may be 0, and then there is no limit.
_HIGHEST_LIMIT = 2**31 - 1


@attrs.frozen(kw_only=True)
class SwarmSettings:
    """Sizes in bytes, rates in bytes per second.

    `listen_port` 0 takes a free one. `interfaces` are the IP addresses (or device names) to listen on and dial
    from; empty means all.
    `upload_limit` None is no limit. `nic_bytes_per_second` scales queues; None means unknown. `memory` bounds bytes that wait
    for the disk. `seed_peers` are IP addresses that the filter always lets in. `authorities` (PEM) are whom to trust for
    the certificate of an https web seed; empty: those of libtorrent's OpenSSL, which may be none.
    """

    listen_port: int = 0
    interfaces: tuple[str, ...] = ()
    upload_limit: int | None = None
    nic_bytes_per_second: int | None = None
    memory: int = 32 * MIB
    connections: int = 4000
    alert_queue: int = 20_000
    seed_peers: tuple[str, ...] = ()
    authorities: str = attrs.field(default="", repr=False)


def session_settings(settings: SwarmSettings, *, listen_interfaces: str) -> dict[str, Any]:
    """The settings pack, without the alert mask. `listen_interfaces` is libtorrent's `host:port,host:port`."""
    return {
        "listen_interfaces": listen_interfaces,
        "outgoing_interfaces": ",".join(settings.interfaces),
        **DISCOVERY,
        **TRANSPORT,
        **CONNECTIONS,
        **_fingerprint(),
        **_queues(settings),
        "connections_limit": settings.connections,
        "alert_queue_size": settings.alert_queue,
        "upload_rate_limit": min(settings.upload_limit or 0, _HIGHEST_LIMIT),
    }


#: Peers are named by the scheduler; nothing is to be found or announced.
DISCOVERY: dict[str, Any] = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
}

TRANSPORT: dict[str, Any] = {
    # uTP is 20 times slower on a LAN, and used as soon as either end offers it
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    # obfuscation costs a quarter of the rate and protects nothing
    "in_enc_policy": 2,
    "out_enc_policy": 2,
    # a port in use is an error to report, not one to walk past silently
    "max_retry_port_bind": 0,
    "listen_system_port_fallback": False,
    "listen_queue_size": 3000,
    # fills the whole request into one HTTP range up to this; a bigger one delays what the peers want next
    "urlseed_max_request_bytes": 16 * MIB,
    # a web seed on a private address with a query is somebody else's API
    "ssrf_mitigation": True,
}

CONNECTIONS: dict[str, Any] = {
    # several nodes may share an address (one machine, NAT)
    "allow_multiple_connections_per_ip": True,
    "unchoke_slots_limit": -1,
    "active_downloads": -1,
    "active_seeds": -1,
    "active_limit": -1,
    "active_checking": -1,
    # a new torrent dials all its peers at once instead of one per tick
    "torrent_connect_boost": 255,
    "connection_speed": 500,
    "smooth_connects": False,
    # anything above 0 multiplies with the failures so far, and a neighbour that had not added the torrent yet counts as one
    "min_reconnect_time": 0,
    # the field has five bits
    "max_failcount": 31,
    # a finished torrent would dial the other end of every link it already has, once a second
    "seeding_outgoing_connections": False,
    # the connection of a web seed must outlive the last piece, or its byte count is gone when the piece is flushed
    "close_redundant_connections": False,
    "peer_connect_timeout": 5,
    "handshake_timeout": 5,
    "peer_timeout": 20,
    "request_timeout": 10,
    "piece_timeout": 10,
    "tick_interval": 100,
}


def _fingerprint() -> dict[str, Any]:
    """One peer id for all torrents of the session, different from everybody else's.

    When both ends dial, each closes one of the two links, chosen by comparing peer ids. libtorrent makes a new id for every
    torrent and link, so the ends can disagree and both links die; twenty given characters leave it nothing to choose.
    """
    return {"peer_fingerprint": f"-DF0100-{secrets.token_hex(6)}"}


def _queues(settings: SwarmSettings) -> dict[str, Any]:
    """Deep enough to fill the link for some milliseconds, shallow enough that no block is parked on a slow peer."""
    nic = settings.nic_bytes_per_second or USUAL_NIC
    requests = _within(32, nic // 25 // BLOCK, 1000)
    return {
        # 40 ms of the link: a segment is a second or less, so what is asked of one peer must stay a small part of it
        "max_out_request_queue": requests,
        "max_allowed_in_request_queue": 2 * requests,
        "request_queue_time": 1,
        "whole_pieces_threshold": 1,
        # 10 ms of the link; more only adds delay to the next hop
        "send_buffer_watermark": _within(128 << 10, nic // 100, MIB),
        "send_buffer_low_watermark": 64 << 10,
        "max_queued_disk_bytes": settings.memory,
        # more threads cost CPU and gain nothing: the page cache is the disk
        "aio_threads": 2,
        "hashing_threads": 1,
        "file_pool_size": 500,
    }


def _within(least: int, value: int, most: int) -> int:
    return max(least, min(value, most))
