"""This node among its neighbours: it brings a task's blobs by the task's ring, and keeps its place there for others.

    place, if it has one ──let go──▶ round, for all who want something ──▶ place, with all that is here by then

A place that was lost is taken again: after a restart, and after no seed peer answered.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from queue import SimpleQueue
from typing import Any, Protocol

import structlog

from dfly.daemon.admission import Admitted
from dfly.daemon.cache import Cache
from dfly.daemon.held import macs_of_whole
from dfly.daemon.places import Places
from dfly.daemon.records import Record, Records
from dfly.daemon.rounds import Round, Wish, as_dfly
from dfly.daemon.session import SharedSession
from dfly.errors import DflyError
from dfly.events import Listener
from dfly.node.joining import Joined
from dfly.node.readers import Readers, watching
from dfly.swarm import SwarmStats
from dfly.values import bare_task

_log = structlog.get_logger(__name__)

#: Seconds between looks at which places could be taken again.
LOOK = 5.0


class Rejoin(Protocol):
    """The ring of a recorded source, as anybody may join it (`dfly.daemon.reopening`). Raises a DflyError where it cannot be."""

    def __call__(self, record: Record, *, stop: threading.Event) -> Joined: ...  # noqa: D102


class Neighbours:
    """Brings blobs by rounds, and has `places` after each. `start` it, `close` it."""

    def __init__(
        self,
        *,
        cache: Cache,
        records: Records,
        places: Places,
        session: SharedSession,
        rejoin: Rejoin,
        readers: Readers,
    ) -> None:
        self._cache, self._records, self.places = cache, records, places
        self._session, self._rejoin, self._readers = session, rejoin, readers
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._rounds: dict[str, Round] = {}
        self._going: dict[str, threading.Thread] = {}
        self._again: dict[str, float] = {}
        self._keeper = threading.Thread(target=self._keep, name="dfly-neighbours", daemon=True)

    def start(self) -> None:
        """Take the places that this node had before, in the background."""
        self._keeper.start()

    def rows(self) -> list[dict[str, Any]]:
        """This node's place in each ring that it is in, bringing something or serving it, as JSON."""
        with self._lock:
            under_way = list(self._rounds.items())
        bringing = {task: row for task, each in under_way if (row := each.row(self.places.node(task))) is not None}
        serving = {row["task"]: row for row in self.places.rows()}
        return list((bringing | serving).values())

    def moved(self) -> SwarmStats | None:
        """What all places have moved together; None before the first was taken."""
        return self._session.stats()

    def close(self) -> None:
        """End every round, and say goodbye everywhere."""
        self._closing.set()
        if self._keeper.is_alive():
            self._keeper.join()
        with self._lock:
            going = list(self._going.values())
            for under_way in self._rounds.values():
                under_way.stop.set()
        for thread in going:
            thread.join()
        self.places.close()

    def bring(
        self,
        admitted: Admitted,
        blobs: set[str],
        *,
        tell: Listener,
        stored: Callable[[str], None],
        stop: threading.Event,
    ) -> None:
        """Bring blobs of a task by its ring, and keep the place. See `dfly.daemon.errand.BySwarm`."""
        assert admitted.joined is not None
        task = admitted.joined.seat.task
        wish = Wish(blobs=frozenset(blobs), tell=tell, stored=stored)
        with self._lock:
            under_way = self._rounds.get(task)
            if under_way is None or not under_way.take(wish):
                under_way = self._begin_round(admitted, wish)
        under_way.wait(wish, stop)

    def _begin_round(self, admitted: Admitted, wish: Wish) -> Round:
        joined = admitted.joined
        assert joined is not None
        task, freight = joined.seat.task, joined.freight()
        for blob, entry in freight.ids:
            if entry.size == 0 and blob in wish.blobs and blob not in self._cache:
                self._cache.put(blob, b"", sources=[entry.url])
        begun = self._rounds[task] = Round(freight, cache=self._cache)
        taken = begun.take(wish)
        assert taken, "a new round is not over"
        before = self._going.get(task)
        self._going[task] = threading.Thread(target=self._go, args=(admitted, begun, before), name="dfly-round")
        self._going[task].start()
        return begun

    def _go(self, admitted: Admitted, under_way: Round, before: threading.Thread | None) -> None:
        """One round, in a thread of its own; the one before has let go of its place first."""
        if before is not None:
            before.join()
        joined = admitted.joined
        assert joined is not None
        macs: dict[str, str] = {}
        error = None
        try:
            if under_way.arrivals:
                macs = self._roll(joined, under_way)
        except BaseException as failed:  # noqa: BLE001 - it is raised where it is waited for
            if not isinstance(failed, DflyError):
                _log.exception("round.broke", source=joined.snapshot.source)
            error = as_dfly(failed)
        try:
            under_way.end(error)
            if under_way.arrivals and error is None:
                self._keep_place(admitted, joined, under_way.wanted, macs)
        finally:
            under_way.finish()
            self._gone_round(joined.seat.task, under_way)

    def _gone_round(self, task: str, under_way: Round) -> None:
        with self._lock:
            if self._rounds.get(task) is under_way:
                del self._rounds[task]
            if self._going.get(task) is threading.current_thread():
                del self._going[task]

    def _roll(self, joined: Joined, under_way: Round) -> dict[str, str]:
        """Go round until nothing more is wanted; the seed peer's MACs of whole blobs."""
        task = joined.seat.task
        self.places.leave(task)
        inbox = SimpleQueue[Any]()
        with (
            closing(self._session.share(inbox.put)) as share,
            joined.rolling_in(
                share,
                inbox,
                under_way.arrivals,
                place=self.places.folder,
                emit=under_way.tell,
                stop=under_way.stop,
                node=self.places.node(task),
                grows=True,
                sources=self.places.sources(task),
                readers=self._readers,
            ) as rolling,
            watching(self._readers, rolling.look),
        ):
            under_way.under_way(rolling)
            rolling.bring(until=under_way.nothing_left)
            return macs_of_whole(rolling.known_segments())

    def _keep_place(self, admitted: Admitted, joined: Joined, wanted: set[str], macs: dict[str, str]) -> None:
        task = joined.seat.task
        self._records.note(admitted, brought=[blob for blob in wanted if blob in self._cache])
        known = self._records.get(task)
        if known is not None:
            self._records.change(task, macs={**known.macs, **macs})
        self._serve(joined)

    def _serve(self, joined: Joined) -> None:
        """Take a place with all that is here of a task, unless nothing is."""
        task = joined.seat.task
        record = self._records.get(task)
        if not self._closing.is_set() and self.places.take(joined, macs=record.macs if record else {}):
            self._again.pop(task, None)

    # After a restart, and after a seed peer was away

    def _keep(self) -> None:
        """Take the places that could be taken and are not."""
        while True:
            most = self.places.most
            for record in reversed(self._records.all()[-most:] if most else []):
                if self._closing.is_set():
                    return
                self._take_again(record)
            if self._closing.wait(LOOK):
                return

    def _take_again(self, record: Record) -> None:
        task, now = record.task, time.monotonic()
        with self._lock:
            busy = task in self._rounds
        if busy or task in self.places or now < self._again.get(task, 0.0):
            return
        if not record.swarmed or not record.resolved.seal or not record.snapshot.public:
            return  # nobody's secret is kept, so a private one waits until somebody shows it again
        if not all(blob in self._cache for blob in record.blobs()):
            return
        self._again[task] = now + 6 * LOOK
        try:
            joined = self._rejoin(record, stop=self._closing)
        except DflyError as error:
            _log.info("ring.not_joined", task=bare_task(task), cause=error.message)
            return
        if joined.seat.task == task:
            self._serve(joined)
            _log.info("ring.joined", task=bare_task(task), source=record.snapshot.source)
