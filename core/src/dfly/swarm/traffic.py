"""How many bytes a torrent moved, and with whom.

libtorrent counts a torrent's payload as a whole. What a web seed gave is known only per connection and only while the
connection stands, so it is sampled while the torrent fetches and once more when its last piece is there; the rest came
from peers. The sum is exact always, the split is exact unless a web seed's connection is lost half-way: what it gave after
the last sample (a quarter of a second) then counts as the peers'.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from dfly.swarm.events import Address, Key

#: `peer_info.connection_type` of a BEP 19 web seed
WEB_SEED = 2


@attrs.frozen(kw_only=True)
class Traffic:
    """One torrent's bytes of payload. `wasted` ones were received and thrown away: wrong, or had already.

    `done` of `wanted` bytes are checked. `connections` counts peers and web seeds. `idle` is in seconds since a byte arrived.
    """

    downloaded: int = 0
    from_web_seed: int = 0
    uploaded: int = 0
    wasted: int = 0
    done: int = 0
    wanted: int = 0
    connections: int = 0
    idle: float = 0.0

    @property
    def from_peers(self) -> int:
        """Bytes from BitTorrent peers."""
        return self.downloaded - self.from_web_seed


@attrs.frozen(kw_only=True)
class SwarmStats:
    """All torrents of a session by key, and totals that include the removed ones."""

    torrents: Mapping[Key, Traffic]
    from_web_seeds: int
    from_peers: int
    uploaded: int
    wasted: int


class Ledger:
    """Keeps one torrent's numbers from libtorrent's status and peer lists."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved_at = clock()
        self._latest = Traffic()
        self._web: dict[tuple[Address, Address], int] = {}

    def record_status(self, status: Any) -> None:
        """Take the totals of a `torrent_status`."""
        if status.total_payload_download > self._latest.downloaded:
            self._moved_at = self._clock()
        self._latest = Traffic(
            downloaded=status.total_payload_download,
            uploaded=status.total_payload_upload,
            wasted=status.total_failed_bytes + status.total_redundant_bytes,
            done=status.total_wanted_done,
            wanted=status.total_wanted,
            connections=status.num_peers,
        )

    def record_peers(self, peers: Iterable[Any]) -> None:
        """Take what each web seed's connection has given so far from a list of `peer_info`."""
        for peer in peers:
            if peer.connection_type == WEB_SEED:
                connection = (peer.remote_endpoint(), peer.local_endpoint())
                self._web[connection] = max(peer.total_download, self._web.get(connection, 0))

    def traffic(self) -> Traffic:
        """The numbers as last recorded."""
        given = min(sum(self._web.values()), self._latest.downloaded)
        return attrs.evolve(self._latest, from_web_seed=given, idle=self._clock() - self._moved_at)


def summed(torrents: Mapping[Key, Traffic], removed: Iterable[Traffic]) -> SwarmStats:
    """The session's numbers from those of its torrents."""
    everything = [*torrents.values(), *removed]
    return SwarmStats(
        torrents=torrents,
        from_web_seeds=sum(t.from_web_seed for t in everything),
        from_peers=sum(t.from_peers for t in everything),
        uploaded=sum(t.uploaded for t in everything),
        wasted=sum(t.wasted for t in everything),
    )


def joined(first: Traffic, second: Traffic) -> Traffic:
    """The totals of two torrents that are gone."""
    return Traffic(
        downloaded=first.downloaded + second.downloaded,
        from_web_seed=first.from_web_seed + second.from_web_seed,
        uploaded=first.uploaded + second.uploaded,
        wasted=first.wasted + second.wasted,
    )
