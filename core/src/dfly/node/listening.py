"""The event stream of one task, as a thread that keeps it open and puts every message into the task's inbox."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from dfly import wire
from dfly.errors import DflyError, NotFound
from dfly.node.control import Whereabouts
from dfly.node.succession import Seat, Succession

#: Connections in a row without one message, after which a node counts as alone.
MOST_BARREN = 4


@attrs.frozen
class StreamLost:
    """The connection broke (`error` None: it ended); it is being made again."""

    error: DflyError | None


#: Seconds between two looks whether a seed peer that comes first in everybody's order is back.
HOMING = 1.5


@attrs.frozen
class Moved:
    """The task goes on at another seat: a seed peer that was restarted, the next one, or a stand-in."""

    seat: Seat
    restarted: bool
    #: Back to one that comes first in everybody's order.
    home: bool = False


@attrs.frozen
class Alone:
    """Nobody is left to ask."""


@attrs.define(kw_only=True, eq=False)
class EventStream:
    """Reconnects with jitter and goes on after the last line it has seen; where that is no use, moves to the next seat."""

    succession: Succession
    me: Whereabouts
    put: Callable[[Any], None]
    _cut: Callable[[], None] | None = None
    _epoch: str = ""
    _seq: int = 0
    _heard: bool = False
    _home: Seat | None = None

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="dfly-events", daemon=True).start()
        if len(self.succession.candidates) > 1:
            threading.Thread(target=self._long_for_home, name="dfly-home", daemon=True).start()

    def leave(self) -> None:
        """End the connection, and with it the thread. Harmless if done twice."""
        self.succession.left.set()
        cut = self._cut
        if cut is not None:
            cut()

    def _run(self) -> None:
        left, tries, barren = self.succession.left, 0, 0
        while not left.is_set():
            began = time.monotonic()
            self._heard = False
            lost = self._listen(self.succession.seat)
            barren = 0 if self._heard else barren + 1
            if left.is_set():
                return
            if self._go_home():
                tries = 0
                continue
            self.put(StreamLost(lost))
            tries = 0 if time.monotonic() - began > 5 else tries + 1
            if tries > 1 or isinstance(lost, NotFound):
                tries = 0
                moved = self._move()
                # a seed peer that resolves and then never says a word is nobody
                if (not moved or barren >= MOST_BARREN) and not left.is_set():
                    self.put(Alone())
            left.wait(random.uniform(0.05, min(0.25 * 2**tries, 5.0)))

    def _long_for_home(self) -> None:
        """While at another seat, see whether an earlier seed peer is back; then cut the stream, which goes on there."""
        while not self.succession.left.wait(random.uniform(0.75, 1.25) * HOMING):
            seat = None
            with suppress(DflyError):
                seat = self.succession.home()
            cut = self._cut
            if seat is not None and cut is not None:
                self._home = seat
                cut()

    def _go_home(self) -> bool:
        seat, self._home = self._home, None
        if seat is None:
            return False
        self.succession.seat, self._epoch, self._seq = seat, "", 0
        self.put(Moved(seat, restarted=False, home=True))
        return True

    def _move(self) -> bool:
        """Find the seat to go on at."""
        before = self.succession.seat.seed_peer.url
        seat = self.succession.again()
        if seat is None:
            return False
        self._epoch, self._seq = "", 0
        self.put(Moved(seat, restarted=seat.seed_peer.url == before))
        return True

    def _listen(self, seat: Seat) -> DflyError | None:
        try:
            after = f"{self._epoch}.{self._seq}" if self._epoch else ""
            with seat.seed_peer.events(seat.task, self.me, after=after, ticket=seat.resolved.ticket) as stream:
                self._cut = stream.cut
                for message in stream.messages:
                    if self.succession.left.is_set():
                        break
                    self._heard = True
                    self._note(message)
                    self.put(message)
        except DflyError as error:
            return error
        finally:
            self._cut = None
        return None

    def _note(self, message: wire.Message) -> None:
        if isinstance(message, wire.Hello) and message.epoch != self._epoch:
            self._epoch, self._seq = message.epoch, 0
        elif isinstance(message, wire.Ring):
            self.succession.stand_ins = message.stand_ins
        elif message.seq:
            self._seq = message.seq
