"""The only door to libtorrent: torrents of a blob's segments in, frozen events out. No libtorrent type leaves it.

`Swarm` is a session, `SwarmSettings` how it behaves, `metainfo` what a torrent is. libtorrent itself is loaded when `Swarm` is
first asked for: a direct download needs none, and some Pythons have no wheel of it.
"""

from typing import TYPE_CHECKING, Any

from dfly.swarm.events import (
    Address,
    AlertsDropped,
    Flooded,
    Key,
    ListenFailed,
    Listening,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PieceFailed,
    SegmentKey,
    SegmentReadable,
    StorageFailed,
    SwarmEvent,
    WebSeedFailed,
    WholeKey,
    WholeReadable,
)
from dfly.swarm.listening import raise_file_limit
from dfly.swarm.metainfo import info_hash, piece_hash, segment_info, whole_info
from dfly.swarm.role import Session
from dfly.swarm.settings import SwarmSettings
from dfly.swarm.traffic import SwarmStats, Traffic

if TYPE_CHECKING:
    from dfly.swarm.session import Swarm

__all__ = [
    "Address",
    "AlertsDropped",
    "Flooded",
    "Key",
    "ListenFailed",
    "Listening",
    "PeerBanned",
    "PeerConnected",
    "PeerDisconnected",
    "PieceFailed",
    "SegmentKey",
    "SegmentReadable",
    "Session",
    "StorageFailed",
    "Swarm",
    "SwarmEvent",
    "SwarmSettings",
    "SwarmStats",
    "Traffic",
    "WebSeedFailed",
    "WholeKey",
    "WholeReadable",
    "info_hash",
    "piece_hash",
    "raise_file_limit",
    "segment_info",
    "whole_info",
]


def __getattr__(name: str) -> Any:
    if name == "Swarm":
        from dfly.swarm.session import Swarm

        return Swarm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
