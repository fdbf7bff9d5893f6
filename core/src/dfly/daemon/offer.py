"""What this node has of a task, as torrents: one a segment, none of which is ever written, while somebody takes them.

    nothing offered ──a neighbour──▶ offered, but what nobody near needs ──taken back, or idle──▶ nothing offered

Torrents cost memory and connections, so there are none while nobody needs them. A model has tens of thousands, and one takes up
to a millisecond to add: a few at each turn, the first blobs' first.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice

from dfly.daemon.cache import Cache
from dfly.daemon.held import Held
from dfly.daemon.session import Share
from dfly.swarm import Address, SegmentKey

#: Seconds without an upload until what is offered is taken back.
IDLE = 60.0
#: Torrents to add or remove at one turn.
AT_ONCE = 64


class Offer:
    """Torrents in `share` of `held` (by blob id), which `cache` does not give up meanwhile. One thread owns it."""

    def __init__(self, held: Mapping[str, Held], *, share: Share, cache: Cache) -> None:
        self._held, self._share, self._cache = held, share, cache
        self._offered: dict[str, set[int]] = {}
        self._over: set[str] = set()
        self._peers: tuple[Address, ...] = ()
        #: Whether there is somebody to offer it to; and whether the cache knows that it is in use, which may be longer.
        self._open = self._using = False
        self._uploaded = -1
        self._busy_until = 0.0
        self._in_use = ExitStack()

    def __len__(self) -> int:
        """How many segments are offered."""
        return sum(map(len, self._offered.values()))

    def make(self, *, peers: Sequence[Address], new: Sequence[Address] = ()) -> None:
        """Offer all that somebody near needs to `peers`; those that are `new` are let in where it was offered already."""
        self._peers, self._open = tuple(peers), True
        self._uploaded, self._busy_until = -1, time.monotonic() + IDLE
        if not self._using:
            self._using = True
            self._in_use.enter_context(self._cache.in_use(self._held))
        for key in self._keys():
            for peer in new:
                self._share.add_peer(key, peer)

    def needs(self, *, over: Collection[str], again: Collection[str], peers: Sequence[Address]) -> None:
        """Nobody of `peers` needs the blobs that are `over`, and somebody those that are to be offered `again`."""
        self._over.update(over)
        self._over.difference_update(again)
        if self._held.keys() & set(again):
            self.make(peers=peers)

    def all_needed(self) -> None:
        """What was said of needs does not hold any more."""
        self._over.clear()

    def turn(self, now: float) -> bool:
        """Do a part of what is to be done; `now` is monotonic. False where nothing is left.

        What was offered for a while, and nobody took anything of it, is taken back.
        """
        if self._open and now >= self._busy_until and self._idle(now):
            self.take_back()
        surplus = list(islice(self._surplus(), AT_ONCE))
        for key in surplus:
            self._remove(key)
        missing = list(islice(self._missing(), AT_ONCE - len(surplus)))
        for key in missing:
            self._add(key)
        if not self._open and not self._offered:
            self._release()
        return len(surplus) + len(missing) == AT_ONCE

    def take_back(self) -> None:
        """Offer nothing any more; `turn` sees to it. Harmless where nothing is offered."""
        self._open = False

    def close(self) -> None:
        """Take everything back now."""
        self._open = False
        for key in self._keys():
            self._remove(key)
        self._release()

    def drop(self, blob: str) -> None:
        """Offer a blob no more."""
        for index in tuple(self._offered.get(blob, ())):
            self._remove(SegmentKey(blob, index))

    def _keys(self) -> list[SegmentKey]:
        return [SegmentKey(blob, index) for blob, indexes in self._offered.items() for index in indexes]

    def _release(self) -> None:
        self._in_use.close()
        self._using = False

    def _surplus(self) -> Iterator[SegmentKey]:
        for blob in self._over & self._offered.keys() if self._open else self._offered:
            yield from (SegmentKey(blob, index) for index in self._offered[blob])

    def _missing(self) -> Iterator[SegmentKey]:
        for blob, whole in self._held.items() if self._open else ():
            offered = self._offered.get(blob, set())
            if blob not in self._over and len(offered) < whole.layout.segments:
                yield from (SegmentKey(blob, i) for i in range(whole.layout.segments) if i not in offered)

    def _idle(self, now: float) -> bool:
        """Whether nothing was taken since the last look; looks again after a while where something was."""
        uploaded = sum(self._share.traffic(key).uploaded for key in self._keys())
        idle, self._uploaded, self._busy_until = uploaded == self._uploaded, uploaded, now + IDLE
        return idle

    def _add(self, key: SegmentKey) -> None:
        whole = self._held[key.blob]
        self._share.add_segment(
            key.blob,
            whole.layout,
            key.index,
            whole.hashes(key.index),
            path=whole.committed.path,
            peers=self._peers,
            have=True,
        )
        self._offered.setdefault(key.blob, set()).add(key.index)

    def _remove(self, key: SegmentKey) -> None:
        indexes = self._offered[key.blob]
        indexes.discard(key.index)
        if not indexes:
            del self._offered[key.blob]
        with suppress(KeyError):
            self._share.remove(key)
