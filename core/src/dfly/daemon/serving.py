"""A task's place in its ring after everything is here, and again after a restart: others take it from this node.

    hello ─▶ heard out ─▶ what the seed peer lacks, it may have from here
    ring ──a new neighbour──▶ what it needs is offered (`dfly.daemon.offer`) ──released──▶ nothing is

One thread owns all state, as in `node.rolling`.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from dfly import wire
from dfly.daemon.cache import Cache
from dfly.daemon.held import Held
from dfly.daemon.offer import Offer
from dfly.daemon.placed import placed
from dfly.daemon.session import Share
from dfly.errors import AccessDenied, DflyError
from dfly.layout import Layout
from dfly.node.control import Whereabouts
from dfly.node.listening import Alone, EventStream, Moved, StreamLost
from dfly.node.outsiders import Outsiders
from dfly.node.reporting import Reports
from dfly.node.succession import Succession
from dfly.swarm import StorageFailed

_log = structlog.get_logger(__name__)

#: Seconds between looks; and between reports, well below the time after which a silent node leaves the ring.
TICK, REPORT = 0.5, 8.0
#: Seconds after the first word of a seed peer for which it is heard out before it is told what it lacks.
HEARD_OUT = 0.5
_CARRY_AT_ONCE = 500


class Serving:
    """Serves `held` (by blob id) in the ring where `succession` sits, as the node `me`, until `leave`.

    `damaged(blob)` is called when a blob turns out not to be what it was; it must not block. `inbox` is where the share's
    events go. `sources` is what this node brought, in bytes by source. `parts` are further blobs of the task, which travel in its
    pack: only outsiders take them one by one.
    """

    def __init__(
        self,
        held: Mapping[str, Held],
        *,
        succession: Succession,
        me: Whereabouts,
        share: Share,
        inbox: "SimpleQueue[Any]",
        cache: Cache,
        damaged: Callable[[str], None],
        parts: Collection[str] = (),
        sources: dict[str, int] | None = None,
    ) -> None:
        self._held, self._parts = dict(held), frozenset(parts)
        self._succession, self._seat = succession, succession.seat
        self._share, self._inbox, self._cache, self._damaged = share, inbox, cache, damaged
        self._stream = EventStream(succession=succession, me=me, put=inbox.put)
        self._reports = Reports(me.node, sources={} if sources is None else sources)
        self._ring = wire.Ring()
        self._seed_hosts: tuple[str, ...] = ()
        self._complete: set[str] = set()
        self._heard_at: float | None = None
        self._offer = Offer(self._held, share=share, cache=cache)
        self._busy = False
        self._outsiders = Outsiders(session=share, keep=lambda blob: cache.in_use([blob]))
        self._left = threading.Event()
        self._handlers: dict[type, Callable[[Any], None]] = {
            wire.Hello: self._on_hello,
            wire.Ring: self._on_ring,
            wire.Blob: self._on_blob,
            wire.Doubted: self._on_doubted,
            wire.Needs: self._on_needs,
            wire.Released: self._on_released,
            wire.Outsider: self._on_outsider,
            StreamLost: self._on_stream_lost,
            Moved: self._on_moved,
            Alone: self._on_alone,
            StorageFailed: self._on_storage_failed,
        }
        #: Why it ended by itself, if it did.
        self.ended = ""
        self._thread = threading.Thread(target=self._run, name="dfly-serving", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it still serves."""
        return self._thread.is_alive()

    @property
    def blobs(self) -> set[str]:
        """What it serves."""
        return set(self._held)

    def row(self) -> dict[str, Any]:
        """The place as JSON (`dfly.daemon.placed`)."""
        held = sum(held.layout.segments for held in tuple(self._held.values()))
        return placed(self._reports.node, seat=self._seat, ring=self._ring, held=held, offered=len(self._offer))

    def start(self) -> None:
        """Take the place in the ring."""
        self._thread.start()

    def leave(self, *, goodbye: bool) -> None:
        """Come to an end, and wait for it. Without a goodbye the ring keeps the place for a moment: this node comes back."""
        self._goodbye = goodbye
        self._left.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._goodbye = True
        self._stream.start()
        try:
            while not self._left.is_set() and not self.ended:
                self._turn()
        except DflyError as error:
            self.ended = error.message
        except Exception as error:  # noqa: BLE001 - the log has it
            self.ended = type(error).__name__
            _log.exception("serving.failed")
        finally:
            if self._goodbye and not self.ended:
                with suppress(DflyError):
                    self._tell(done=True, goodbye=True)
            self._stream.leave()
            self._offer.close()
            self._outsiders.close()
            self._share.close()

    def _turn(self) -> None:
        with suppress(Empty):
            self._handle(self._inbox.get(timeout=0 if self._busy else TICK))
            while True:
                self._handle(self._inbox.get_nowait())
        now = time.monotonic()
        if self._heard_at is not None and now >= self._heard_at + HEARD_OUT:
            self._heard_at = None
            self._carry_over()
            self._tell(done=True)
        elif self._heard_at is None and now - self._reports.last >= REPORT and self._seed_hosts:
            self._tell(done=True)
        self._busy = self._offer.turn(now)
        self._outsiders.look()

    def _handle(self, news: Any) -> None:
        handler = self._handlers.get(type(news))
        if handler is not None:
            handler(news)

    def _on_hello(self, hello: wire.Hello) -> None:
        self._seed_hosts, self._complete = hello.seed_peers, set()
        self._heard_at = time.monotonic()
        self._reports.retell(
            (blob, index) for blob, held in self._held.items() for index in range(held.layout.segments)
        )
        self._offer.all_needed()
        self._admit()

    def _on_blob(self, blob: wire.Blob) -> None:
        if blob.state == "complete":
            self._complete.add(blob.blob)
        elif blob.blob in self._held:
            self.ended = f"the seed peer has withdrawn {blob.blob}"

    def _on_doubted(self, doubted: wire.Doubted) -> None:
        held = self._held.get(doubted.blob)
        if held is not None and doubted.index < held.layout.segments and not held.right(doubted.index):
            self._drop(doubted.blob)

    def _on_outsider(self, outsider: wire.Outsider) -> None:
        """Somebody with a stock client wants a blob: the seed peer names this node to them once it says that they may come."""
        held = self._held.get(outsider.blob)
        committed = held.committed if held is not None else None
        if committed is None and outsider.blob in self._parts:
            committed = self._cache.usable(outsider.blob)
        if committed is None or not self._outsiders.let_in(
            outsider, path=committed.path, layout=Layout(committed.size), hashes=committed.hashes
        ):
            return
        _log.info("outsider.let_in", blob=outsider.blob, host=outsider.host)
        self._reports.open(outsider.number)
        self._tell(done=True)

    def _on_storage_failed(self, failed: StorageFailed) -> None:
        _log.warning("blob.unreadable", blob=failed.key.blob, cause=failed.reason)
        self._outsiders.drop(failed.key.blob)
        self._drop(failed.key.blob)

    def _on_stream_lost(self, lost: StreamLost) -> None:
        if isinstance(lost.error, AccessDenied):
            self.ended = "the seed peer does not let this node in any more"

    def _on_moved(self, moved: Moved) -> None:
        self._seat = moved.seat

    def _on_alone(self, _: Alone) -> None:
        self.ended = "no seed peer answers"

    def _on_released(self, _: wire.Released) -> None:
        # no node needs it; a seed peer that was told of it may, and while nobody takes anything it is taken back anyway
        if not self._carried():
            self._offer.take_back()

    def _on_ring(self, ring: wire.Ring) -> None:
        before, self._ring = self._peers, ring
        self._admit()
        if new := [peer for peer in self._peers if peer not in before]:
            self._offer.make(peers=self._peers, new=new)

    def _on_needs(self, needs: wire.Needs) -> None:
        self._offer.needs(over=needs.over, again=needs.again, peers=self._peers)

    @property
    def _peers(self) -> tuple[wire.Address, ...]:
        """Those beside it in the ring, and those that may dial it."""
        return (*self._ring.neighbours, *self._ring.admitted)

    def _admit(self) -> None:
        self._share.allow({host for host, _ in self._peers} | set(self._seed_hosts))

    def _drop(self, blob: str) -> None:
        """Serve a damaged blob no more, to anybody."""
        if self._held.pop(blob, None) is None:
            return
        self._outsiders.drop(blob)
        self._offer.drop(blob)
        self.ended = f"{blob} is damaged"
        self._damaged(blob)

    def _carry_over(self) -> None:
        """Tell a seed peer that lacks them of the segments that an earlier one published: it need not ask the hub."""
        records = self._carried()
        if not records:
            return
        self._offer.make(peers=self._peers)  # it takes them from here
        for at in range(0, len(records), _CARRY_AT_ONCE):
            have = wire.Have(node=self._reports.node, segments=tuple(records[at : at + _CARRY_AT_ONCE]))
            with suppress(DflyError):
                self._seat.seed_peer.have(self._seat.task, have)

    def _carried(self) -> list[wire.Segment]:
        """What the seed peer lacks and may have from here."""
        lacking = [held for blob, held in self._held.items() if blob not in self._complete]
        return [record for held in lacking for record in held.records() if record.mac]

    def _tell(self, *, done: bool, goodbye: bool = False) -> None:
        told = self._reports.make(time.monotonic(), done=done, goodbye=goodbye)
        try:
            self._seat.seed_peer.report(self._seat.task, told)
        except DflyError:
            return  # it is told again with the next one
        self._reports.answered(told)
