"""Who was let into a private task, and whether the source would let them in now.

A node listens for hours, and meanwhile its token may be revoked. So everybody who was let in gets a *ticket*, which names the
task and the caller's secrets without showing them; the event stream of a private task opens to a ticket only, and a grant is
renewed only while the source still admits whom the ticket belongs to. What it is asked with stays in memory.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor

import attrs
import structlog

from dfly.errors import AccessDenied, DflyError, NotFound

_log = structlog.get_logger(__name__)

#: Callers with secrets of their own that one task remembers; the others have to ask for the snapshot again.
_MOST = 10_000


@attrs.define(kw_only=True, eq=False)
class Guest:
    """A caller. `ask` says whether the source admits it, and blocks; it runs in `pool`. A yes counts for `trusted` seconds."""

    ticket: str = attrs.field(repr=False)
    ask: Callable[[], bool] = attrs.field(repr=False)
    pool: Executor = attrs.field(repr=False)
    trusted: float
    clock: Callable[[], float] = time.monotonic
    _until: float = attrs.field(init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    def __attrs_post_init__(self) -> None:
        self._until = self.clock() + self.trusted

    async def welcome(self) -> bool:
        """Whether the source still admits this caller. A source that cannot be asked has not refused."""
        async with self._turn:
            if self.clock() < self._until:
                return True
            try:
                allowed = await asyncio.get_running_loop().run_in_executor(self.pool, self.ask)
            except (AccessDenied, NotFound):
                allowed = False
            except DflyError as error:
                _log.warning("guest.not_checked", cause=error.message)
                allowed = True
            if allowed:
                self._until = self.clock() + self.trusted
            return allowed


class Guests:
    """Those of one task. While it never had any, whoever knows its id may listen: it is public, or the node's own."""

    def __init__(self) -> None:
        self._by_ticket: dict[str, Guest] = {}
        self._guarded = False

    def admit(self, guest: Guest) -> None:
        """The source has just let `guest` in."""
        self._guarded = True
        self._by_ticket.pop(guest.ticket, None)
        if len(self._by_ticket) >= _MOST:
            del self._by_ticket[next(iter(self._by_ticket))]
        self._by_ticket[guest.ticket] = guest

    def check(self, ticket: str) -> None:
        """Raises NotFound for a ticket that is none, in the words for a task that is none: a node then asks again."""
        if self._guarded and ticket not in self._by_ticket:
            raise NotFound("there is no such task here", kind="task", hint="ask for the snapshot again")

    async def welcome(self, ticket: str) -> bool:
        """Whether who has this ticket may still listen. One that the source refuses is void."""
        guest = self._by_ticket.get(ticket)
        if guest is None:
            return not self._guarded
        if await guest.welcome():
            return True
        if self._by_ticket.get(ticket) is guest:
            del self._by_ticket[ticket]
        return False
