"""Stock BitTorrent clients that a seed peer has vouched for: the blobs that a node serves them as whole torrents, for a while.

    Outsider ──let_in──▶ served, to the hosts that were named ──nobody is named any more──▶ gone

Nothing is dialled: a torrent that only gives never dials, so an announce cannot send a node anywhere. Nothing is written, and
each piece is held against its hash before it is first served, because an outsider cannot tell the seed peer of a wrong one.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress

import attrs

from dfly import wire
from dfly.layout import Layout
from dfly.swarm import Session, WholeKey

#: Torrents at once, hosts for each, and the seconds for which one is let in at most, whatever the seed peer says.
MOST_TORRENTS, MOST_HOSTS, LONGEST = 32, 64, 600.0


@attrs.define(kw_only=True, eq=False)
class _Served:
    """One torrent: until when each host is to have it, and what keeps the blob."""

    until: dict[str, float] = attrs.field(factory=dict)
    kept: ExitStack = attrs.field(factory=ExitStack)


def _nothing(_: str) -> AbstractContextManager[None]:
    return nullcontext()


@attrs.define(kw_only=True, eq=False)
class Outsiders:
    """Those of one task at one node. `keep(blob)` has nobody give the blob up meanwhile; `clock` is in seconds."""

    session: Session
    keep: Callable[[str], AbstractContextManager[None]] = _nothing
    clock: Callable[[], float] = time.monotonic
    _served: dict[WholeKey, _Served] = attrs.field(factory=dict)

    @property
    def served(self) -> tuple[WholeKey, ...]:
        """The torrents that are served."""
        return tuple(self._served)

    def let_in(self, outsider: wire.Outsider, *, path: str, layout: Layout, hashes: bytes) -> bool:
        """Serve the whole and right blob at `path` to an outsider. False where that is one too many."""
        key = WholeKey(outsider.blob, outsider.name)
        found = self._served.get(key)
        if found is None:
            if len(self._served) >= MOST_TORRENTS or not layout.pieces:
                return False
            found = self._open(key, path, layout, hashes)
        if outsider.host not in found.until and len(found.until) >= MOST_HOSTS:
            return False
        found.until[outsider.host] = self.clock() + min(outsider.seconds, LONGEST)
        self.session.allow([outsider.host])
        return True

    def look(self) -> None:
        """Close what nobody is to have any more. To be called now and then."""
        now = self.clock()
        for key, found in list(self._served.items()):
            found.until = {host: until for host, until in found.until.items() if until > now}
            if not found.until:
                self._close(key)

    def drop(self, blob: str) -> None:
        """A blob is not what it was: serve it to nobody."""
        for key in [key for key in self._served if key.blob == blob]:
            self._close(key)

    def close(self) -> None:
        """Serve nothing any more."""
        for key in list(self._served):
            self._close(key)

    def _open(self, key: WholeKey, path: str, layout: Layout, hashes: bytes) -> _Served:
        with ExitStack() as kept:
            kept.enter_context(self.keep(key.blob))
            self.session.add_whole(key.blob, layout, hashes, path=path, name=key.name, seeding=True, after_restart=True)
            found = self._served[key] = _Served(kept=kept.pop_all())
        return found

    def _close(self, key: WholeKey) -> None:
        found = self._served.pop(key)
        # the host stays in the filter, where it may be a neighbour of this or another task; it finds no torrent any more
        with suppress(KeyError):
            self.session.remove(key)
        found.kept.close()
