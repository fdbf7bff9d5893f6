"""The blobs that come from their origins, and which of them is opened next.

    idle ──▶ waiting ──its turn──▶ open ──────▶ done
     ▲                             │  ▲
     └───────── failed ◀───────────┤  └── something to do, and its turn again
                                   └────▶ parked: nodes hold all that is missing

Only so many blobs are open at once, small files before all others: a data set of ten thousand files shall not need ten
thousand descriptors, and the files a loader opens first are small.
"""

import threading
from bisect import insort
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Literal

import attrs

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.seed.inbound import Inbound
from dfly.seed.intake import Intake
from dfly.seed.mirroring import MirrorListener
from dfly.seed.packing import Packing
from dfly.seed.publication import Publication
from dfly.store.blobs import BlobStore
from dfly.values import Entry

#: Whose turn is first: the small files of packs, then blobs by themselves.
_PART, _BLOB = 0, 1
#: How many blobs may be open at once before one of these has to wait.
_ROOM = {_PART: 64, _BLOB: 32}


@attrs.define(eq=False)
class _Place:
    """One blob's place in the queue, and the parts of packs that wait for it: (pack, part)."""

    inbound: Inbound
    backend: Backend
    packs: list[tuple[Packing, int]] = attrs.field(factory=list)
    #: Never started, or failed, is "idle".
    phase: Literal["idle", "waiting", "open", "parked", "done"] = "idle"
    #: Wanted by itself, not only as a part of packs.
    wanted: bool = False


