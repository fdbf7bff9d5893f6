"""Torrents on their way out: libtorrent 2.1.1 crashes when one goes while bytes of it are being hashed.

Its hashing thread works on a piece that the removal then frees: seldom, once in thousands of sessions, but it ends the
process. So such a torrent is paused first, and removed when it has nothing more to hash.
"""

import time
from collections.abc import Callable, Iterator

import attrs
import libtorrent as lt

from dfly.swarm.events import Key
from dfly.swarm.torrents import Torrent

#: Seconds from "paused" to "removed": a hashing thread has tens of milliseconds of work in its hands, if it gets the CPU.
QUIET = 0.2
#: Seconds after which a torrent that does not say that it has paused is removed all the same.
PATIENCE = 2.0


@attrs.define
class _Leaver:
    key: Key
    due: float


class Leaving:
    """Not thread-safe: whoever has the swarm's lock asks."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._leavers: dict[lt.torrent_handle, _Leaver] = {}

    def __contains__(self, key: object) -> bool:
        return any(leaver.key == key for leaver in self._leavers.values())

    def __bool__(self) -> bool:
        return bool(self._leavers)

    def add(self, torrent: Torrent) -> None:
        """Begin to remove a torrent that is forgotten otherwise."""
        torrent.handle.pause()
        self._leavers[torrent.handle] = _Leaver(torrent.key, self._clock() + PATIENCE)

    def paused(self, handle: lt.torrent_handle) -> None:
        """A torrent, perhaps one of these, has stopped: nothing of it comes or waits for the disk any more."""
        leaver = self._leavers.get(handle)
        if leaver is not None:
            leaver.due = self._clock() + QUIET

    def gone(self) -> Iterator[lt.torrent_handle]:
        """Forget those that can be removed now, and tell which they are."""
        now = self._clock()
        for handle, leaver in list(self._leavers.items()):
            if leaver.due <= now:
                del self._leavers[handle]
                yield handle
