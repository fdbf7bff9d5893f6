"""The torrents of a session: what libtorrent is told when one is added, and what is remembered of it after."""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import attrs
import libtorrent as lt

from dfly.layout import Layout
from dfly.swarm.events import Address, Key
from dfly.swarm.traffic import WEB_SEED, Ledger, SwarmStats, Traffic, joined, summed

T = TypeVar("T")

_WANTED, _IGNORED = 4, 0
#: Without `no_verify_files` libtorrent would re-check the file that other segments are being written to.
#: PEX adds links that the scheduler did not choose.
_FLAGS = (
    lt.torrent_flags.no_verify_files
    | lt.torrent_flags.disable_pex
    | lt.torrent_flags.apply_ip_filter
    | lt.torrent_flags.update_subscribe
)


def segment_params(
    info: bytes,
    layout: Layout,
    index: int,
    *,
    path: str,
    had: Collection[int],
    peers: Sequence[Address],
    urls: Sequence[str],
    seeding: bool = False,
) -> lt.add_torrent_params:
    """A torrent that wants only the pieces of segment `index`, and has those in `had`. One that is `seeding` never writes."""
    params = _params(info, path, peers, urls)
    own = layout.segment_pieces(index)
    params.flags = _FLAGS | lt.torrent_flags.upload_mode if seeding else _FLAGS
    params.piece_priorities = _filled(layout.pieces, own, _IGNORED, _WANTED)
    params.have_pieces = _filled(layout.pieces, had, False, True)
    return params


def whole_params(
    info: bytes,
    layout: Layout,
    *,
    path: str,
    seeding: bool,
    after_restart: bool,
    peers: Sequence[Address],
    urls: Sequence[str],
) -> lt.add_torrent_params:
    """A torrent of all pieces. One that seeds never writes: `upload_mode` keeps a failed check from becoming a download."""
    params = _params(info, path, peers, urls)
    params.flags = _FLAGS
    if seeding and after_restart:
        params.flags |= lt.torrent_flags.seed_mode | lt.torrent_flags.upload_mode
    elif seeding:
        params.have_pieces = [True] * layout.pieces
        params.flags |= lt.torrent_flags.upload_mode
    return params


def _params(info: bytes, path: str, peers: Sequence[Address], urls: Sequence[str]) -> lt.add_torrent_params:
    """What both kinds share. Peers and URLs given here are dialled at once, later ones at the next one-second tick."""
    directory, name = os.path.split(os.path.abspath(path))
    params = lt.load_torrent_buffer(b"d4:info" + info + b"e")
    params.save_path = directory
    # the name in the torrent is the blob's id; the file keeps its own, without any effect on the info hash
    params.renamed_files = {0: name}
    params.peers = list(peers)
    params.url_seeds = list(urls)
    return params


def _filled(count: int, chosen: Collection[int], others: T, value: T) -> list[T]:
    row = [others] * count
    for piece in chosen:
        row[piece] = value
    return row


@attrs.define(eq=False)
class Torrent:
    """One added torrent, with the `urls` and `peers` it dials.

    One that is `fetching` becomes `finished` (all pieces checked), then `readable` (flushed to the file).
    """

    key: Key
    handle: lt.torrent_handle
    fetching: bool
    urls: set[str]
    peers: set[Address]
    finished: bool = False
    readable: bool = False
    broken: bool = False
    failures: int = 0
    #: How many pieces had failed when a peer came.
    failures_before: dict[Address, int] = attrs.field(factory=dict)
    ledger: Ledger = attrs.field(factory=Ledger)

    @property
    def web_seed_ports(self) -> set[int]:
        """The ports of its web seeds, whose hosts may be names."""
        found = map(urlsplit, self.urls)
        return {url.port or (443 if url.scheme == "https" else 80) for url in found}

    @property
    def hashing(self) -> bool:
        """Whether bytes of it may be in libtorrent's hands just now, by the numbers of the last `measure`."""
        return self.fetching and not self.finished and self.ledger.traffic().downloaded > 0

    def measure(self) -> None:
        """Record the present totals; blocks for one round trip to libtorrent's network thread."""
        if self.urls:
            self.ledger.record_peers(self.handle.get_peer_info())
        self.ledger.record_status(self.handle.status(0))

    def sample(self) -> None:
        """Record what its web seeds have given so far, which is known only while they are connected. Blocks as `measure` does."""
        if self.urls and self.fetching and not self.finished:
            self.ledger.record_peers(self.handle.get_peer_info())

    def owed(self) -> dict[Address, tuple[int, int]]:
        """What peers were asked for and have not sent: address → (blocks, bytes sent so far). Blocks as `measure` does."""
        return {
            peer.remote_endpoint(): (peer.download_queue_length, peer.total_download)
            for peer in self.handle.get_peer_info()
            if peer.connection_type != WEB_SEED
        }

    def dial_now(self) -> None:
        """Dial before the next tick by pausing and resuming, which is free only while there is nothing to lose."""
        status = self.handle.status(0)
        if not status.num_peers and not status.total_payload_download and not self.finished:
            self.handle.pause()
            self.handle.resume()


class Torrents:
    """Torrents by key and by libtorrent's handle. Those that are gone go on counting in `stats`."""

    def __init__(self) -> None:
        self._gone = Traffic()
        self._by_key: dict[Key, Torrent] = {}
        self._by_handle: dict[lt.torrent_handle, Torrent] = {}
        #: Keys of those that went since this was emptied: what was heard of them is not about whoever has the key now.
        self.went: set[Key] = set()

    def add(self, torrent: Torrent) -> None:
        """Remember `torrent`, whose key is new."""
        self._by_key[torrent.key] = torrent
        self._by_handle[torrent.handle] = torrent

    def pop(self, key: Key) -> Torrent:
        """Forget a torrent, measured once more; KeyError where there is none."""
        torrent = self._by_key.pop(key)
        del self._by_handle[torrent.handle]
        self.went.add(key)
        torrent.measure()
        self._gone = joined(self._gone, torrent.ledger.traffic())
        return torrent

    def stats(self) -> SwarmStats:
        """The numbers of all, as last recorded."""
        return summed({torrent.key: torrent.ledger.traffic() for torrent in self}, [self._gone])

    def unfinished(self) -> list[Key]:
        """Those that fetch and are not through."""
        return [torrent.key for torrent in self._by_key.values() if torrent.fetching and not torrent.finished]

    def of(self, handle: lt.torrent_handle) -> Torrent | None:
        """The torrent an alert is about; None for one that was removed since."""
        return self._by_handle.get(handle)

    def __getitem__(self, key: Key) -> Torrent:
        return self._by_key[key]

    def __contains__(self, key: object) -> bool:
        return key in self._by_key

    def __iter__(self) -> Iterator[Torrent]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)
