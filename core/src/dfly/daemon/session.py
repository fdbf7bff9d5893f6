"""One libtorrent session for all tasks of the daemon: each has a share, with its own torrents, events and nothing of the others'.

Two tasks may serve one segment: then it is one torrent with two holders, and it leaves the session with the last of them. Only
one fetches it, since each blob is brought by one task.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

from dfly.layout import Layout
from dfly.swarm import Address, Key, SegmentKey, Swarm, SwarmEvent, SwarmStats, Traffic, WholeKey

Put = Callable[[Any], None]
K = TypeVar("K", bound=Key)


class SharedSession:
    """`open_swarm(on_event)` opens the session, when the first share is taken."""

    def __init__(self, open_swarm: Callable[[Callable[[SwarmEvent], None]], Swarm]) -> None:
        self._open = open_swarm
        self._lock = threading.RLock()
        self._swarm: Swarm | None = None
        self._holders: dict[Key, list[Share]] = {}
        self._shares: list[Share] = []

    def share(self, put: Put) -> "Share":
        """A share whose events go to `put`. Raises SwarmError where no session can be had."""
        with self._lock:
            if self._swarm is None:
                self._swarm = self._open(self._dispatch)
            share = Share(self, self._swarm, put)
            self._shares.append(share)
            return share

    def stats(self) -> SwarmStats | None:
        """What the session has moved; None where there is none."""
        with self._lock:
            return self._swarm.stats() if self._swarm is not None else None

    def close(self) -> None:
        """End the session."""
        with self._lock:
            swarm, self._swarm = self._swarm, None
        if swarm is not None:
            swarm.close()

    def add(self, share: "Share", key: K, add: Callable[[], K], peers: Sequence[Address] = ()) -> K:
        """Add a torrent, or share the one that is there."""
        with self._lock:
            holders = self._holders.setdefault(key, [])
            if share in holders:
                raise ValueError(f"{key} is already in this share")
            if holders:
                assert self._swarm is not None
                for peer in peers:
                    self._swarm.add_peer(key, peer)
            else:
                try:
                    add()
                except BaseException:
                    del self._holders[key]
                    raise
            holders.append(share)
            return key

    def remove(self, share: "Share", key: Key) -> None:
        """Give up a torrent; KeyError where the share has none."""
        with self._lock:
            holders = self._holders.get(key, [])
            if share not in holders:
                raise KeyError(key)
            holders.remove(share)
            if not holders:
                del self._holders[key]
                if self._swarm is not None:
                    self._swarm.remove(key)

    def leave(self, share: "Share") -> None:
        """Give up all of a share's torrents."""
        with self._lock:
            for key in [key for key, holders in self._holders.items() if share in holders]:
                self.remove(share, key)
            if share in self._shares:
                self._shares.remove(share)

    def _dispatch(self, event: SwarmEvent) -> None:
        key = getattr(event, "key", None)
        with self._lock:
            concerned = list(self._shares if key is None else self._holders.get(key, ()))
        for share in concerned:
            share.put(event)


class Share:
    """One task's part of the session (`dfly.swarm.Session`)."""

    def __init__(self, shared: SharedSession, swarm: Swarm, put: Put) -> None:
        self._shared, self._swarm, self.put = shared, swarm, put

    @property
    def port(self) -> int:
        """Where peers reach it."""
        return self._swarm.port

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
        """See Swarm."""

        def add() -> SegmentKey:
            return self._swarm.add_segment(
                blob,
                layout,
                index,
                hashes,
                path=path,
                peers=peers,
                web_seeds=web_seeds,
                have=have,
                have_pieces=have_pieces,
            )

        return self._shared.add(self, SegmentKey(blob, index), add, peers)

    def add_whole(
        self,
        blob: str,
        layout: Layout,
        hashes: bytes,
        *,
        path: str,
        name: str = "",
        seeding: bool,
        after_restart: bool = False,
    ) -> WholeKey:
        """See Swarm."""

        def add() -> WholeKey:
            return self._swarm.add_whole(
                blob, layout, hashes, path=path, name=name, seeding=seeding, after_restart=after_restart
            )

        return self._shared.add(self, WholeKey(blob, name), add)

    def remove(self, key: Key) -> None:
        """See Swarm."""
        self._shared.remove(self, key)

    def add_peer(self, key: Key, peer: Address) -> None:
        """See Swarm."""
        self._swarm.add_peer(key, peer)

    def renew_web_seed(self, key: Key, failed: str, url: str | None = None) -> None:
        """See Swarm."""
        self._swarm.renew_web_seed(key, failed, url)

    def allow(self, addresses: Iterable[str]) -> None:
        """See Swarm: what one task lets in may speak to all, of which it knows no torrent's name."""
        self._swarm.allow(addresses)

    def deny(self, addresses: Iterable[str]) -> None:
        """See Swarm: a host that lies to one task is shut out by all."""
        self._swarm.deny(addresses)

    def hang_up(self, addresses: Iterable[str]) -> None:
        """See Swarm: who is silent to one task is let in again by the next that is told of it."""
        self._swarm.hang_up(addresses)

    def arrived(self, key: Key) -> dict[str, int]:
        """See Swarm."""
        return self._swarm.arrived(key)

    def owed(self, key: Key) -> dict[Address, tuple[int, int]]:
        """See Swarm."""
        return self._swarm.owed(key)

    def traffic(self, key: Key) -> Traffic:
        """See Swarm."""
        return self._swarm.traffic(key)

    def close(self) -> None:
        """Leave all its torrents. Harmless if done twice."""
        self._shared.leave(self)
