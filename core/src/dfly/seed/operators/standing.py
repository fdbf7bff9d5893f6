"""The nodes that stand by: each keeps one connection open, over which it can be sent on errands.

Nothing is known of a node but what it says of itself when it comes; whoever comes under the name of one that is here takes its
place. Used from the event loop only.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import attrs

from dfly.errors import SwarmError
from dfly.seed.stream import HEARTBEAT
from dfly.wire import Heartbeat, Message
from dfly.wire.errands import Choice

_MOST = 20_000


@attrs.define(kw_only=True, eq=False)
class Standing:
    """One node's connection."""

    node: str
    location: str
    _lines: list[bytes] = attrs.field(factory=list)
    _wake: asyncio.Event = attrs.field(factory=asyncio.Event)
    _closed: bool = False

    def send(self, message: Message) -> None:
        """A line for this node."""
        self._lines.append(message.encode())
        self._wake.set()

    def close(self) -> None:
        """End the connection after what has gathered."""
        self._closed = True
        self._wake.set()

    async def batches(self) -> AsyncIterator[bytes]:
        """What to write, with signs of life between, until closed."""
        alive = Heartbeat().encode()
        yield alive
        while self._lines or not self._closed:
            batch = b"".join(self._lines)
            self._lines.clear()
            self._wake.clear()
            if not batch:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await self._wake.wait()
                    continue
                except TimeoutError:
                    batch = alive
            yield batch


class Roster:
    """All of them, by name."""

    def __init__(self) -> None:
        self._here: dict[str, Standing] = {}

    def come(self, node: str, location: str) -> Standing:
        """A node stands by. Raises SwarmError where there are too many."""
        before = self._here.get(node)
        if before is not None:
            before.close()
        elif len(self._here) >= _MOST:
            raise SwarmError(f"{_MOST:,} nodes stand by already")
        here = self._here[node] = Standing(node=node, location=location)
        return here

    def go(self, standing: Standing) -> bool:
        """A connection has ended. False where the node has another one by now."""
        if self._here.get(standing.node) is not standing:
            return False
        del self._here[standing.node]
        return True

    def all(self) -> list[Standing]:
        """Every node that stands by."""
        return [self._here[node] for node in sorted(self._here)]

    def chosen(self, choice: Choice, *, task: str) -> list[Standing]:
        """Those that `choice` means, for this task: asked again, the same ones, as long as they are here.

        Raises SwarmError where there are none, or too few.
        """
        found = [standing for standing in self._here.values() if choice.has(standing.location)]
        wanted = choice.count or 1
        if len(found) < wanted:
            where = f" at {choice.location}" if choice.location else ""
            raise SwarmError(
                f"{len(found)} of the {wanted} nodes asked for stand by{where}"
                if choice.count
                else f"no node stands by{where}",
                hint="start node daemons with dfdaemon --join and this seed peer's URL; or leave out --nodes",
            )
        first = sorted(found, key=lambda standing: _rank(task, standing.node))[: choice.count]
        return sorted(first, key=lambda standing: (standing.location, standing.node))

    def close(self) -> None:
        """End every connection."""
        for standing in self._here.values():
            standing.close()


def _rank(task: str, node: str) -> bytes:
    """Rendezvous hashing: each node's rank for a task is its own, so one that comes or goes moves nobody else."""
    return hashlib.sha256(f"{task}\0{node}".encode()).digest()
