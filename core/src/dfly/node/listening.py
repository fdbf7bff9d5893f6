"""The event stream of one task, as a thread that keeps it open and puts every message into the task's inbox."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs

from dfly import wire
from dfly.errors import DflyError
from dfly.node.control import SeedPeer, Whereabouts


@attrs.frozen
class StreamLost:
    """The connection broke (`error` None: it ended); it is being made again."""

    error: DflyError | None


@attrs.define(kw_only=True, eq=False)
class EventStream:
    """Reconnects with jitter, and goes on after the last line it has seen."""

    seed_peer: SeedPeer
    task: str
    me: Whereabouts
    put: Callable[[Any], None]
    _left: threading.Event = attrs.field(factory=threading.Event)
    _epoch: str = ""
    _seq: int = 0

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="dfly-events", daemon=True).start()

    def leave(self) -> None:
        """Stop after the line that is being read; the thread ends with its connection."""
        self._left.set()

    def _run(self) -> None:
        tries = 0
        while not self._left.is_set():
            began = time.monotonic()
            lost = self._listen()
            if self._left.is_set():
                return
            self.put(StreamLost(lost))
            tries = 0 if time.monotonic() - began > 5 else tries + 1
            self._left.wait(random.uniform(0.1, min(0.25 * 2**tries, 5.0)))

    def _listen(self) -> DflyError | None:
        try:
            with self.seed_peer.events(self.task, self.me, after=f"{self._epoch}.{self._seq}") as messages:
                for message in messages:
                    self._note(message)
                    self.put(message)
                    if self._left.is_set():
                        break
        except DflyError as error:
            return error
        return None

    def _note(self, message: wire.Message) -> None:
        if isinstance(message, wire.Hello) and message.epoch != self._epoch:
            self._epoch, self._seq = message.epoch, 0
        elif message.seq:
            self._seq = message.seq