class Queue:
    """Every blob that somebody wants, until it is `forget`-ed. Thread-safe; `lock` is the one that its mirror's packs have too.

    `opening` and `settling` run a step in a thread for that, `whole` is told what has come to its end; the rest is for `Inbound`.
    """

    def __init__(
        self,
        *,
        lock: threading.Lock,
        store: BlobStore,
        intake: Intake,
        listener: MirrorListener,
        opening: Callable[[Callable[[], None]], None],
        settling: Callable[[Callable[[], None]], None],
        whole: Callable[[Publication], None],
        stopped: threading.Event,
    ) -> None:
        self._lock, self._store, self._intake, self._listener = lock, store, intake, listener
        self._opening, self._settling, self._whole, self._stopped = opening, settling, whole, stopped
        self._places: dict[str, _Place] = {}
        #: Those that are waiting, the next one first: (whose turn is first, number, place).
        self._turns: list[tuple[int, int, _Place]] = []
        self._numbers = self._open = 0
        #: Segments that are waited for of blobs that nobody wants yet.
        self._hurried: dict[str, tuple[int, ...]] = {}

    def bring(
        self,
        blob: str,
        entry: Entry,
        backend: Backend,
        *,
        waiter: tuple[Packing, int] | None = None,
        held_back: bool = False,
    ) -> Publication:
        """Open it in its turn, unless it is here or open; returns what is told of it. `waiter`: only for a part of a pack."""
        lost = False
        with self._lock:
            place = self._places.get(blob) or self._new_place(blob, entry, backend, _BLOB if waiter is None else _PART)
            if place.phase == "done" and blob not in self._store:
                place.phase, lost = "idle", True
            done = place.phase == "done"
            place.wanted |= waiter is None
            if place.phase == "idle":
                place.inbound.held_back = held_back
            if not done:
                place.inbound.add_way(entry, backend)
                if waiter:
                    place.packs.append(waiter)
        if lost:
            place.inbound.publication.withdraw()
        if not done:
            self._enqueue(place)
        elif waiter:
            pack, part = waiter
            pack.arrived(part, None)
        return place.inbound.publication

    def hurry(self, blob: str, segments: Sequence[int]) -> None:
        """Somebody waits for these segments: it is this blob's turn next, as soon as it is wanted, and they come first of it."""
        with self._lock:
            place = self._places.get(blob)
            if place is None:
                self._hurried[blob] = tuple(segments)
            if place is None or place.phase == "done":
                return
            turn = next((turn for turn in self._turns if turn[2] is place), None)
            if turn is not None:
                self._turns.remove(turn)
                self._numbers += 1
                insort(self._turns, (turn[0], -self._numbers, place))
        place.inbound.hurry(segments)

    def wake(self, blob: str) -> None:
        """Something has changed for a blob: go on with it, in its turn where it was parked."""
        with self._lock:
            place = self._places.get(blob)
            if place is None or place.phase not in ("open", "parked"):
                return
            parked = place.phase == "parked"
            if parked:
                place.phase = "idle"
        if parked:
            self._enqueue(place)
        else:
            self._opening(place.inbound.go_on)

    def leave_out(self, pack: Packing) -> None:
        """Let go of what has not begun and only this pack, which failed, waits for. The caller holds the lock."""
        staying = []
        for turn in self._turns:
            place = turn[2]
            place.packs = [waiter for waiter in place.packs if waiter[0] is not pack]
            if place.packs or place.wanted:
                staying.append(turn)
            else:
                del self._places[place.inbound.blob]
        self._turns = staying

    def forget(self, blob: str) -> None:
        """Nobody wants it any more, and it is not `busy`. The caller holds the lock."""
        self._places.pop(blob, None)

    def busy(self, blob: str) -> bool:
        """Whether it is open, or waits for its turn."""
        place = self._places.get(blob)
        return place is not None and place.phase in ("waiting", "open")

    def arriving(self, blob: str) -> Inbound | None:
        """The blob on its way, at whatever point; None where it is here, or nobody wants it."""
        place = self._places.get(blob)
        return None if place is None or place.phase == "done" else place.inbound

    def publication(self, blob: str) -> Publication | None:
        """What is told of a blob, None for one that nobody wants."""
        place = self._places.get(blob)
        return place.inbound.publication if place is not None else None

    def way(self, blob: str) -> tuple[Entry, Backend] | None:
        """How to get a blob once more that somebody wants, whether or not it is here."""
        place = self._places.get(blob)
        return (place.inbound.entry, place.backend) if place is not None else None

    def backends(self) -> list[Backend]:
        """All that an origin may still be asked with."""
        with self._lock:
            places = list(self._places.values())
        return [backend for place in places for backend in (place.backend, *place.inbound.backends)]

    def close(self) -> None:
        """Keep what has arrived. The threads have stopped."""
        with ExitStack() as unfinished:
            for place in self._places.values():
                unfinished.callback(place.inbound.close)

    def _new_place(self, blob: str, entry: Entry, backend: Backend, priority: int) -> _Place:
        inbound = Inbound(
            entry,
            Publication(blob, self._listener, audible=False, size=entry.size),
            priority=priority,
            store=self._store,
            intake=self._intake,
            later=self._settling,
            ended=self._ended,
            parked=self._parked,
            stopped=self._stopped,
        )
        inbound.first = self._hurried.pop(blob, ())
        place = self._places[blob] = _Place(inbound, backend)
        return place

    def _enqueue(self, place: _Place) -> None:
        with self._lock:
            if place.phase != "idle":
                return
            place.phase = "waiting"
            self._numbers += 1
            insort(self._turns, (place.inbound.priority, self._numbers, place))
        self._opening(self._open_next)

    def _open_next(self) -> None:
        """Start the blob whose turn it is if there is room. In the opening thread."""
        with self._lock:
            if not self._turns or self._open >= _ROOM[self._turns[0][0]]:
                return
            _, _, place = self._turns.pop(0)
            place.phase = "open"
            self._open += 1
        place.inbound.start()

    def _ended(self, inbound: Inbound, error: DflyError | None) -> None:
        with self._lock:
            self._open -= 1
            place = self._places[inbound.blob]
            packs, place.packs = place.packs, []
            place.phase = "idle" if error else "done"
            if not place.wanted:
                self.forget(inbound.blob)
        self._opening(self._open_next)
        if error is None:
            self._whole(inbound.publication)
        for pack, part in packs:
            pack.arrived(part, error)

    def _parked(self, inbound: Inbound) -> None:
        """A blob lacks only what nodes hold: make room for others until something changes."""
        with self._lock:
            self._open -= 1
            self._places[inbound.blob].phase = "parked"
        self._opening(self._open_next)
        if inbound.publication.needs_origin or inbound.receiving:
            self.wake(inbound.blob)
