"""The open event streams and their grants: one with the first line of each, a new one when half of its life is over.

Not for ever: a grant of a private task is renewed only while the source admits whoever listens, and a stream ends with its grant.
"""

import asyncio

import attrs
import structlog

from dfly.seed.stream import HEARTBEAT, Listener
from dfly.seed.task import Task
from dfly.seed.webseed import WebSeed
from dfly.wire import Failed, Hello

_log = structlog.get_logger(__name__)

#: Seconds until a grant that could not be renewed is tried again.
_LATER = 10.0
_REFUSED = "the source does not admit these credentials any more"


@attrs.define(kw_only=True, eq=False)
class _Stream:
    """Its task, our `address` as its node sees it, the node's ticket, and when its grant is to be renewed (Unix time)."""

    task: Task
    address: str
    ticket: str = attrs.field(repr=False)
    renew_at: float = 0.0


@attrs.define(kw_only=True, eq=False)
class Streams:
    """Those of all tasks. Used from the event loop only."""

    web_seed: WebSeed
    _open: dict[Listener, _Stream] = attrs.field(factory=dict)
    _renewals: set[asyncio.Task[None]] = attrs.field(factory=set)

    def begin(self, listener: Listener, task: Task, *, address: str, ticket: str) -> None:
        """Say hello. `address` is ours as the node sees it."""
        self._open[listener] = _Stream(task=task, address=address, ticket=ticket)
        self._greet(listener)

    def end(self, listener: Listener) -> None:
        """The connection has ended."""
        del self._open[listener]

    def renew(self) -> None:
        """Begin to renew the grants that are due. To be called a few times a second."""
        now = self.web_seed.now()
        for listener, stream in self._open.items():
            if now >= stream.renew_at and not listener.closed:
                stream.renew_at = now + _LATER
                renewal = asyncio.create_task(self._renew(listener, stream))
                self._renewals.add(renewal)
                renewal.add_done_callback(self._renewals.discard)

    async def _renew(self, listener: Listener, stream: _Stream) -> None:
        try:
            welcome = await stream.task.guests.welcome(stream.ticket)
        except Exception:  # noqa: BLE001 - a plugin's defect is no refusal; the log has it
            _log.exception("guest.not_checked", task=stream.task.name)
            return
        if listener not in self._open:
            return
        if welcome:
            self._greet(listener)
            return
        _log.warning("guest.refused", task=stream.task.name, node=listener.node)
        listener.tell([Failed(error="AccessDenied", message=_REFUSED, hint="check the token for this source")])
        listener.close()

    def _greet(self, listener: Listener) -> None:
        stream = self._open[listener]
        grant, expires = self.web_seed.grant(stream.task.id, listener.node)
        stream.renew_at = expires - self.web_seed.lifetime / 2
        epoch = stream.task.broadcast.log.epoch
        hello = Hello(epoch=epoch, grant=grant, expires=expires, seed_peers=(stream.address,), heartbeat=HEARTBEAT)
        stream.task.broadcast.tell(listener.node, [hello])
