"""Turns libtorrent's alerts into events. An alert dies with the next `pop_alerts`, so its fields are copied here at once.

Readable means flushed: `torrent_finished_alert` says that all pieces are checked, while the last of them may still wait for
the disk. Finishing makes libtorrent flush, and `cache_flushed_alert` says that this is over.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import libtorrent as lt

from dfly.swarm.callers import Callers
from dfly.swarm.events import (
    Address,
    AlertsDropped,
    PeerBanned,
    PeerConnected,
    PeerDisconnected,
    PieceFailed,
    SegmentKey,
    SegmentReadable,
    StorageFailed,
    SwarmEvent,
    WebSeedFailed,
    WholeReadable,
)
from dfly.swarm.leaving import Leaving
from dfly.swarm.nodelay import NoDelay
from dfly.swarm.torrents import Torrent, Torrents

#: `peer` for bans, `connect` for links, `storage` for flushes and errors; everything else is in `status` and `error`.
ALERT_MASK = (
    lt.alert_category.status
    | lt.alert_category.storage
    | lt.alert_category.error
    | lt.alert_category.connect
    | lt.alert_category.peer
)


#: Pieces that must fail in one torrent before libtorrent bans a peer that sent only parts of them.
SHARED_FAILURES = 4
#: Seconds within which libtorrent names the piece that it has banned a peer for, if it does.
PIECE_FOLLOWS = 0.5


class AlertReader:
    """Reads batches of alerts; keeps the torrents' state and numbers up to date on the way."""

    def __init__(self, *, torrents: Torrents, leaving: Leaving, no_delay: NoDelay) -> None:
        self._torrents = torrents
        self._leaving = leaving
        self._no_delay = no_delay
        self._callers = Callers()
        self._bans: list[tuple[Torrent, Address, float]] = []
        self._about_torrents: dict[type, Callable[[Torrent, Any], Iterable[SwarmEvent]]] = {
            lt.torrent_finished_alert: self._finished,
            lt.cache_flushed_alert: self._flushed,
            lt.peer_connect_alert: self._connected,
            lt.peer_disconnected_alert: self._disconnected,
            lt.peer_ban_alert: self._banned,
            lt.hash_failed_alert: self._piece_failed,
            lt.url_seed_alert: self._web_seed_failed,
            lt.file_error_alert: self._storage_failed,
            lt.torrent_error_alert: self._storage_failed,
        }

    def read(self, alerts: Iterable[Any]) -> Iterator[SwarmEvent]:
        """The events of a batch, in order. Consume it before the next `pop_alerts`."""
        for alert in alerts:
            kind = type(alert)
            if kind is lt.incoming_connection_alert:
                yield from self._callers.called(alert.endpoint, torrents=len(self._torrents))
            elif kind in self._about_torrents:
                if kind is lt.peer_disconnected_alert:
                    self._callers.hung_up(alert.endpoint)
                torrent = self._torrents.of(alert.handle)
                if torrent is not None:
                    yield from self._about_torrents[kind](torrent, alert)
            elif kind is lt.torrent_paused_alert:
                self._leaving.paused(alert.handle)
            elif kind is lt.state_update_alert:
                self._statuses(alert.status)
            elif kind is lt.alerts_dropped_alert:
                yield AlertsDropped()
                self._callers.forget()
                self.reconcile()
        yield from self._unexplained_bans()

    def reconcile(self) -> None:
        """Ask libtorrent which torrents finished, and to flush those again: the answer is the alert that was lost."""
        for torrent in self._torrents:
            if torrent.fetching and not torrent.readable and torrent.handle.status(0).is_finished:
                torrent.finished = True
                torrent.handle.flush_cache()

    def _finished(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:  # noqa: ARG002 - one signature for all
        torrent.finished = True
        if torrent.fetching:
            torrent.measure()
            for url in torrent.urls:
                torrent.handle.remove_url_seed(url)  # closes the connection, which the seed peer need not keep
        return ()

    def _flushed(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:  # noqa: ARG002
        # libtorrent may call a torrent finished although a write of it has failed
        if not torrent.fetching or not torrent.finished or torrent.readable or torrent.broken:
            return
        torrent.readable = True
        torrent.ledger.record_status(torrent.handle.status(0))
        yield SegmentReadable(torrent.key) if isinstance(torrent.key, SegmentKey) else WholeReadable(torrent.key)

    def _banned(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        # whoever gave all of a wrong piece is banned first, and then the piece is named, perhaps in a later batch
        self._bans.append((torrent, alert.endpoint, time.monotonic()))
        return ()

    def _unexplained_bans(self) -> Iterator[SwarmEvent]:
        now, bans = time.monotonic(), self._bans
        self._bans = [ban for ban in bans if now - ban[2] < PIECE_FOLLOWS]
        for torrent, address, since in bans:
            if now - since >= PIECE_FOLLOWS:
                yield self._ban(torrent, address, piece=None)

    def _piece_failed(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        torrent.failures += 1
        guilty = [address for of, address, _ in self._bans if of is torrent]
        self._bans = [ban for ban in self._bans if ban[0] is not torrent]
        yield PieceFailed(torrent.key, alert.piece_index)
        for address in guilty:
            yield self._ban(torrent, address, piece=alert.piece_index)

    def _ban(self, torrent: Torrent, address: Address, *, piece: int | None) -> PeerBanned:
        web_seed = address not in torrent.peers and address[1] in torrent.web_seed_ports
        shared = torrent.failures - torrent.failures_before.get(address, 0)
        return PeerBanned(torrent.key, address, piece, web_seed, certain=shared < SHARED_FAILURES)

    def _connected(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        address = alert.endpoint
        torrent.failures_before[address] = torrent.failures
        if address in torrent.peers:  # accepted sockets have the flag from birth
            self._no_delay.expect(address)
        yield PeerConnected(torrent.key, address)

    def _disconnected(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        yield PeerDisconnected(torrent.key, alert.endpoint, alert.error.message())

    def _web_seed_failed(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        yield WebSeedFailed(torrent.key, alert.server_url(), alert.error_message() or alert.error.message())

    def _storage_failed(self, torrent: Torrent, alert: Any) -> Iterable[SwarmEvent]:
        torrent.broken = True
        yield StorageFailed(torrent.key, alert.message(), alert.error.value())

    def _statuses(self, statuses: Iterable[Any]) -> None:
        for status in statuses:
            torrent = self._torrents.of(status.handle)
            if torrent is not None:
                torrent.ledger.record_status(status)
