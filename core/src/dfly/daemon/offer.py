"""What this node has of a task, as torrents: one a segment, none of which is ever written, while somebody takes them.

    nothing offered ──a neighbour──▶ offered ──taken back, or idle──▶ nothing offered

Torrents cost memory and connections, so there are none while nobody needs them.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress

from dfly.daemon.cache import Cache
from dfly.daemon.held import Held
from dfly.daemon.session import Share
from dfly.swarm import Address, SegmentKey

#: Seconds without an upload until what is offered is taken back.
IDLE = 60.0


class Offer:
    """Torrents in `share` of blobs that `cache` does not give up meanwhile. One thread owns it."""

    def __init__(self, *, share: Share, cache: Cache) -> None:
        self._share, self._cache = share, cache
        self._offered: set[SegmentKey] = set()
        self._uploaded = -1
        self._busy_until = 0.0
        self._in_use = ExitStack()

    def __len__(self) -> int:
        """How many segments are offered."""
        return len(self._offered)

    def make(self, held: Mapping[str, Held], *, peers: Sequence[Address], new: Sequence[Address]) -> None:
        """Have a torrent for every segment of `held`, with `peers`; one that is there already gets those that are `new`."""
        self._busy_until = time.monotonic() + IDLE
        if not self._offered:
            self._in_use.enter_context(self._cache.in_use(held))
        for blob, whole in held.items():
            for index in range(whole.layout.segments):
                key = SegmentKey(blob, index)
                if key in self._offered:
                    for peer in new:
                        self._share.add_peer(key, peer)
                    continue
                self._share.add_segment(
                    blob,
                    whole.layout,
                    index,
                    whole.hashes(index),
                    path=whole.committed.path,
                    peers=peers,
                    have=True,
                )
                self._offered.add(key)

    def look(self, now: float) -> None:
        """Take it back if nothing was taken of it for a while. `now` is monotonic."""
        if self._offered and now >= self._busy_until and self._idle(now):
            self.take_back()

    def take_back(self) -> None:
        """Offer nothing. Harmless where nothing is offered."""
        offered, self._offered = self._offered, set()
        for key in offered:
            self._remove(key)
        self._in_use.close()
        self._uploaded = -1

    def drop(self, blob: str) -> None:
        """Offer a blob no more."""
        for key in [key for key in self._offered if key.blob == blob]:
            self._offered.discard(key)
            self._remove(key)

    def _idle(self, now: float) -> bool:
        """Whether nothing was taken since the last look; looks again after a while where something was."""
        uploaded = sum(self._share.traffic(key).uploaded for key in self._offered)
        idle, self._uploaded, self._busy_until = uploaded == self._uploaded, uploaded, now + IDLE
        return idle

    def _remove(self, key: SegmentKey) -> None:
        with suppress(KeyError):
            self._share.remove(key)
