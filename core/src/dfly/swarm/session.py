"""`Swarm`: one libtorrent session. Methods may be called from any thread; events come from one thread of its own."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Self

import libtorrent as lt
import structlog

from dfly.errors import SwarmError
from dfly.layout import Layout
from dfly.swarm.alerts import AlertReader
from dfly.swarm.door import Door
from dfly.swarm.events import Address, Flooded, Key, SegmentKey, SwarmEvent, WholeKey
from dfly.swarm.leaving import Leaving
from dfly.swarm.metainfo import segment_info, whole_info
from dfly.swarm.nodelay import NoDelay
from dfly.swarm.opening import limit_local_peers, listening_session
from dfly.swarm.room import take_room
from dfly.swarm.settings import SwarmSettings
from dfly.swarm.torrents import Torrent, Torrents, segment_params, whole_params
from dfly.swarm.traffic import SwarmStats, Traffic

log = structlog.get_logger()

#: Seconds between two samples of the torrents' numbers.
SAMPLE = 0.25


class Swarm:
    """A session that is in the torrents it was told, with the peers it was told.

    `on_event` is called from the session's thread, one event at a time; it may call back into the swarm, but not `close`.
    Raises SwarmError where the port cannot be had.
    """

    def __init__(self, settings: SwarmSettings, *, on_event: Callable[[SwarmEvent], None]) -> None:
        self._on_event = on_event
        self._torrents = Torrents()
        self._leaving = Leaving()
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._session: lt.session | None
        self._session, ports, heard = listening_session(settings)
        self._door = Door(settings.seed_peers, apply=self._apply)
        if settings.upload_limit:
            limit_local_peers(self._live)
        self._port = ports.dialled
        self._no_delay = NoDelay((ports.announced, ports.dialled))
        self._no_delay.scan()
        self._reader = AlertReader(torrents=self._torrents, leaving=self._leaving, no_delay=self._no_delay)
        self._thread = threading.Thread(target=self._run, args=(heard,), name="swarm-alerts", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where peers reach this session."""
        return self._port

    def add_segment(
        self,
        blob: str,
        layout: Layout,
        index: int,
        hashes: bytes,
        *,
        path: str,
        peers: Sequence[Address] = (),
        web_seeds: Sequence[str] = (),
        have: bool = False,
        have_pieces: Collection[int] = (),
    ) -> SegmentKey:
        """Join a segment's swarm. `hashes` are the SHA-1 of its pieces, joined; `path` is the blob's file, in an existing folder.

        `peers` and `web_seeds` are dialled at once; all neighbours belong here, not in `add_peer`. With `have` all of it is
        in the file and is served, and nothing is ever written there; `have_pieces` (numbers within the blob) are there and
        right. Raises ValueError where the key is there already or the hashes do not fit, OutputError where the disk has no
        room for the segment.
        """
        key = SegmentKey(blob, index)
        info = segment_info(blob, layout, index, hashes)
        if not have:
            take_room(path, *layout.segment_range(index))
        had = layout.segment_pieces(index) if have else have_pieces
        params = segment_params(info, layout, index, path=path, had=had, peers=peers, urls=web_seeds, seeding=have)
        self._add(key, params, fetching=not have)
        return key

    def add_whole(
        self,
        blob: str,
        layout: Layout,
        hashes: bytes,
        *,
        path: str,
        peers: Sequence[Address] = (),
        web_seeds: Sequence[str] = (),
        name: str = "",
        seeding: bool,
        after_restart: bool = False,
    ) -> WholeKey:
        """Join a whole blob's swarm. With `seeding` the file is committed and is never written to.

        `after_restart` has each piece checked once before it is first served. With a `name` it is the swarm of stock clients,
        who have the file under that name. Raises what `add_segment` does.
        """
        key = WholeKey(blob, name)
        info = whole_info(blob, layout, hashes, name=name)
        if not seeding:
            take_room(path, 0, layout.size)
        params = whole_params(
            info,
            layout,
            path=path,
            seeding=seeding,
            after_restart=after_restart,
            peers=peers,
            urls=web_seeds,
        )
        self._add(key, params, fetching=not seeding)
        return key

    def remove(self, key: Key) -> None:
        """Leave a torrent's swarm; the file stays. KeyError where there is none."""
        with self._lock:
            torrent = self._torrents.pop(key)
            if torrent.hashing:
                self._leaving.add(torrent)
            else:
                self._live.remove_torrent(torrent.handle)

    def add_peer(self, key: Key, peer: Address) -> None:
        """Dial one more peer: a chord. Takes up to a second, except where the torrent has no connection at all."""
        with self._lock:
            self._door.allow([peer[0]])
            torrent = self._torrents[key]
            torrent.peers.add(peer)
            torrent.handle.connect_peer(peer)
            torrent.dial_now()

    def add_web_seed(self, key: Key, url: str) -> None:
        """Take bytes from the seed peer as well. Takes up to a second: libtorrent looks for new web seeds once in one."""
        with self._lock:
            self._door.trust([url])
            torrent = self._torrents[key]
            torrent.urls.add(url)
            torrent.handle.add_url_seed(url)

    def renew_web_seed(self, key: Key, failed: str, url: str | None = None) -> None:
        """Ask a web seed again after WebSeedFailed (at `url` where given): at its first refusal libtorrent drops one for good."""
        with self._lock:
            torrent = self._torrents[key]
            torrent.measure()
            torrent.handle.remove_url_seed(failed)
            torrent.urls.discard(failed)
            self.add_web_seed(key, url or failed)

    def allow(self, addresses: Iterable[str]) -> None:
        """Let peers at these IP addresses in. Peers given to `add_segment` and the like are let in anyway."""
        with self._lock:
            self._door.allow(addresses)

    def deny(self, addresses: Iterable[str]) -> None:
        """Disconnect these IP addresses and keep them out, whatever is allowed later. Seed peers cannot be denied."""
        with self._lock:
            self._door.deny(addresses)

    def hang_up(self, addresses: Iterable[str]) -> None:
        """Disconnect these IP addresses and let them in no more until they are allowed again. Not seed peers."""
        with self._lock:
            self._door.hang_up(addresses)

    def admits(self, address: str) -> bool:
        """Whether the filter lets this IP address in."""
        with self._lock:
            return self._door.admits(address)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            return key in self._torrents

    def keys(self) -> list[Key]:
        """The torrents, in the order they were added."""
        with self._lock:
            return [torrent.key for torrent in self._torrents]

    def stats(self) -> SwarmStats:
        """The session's numbers, at most `SAMPLE` seconds old; exact for a torrent once its Readable event is out."""
        with self._lock:
            return self._torrents.stats()

    def traffic(self, key: Key) -> Traffic:
        """One torrent's numbers, as fresh as those of `stats`. KeyError where there is none."""
        with self._lock:
            return self._torrents[key].ledger.traffic()

    def arrived(self, key: Key) -> dict[str, int]:
        """Bytes of one torrent by where they came from, named as in `dfly.events.SOURCES`. KeyError where there is none."""
        traffic = self.traffic(key)
        return {"seed-peer": traffic.from_web_seed, "peer": traffic.from_peers}

    def owed(self, key: Key) -> dict[Address, tuple[int, int]]:
        """What a torrent's peers were asked for and have not sent: address → (blocks, bytes they sent so far).

        Blocks for one round trip to libtorrent's network thread. KeyError where there is no such torrent.
        """
        with self._lock:
            return self._torrents[key].owed()

    def close(self) -> None:
        """Leave all swarms, write out what waits for the disk and stop. Blocks, other threads too, for some 0.1 s."""
        if self._closing.is_set():
            return
        with self._lock:
            for key in self._torrents.unfinished():
                self.remove(key)
            self._closing.set()
        self._live.post_torrent_updates(0)  # wakes the thread
        self._thread.join()
        with self._lock:
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _live(self) -> lt.session:
        if self._session is None:
            raise SwarmError("this swarm session is closed")
        return self._session

    def _add(self, key: Key, params: lt.add_torrent_params, *, fetching: bool) -> None:
        self._wait_until_gone(key)
        # the lock keeps the reader from alerts of a torrent whose handle is not known yet
        with self._lock:
            if key in self._torrents:
                raise ValueError(f"{key} is already in this session")
            self._door.trust(params.url_seeds)
            self._door.allow(host for host, _ in params.peers)
            handle = self._live.add_torrent(params)
            urls, peers = set(params.url_seeds), set(params.peers)
            self._torrents.add(Torrent(key=key, handle=handle, fetching=fetching, urls=urls, peers=peers))

    def _wait_until_gone(self, key: Key) -> None:
        """The same torrent is perhaps still on its way out; libtorrent would not take it twice."""
        while True:
            with self._lock:
                self._let_go()
                if key not in self._leaving:
                    return
            time.sleep(0.01)

    def _let_go(self) -> None:
        for handle in self._leaving.gone():
            self._live.remove_torrent(handle)

    def _apply(self, rules: lt.ip_filter) -> None:
        # the door must not hold the session's own method: a session that is held somewhere does not close
        self._live.set_ip_filter(rules)

    def _run(self, heard: list[SwarmEvent]) -> None:
        """The alert thread: never raises, never holds the lock while it waits or tells."""
        self._tell(heard)
        session, next_sample = self._live, 0.0
        while self._leaving or not self._closing.is_set():
            session.wait_for_alert(50 if self._no_delay.waiting or self._leaving else 250)
            events: list[SwarmEvent] = []
            try:
                with self._lock:
                    self._torrents.went.clear()
                    events.extend(self._reader.read(session.pop_alerts()))
                    self.deny([event.host for event in events if isinstance(event, Flooded)])
                    self._let_go()
                    if time.monotonic() >= next_sample:
                        next_sample = time.monotonic() + SAMPLE
                        self._sample(session)
                self._no_delay.look()
            except Exception:
                log.exception("swarm.alerts.failed")
            self._tell(events)

    def _sample(self, session: lt.session) -> None:
        """Ask for the numbers of torrents that changed (the answer is an alert), and look at the web seeds' connections."""
        if len(self._torrents):
            session.post_torrent_updates(0)
        for torrent in self._torrents:
            torrent.sample()

    def _tell(self, events: Iterable[SwarmEvent]) -> None:
        for event in events:
            if getattr(event, "key", None) in self._torrents.went:
                continue
            try:
                self._on_event(event)
            except Exception:
                log.exception("swarm.listener.failed", swarm_event=type(event).__name__)
