"""Stock BitTorrent clients that have asked the tracker for a task's blobs: which nodes have let them in, and until when.

    announce ──▶ some nodes that hold the blob are told, by their event streams ──▶ they say in a report that they have let it in
                                                     the tracker names those to the client, and no others ◀──╯

So nobody is named who would not answer, and what an announce can bring about is bounded: so many clients for a blob and a
task, told to so many nodes, once in half a lifetime.
"""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from dfly.errors import SwarmError
from dfly.seed.topology.members import Member
from dfly.wire import Address, Message
from dfly.wire import Outsider as Line

#: Clients of one blob and of one task, and ports of one host, that are known at once.
MOST_OF_BLOB, MOST_OF_TASK, MOST_PORTS = 64, 256, 4
#: Nodes that one client is sent to.
MOST_NODES = 8
#: Seconds for which a client is let in; and that nodes are given to say that they have done so.
LIFETIME, PATIENCE = 240.0, 3.0
#: Seconds before nodes are asked again where none has let a client in.
AGAIN = 1.0
#: Numbers in one report that are looked at.
_MOST_OPENED = 256


@attrs.frozen(kw_only=True)
class Wanted:
    """A blob under a name, as a host wants it; `torrent` is its info hash in hex."""

    torrent: str
    blob: str
    name: str
    host: str


@attrs.define(kw_only=True, eq=False)
class _Known:
    """Until when a client is known, where it listens, and the nodes that have let it in."""

    until: float
    ports: dict[int, None] = attrs.field(factory=dict)
    nodes: tuple[str, ...] = ()
    asked: float = -math.inf
    turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)


@attrs.define(kw_only=True, eq=False)
class _Question:
    """What nodes were told under one number: those that have not answered yet, and those that have."""

    awaited: set[str]
    opened: dict[str, None] = attrs.field(factory=dict)
    over: asyncio.Event = attrs.field(factory=asyncio.Event)


@attrs.define(kw_only=True, eq=False)
class Outsiders:
    """Those of one task. Used from the event loop only; `clock` and `patience` are in seconds."""

    clock: Callable[[], float] = time.monotonic
    pick: random.Random = attrs.field(factory=random.Random)
    patience: float = PATIENCE
    _known: dict[Wanted, _Known] = attrs.field(factory=dict)
    _questions: dict[int, _Question] = attrs.field(factory=dict)
    _numbers: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))

    def admit(self, wanted: Wanted, port: int) -> None:
        """A client at `port` has announced itself. Raises SwarmError where that is one too many."""
        now = self.clock()
        self._known = {known: of for known, of in self._known.items() if of.until > now}
        found = self._known.get(wanted)
        if found is None:
            of_blob = sum(known.blob == wanted.blob for known in self._known)
            if of_blob >= MOST_OF_BLOB or len(self._known) >= MOST_OF_TASK:
                raise SwarmError("too many others are downloading this with a stock client", hint="try again later")
            found = self._known[wanted] = _Known(until=0.0)
        found.until = now + LIFETIME
        found.ports.pop(port, None)
        found.ports[port] = None
        if len(found.ports) > MOST_PORTS:
            del found.ports[next(iter(found.ports))]

    def forget(self, wanted: Wanted, port: int) -> None:
        """A client has gone."""
        found = self._known.get(wanted)
        if found is not None:
            found.ports.pop(port, None)
            if not found.ports:
                del self._known[wanted]

    def others(self, wanted: Wanted, port: int) -> list[Address]:
        """Where the other clients in the same torrent are."""
        now = self.clock()
        return [
            (known.host, at)
            for known, of in self._known.items()
            if known.torrent == wanted.torrent and of.until > now
            for at in of.ports
            if (known.host, at) != (wanted.host, port)
        ]

    async def open(
        self, wanted: Wanted, holders: Mapping[str, Member], tell: Callable[[str, Sequence[Message]], None]
    ) -> list[Address]:
        """Where the client is let in now. `holders` are nodes that may have the blob, `tell(node, messages)` reaches them."""
        found = self._known.get(wanted)
        if found is None:
            return []
        async with found.turn:
            stay = tuple(node for node in found.nodes if node in holders)
            if self.clock() - found.asked >= (LIFETIME / 2 if stay else AGAIN):
                stay = found.nodes = await self._ask(wanted, holders, tell)
                found.asked = self.clock()
        return [holders[node].addresses[0] for node in stay]

    def opened(self, node: str, numbers: Sequence[int]) -> None:
        """A node says whom it has let in."""
        for number in numbers[:_MOST_OPENED]:
            question = self._questions.get(number)
            if question is not None and node in question.awaited:
                question.awaited.discard(node)
                question.opened[node] = None
                if not question.awaited:
                    question.over.set()

    def rejoined(self, node: str) -> None:
        """A node's event stream is open anew: whoever it is by now, it may not remember whom it has let in."""
        for found in self._known.values():
            if node in found.nodes:
                found.nodes, found.asked = tuple(other for other in found.nodes if other != node), -math.inf

    async def _ask(
        self, wanted: Wanted, holders: Mapping[str, Member], tell: Callable[[str, Sequence[Message]], None]
    ) -> tuple[str, ...]:
        chosen = self.pick.sample(sorted(holders), min(MOST_NODES, len(holders)))
        if not chosen:
            return ()
        number, question = next(self._numbers), _Question(awaited=set(chosen))
        self._questions[number] = question
        line = Line(number=number, blob=wanted.blob, name=wanted.name, host=wanted.host, seconds=LIFETIME)
        try:
            for node in chosen:
                tell(node, [line])
            # a node of an earlier version says nothing
            await asyncio.wait_for(question.over.wait(), self.patience)
        except TimeoutError:
            pass
        finally:
            del self._questions[number]
        return tuple(question.opened)
