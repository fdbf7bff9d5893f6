"""One task's way round its ring, for everybody on this machine who wants something of it.

Eight files of one repository that are read at once are eight errands and one round: one stream from the seed peer, one place in
the ring. An errand joins with a wish and leaves when that is fulfilled; what nobody wants any more is no longer asked for.

    first wish ──▶ under way ◀──further wishes, those who leave
                       │
              nothing more is wanted, or it failed ──▶ over: the next wish begins another
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import attrs

from dfly.daemon.cache import Cache
from dfly.daemon.placed import placed
from dfly.daemon.stored import swarm_arrivals
from dfly.errors import Cancelled, DflyError, SwarmError
from dfly.events import Event, Listener
from dfly.node.arrival import Arrival
from dfly.node.freight import PackArrival
from dfly.node.rolling import Rolling
from dfly.packs import Freight


@attrs.define(kw_only=True, eq=False)
class Wish:
    """Blobs that one errand wants; `stored(blob)` is called for each that is here, `tell` for what happens meanwhile.

    Both must not block; they are called from the round's threads.
    """

    blobs: frozenset[str]
    tell: Listener
    stored: Callable[[str], None]
    left: set[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.left = set(self.blobs)


class Round:
    """A task's `freight` on its way into `cache`. Thread-safe."""

    def __init__(self, freight: Freight, *, cache: Cache) -> None:
        self.freight = freight
        #: Set when nobody wants anything any more.
        self.stop = threading.Event()
        self.arrivals: dict[str, Arrival] = {}
        self._cache = cache
        self._changed = threading.Condition(threading.RLock())
        self._wishes: list[Wish] = []
        self._wanted: set[str] = set()
        self._rolling: Rolling | None = None
        #: No wish is taken any more; and: nothing is written any more.
        self._over = self._ended = False
        #: Set when the place in the ring is taken that outlasts the round, or was given up.
        self._finished = False
        self._error: DflyError | None = None

    @property
    def wanted(self) -> set[str]:
        """All that was wanted so far."""
        with self._changed:
            return set(self._wanted)

    def take(self, wish: Wish) -> bool:
        """Add a wish; False where it is over, and another round must be begun."""
        with self._changed:
            if self._over or self.stop.is_set():
                return False
            new = swarm_arrivals(
                self.freight, self._missing(wish.left), cache=self._cache, emit=self.tell, stored=self.stored
            )
            if any(blob in self.arrivals and self.arrivals[blob].settled for blob in new):
                return False  # it was given up again meanwhile: it has to come once more
            new = {blob: self.arrivals.get(blob, arrival) for blob, arrival in new.items()}
            self._wishes.append(wish)
            self._wanted |= wish.blobs
            self.arrivals |= new
            if self._rolling is not None:
                self._rolling.also(new)
        for blob in wish.blobs - self._missing(wish.blobs):
            self.stored(blob)
        return True

    def wait(self, wish: Wish, stop: threading.Event) -> None:
        """Return when a wish that was taken is fulfilled; the last one stays until the place in the ring is settled.

        Raises Cancelled once `stop` is set, and what the round met.
        """
        with self._changed:
            try:
                while self._goes_on_for(wish):
                    if stop.is_set():
                        raise Cancelled
                    self._changed.wait(0.1)
                if wish.left:
                    raise self._error or SwarmError("the swarm was left")
            finally:
                self._leave(wish)

    def _goes_on_for(self, wish: Wish) -> bool:
        if wish.left:
            return not self._ended
        return not self._finished and not any(other.left for other in self._wishes)

    def under_way(self, rolling: Rolling) -> None:
        """It has begun, with the arrivals so far."""
        with self._changed:
            self._rolling = rolling
            rolling.also(self.arrivals)  # somebody may have come while it began

    def row(self, node: str) -> dict[str, Any] | None:
        """The place in the ring of this node, which is called `node` there, as JSON; None before it has one."""
        rolling = self._rolling
        if rolling is None:
            return None
        circle, (held, offered) = rolling.circle, rolling.counts()
        return placed(node, seat=circle.seat, ring=circle.ring, held=held, offered=offered)

    def nothing_left(self) -> bool:
        """Whether all that was wanted is here. Then it is over."""
        with self._changed:
            self._over = not any(wish.left for wish in self._wishes)
            return self._over

    def end(self, error: DflyError | None) -> None:
        """It is over, for this reason; nothing is written any more. Closes the arrivals."""
        with self._changed:
            self._over = True
            # stopped, because those who came first have gone: nobody else may be told that it was them
            self._error = None if isinstance(error, Cancelled) else error
        with ExitStack() as closing:
            closing.callback(self._conclude)  # called last: then others may write the same files
            for arrival in self.arrivals.values():
                closing.callback(arrival.close)

    def finish(self) -> None:
        """Nothing more is done."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def tell(self, event: Event) -> None:
        """Pass on what happens to those whom it concerns: whoever wants that file, everybody where it is of none."""
        path = getattr(event, "path", None)
        with self._changed:
            concerned = [wish for wish in self._wishes if path is None or path in self._labels(wish)]
        for wish in concerned:
            wish.tell(event)

    def stored(self, blob: str) -> None:
        """A blob is here."""
        with self._changed:
            glad = [wish for wish in self._wishes if blob in wish.left]
        for wish in glad:
            wish.stored(blob)
        with self._changed:
            for wish in glad:
                wish.left.discard(blob)
            self._changed.notify_all()

    def _leave(self, wish: Wish) -> None:
        self._wishes.remove(wish)
        if not self._wishes and wish.left:
            self.stop.set()
        elif wish.left and self._rolling is not None:
            wanted = {blob for other in self._wishes for blob in other.left}
            self._rolling.give_up(
                blob for blob, arrival in self.arrivals.items() if wanted.isdisjoint(_contents(blob, arrival))
            )

    def _missing(self, blobs: Iterable[str]) -> set[str]:
        return {blob for blob in blobs if blob not in self._cache}

    def _labels(self, wish: Wish) -> set[str]:
        return {
            arrival.label
            for blob, arrival in self.arrivals.items()
            if not wish.blobs.isdisjoint(_contents(blob, arrival))
        }

    def _conclude(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _contents(blob: str, arrival: Arrival) -> set[str]:
    """The contents that travel as `blob`."""
    return {blob, *arrival.pack.blobs} if isinstance(arrival, PackArrival) else {blob}


def as_dfly(error: BaseException | None) -> DflyError | None:
    """What `error` is to those who wait."""
    if error is None or isinstance(error, DflyError):
        return error
    return SwarmError(f"the round broke: {type(error).__name__}", hint="the daemon's log says more")
