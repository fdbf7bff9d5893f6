"""Which torrents the swarm sessions of this process have, for tests that wait until they have others.

with watched_torrents() as torrents:
node = swarm.node("gopher://hole")
torrents.until(lambda: torrents.of(blob) == 0)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from dfly.swarm import Key, SegmentKey, Swarm
from dfly.testing.swarm import LONG_ENOUGH


class Torrents:
    """Those of all sessions that were opened since, and still are. `added` counts each that was ever added."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sessions: dict[Swarm, set[Key]] = {}
        self.added = 0

    def of(self, blob: str) -> int:
        """Torrents of a blob's segments, in all sessions together."""
        with self._changed:
            return sum(isinstance(key, SegmentKey) and key.blob == blob for keys in self._all() for key in keys)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until that holds."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout=LONG_ENOUGH), f"there are {[*map(len, self._all())]} torrents"

    def note(self, session: Swarm, *, closed: bool = False) -> None:
        """A session has other torrents now."""
        with self._changed:
            before = self._sessions.pop(session, set())
            if not closed:
                now = self._sessions[session] = set(session.keys())
                self.added += len(now - before)
            self._changed.notify_all()

    def _all(self) -> list[set[Key]]:
        return [*self._sessions.values()]


@contextmanager
def watched_torrents() -> Iterator[Torrents]:
    """Watch the sessions that are opened before the block ends."""
    torrents = Torrents()

    def watching(method: Callable[..., Any], *, closed: bool = False) -> Callable[..., Any]:
        def watched(session: Swarm, *args: Any, **given: Any) -> Any:
            outcome = method(session, *args, **given)
            torrents.note(session, closed=closed)
            return outcome

        return watched

    with (
        mock.patch.object(Swarm, "add_segment", watching(Swarm.add_segment)),
        mock.patch.object(Swarm, "remove", watching(Swarm.remove)),
        mock.patch.object(Swarm, "close", watching(Swarm.close, closed=True)),
    ):
        yield torrents
