"""This node's places in its tasks' rings: taken when a task is brought, kept while others may need what is here, and taken again
after a restart.

A place costs the seed peer a stream and a report now and then, so there are only so many; the longest unused is given up.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import closing
from queue import SimpleQueue
from typing import Any, Protocol

import structlog

from dfly import wire
from dfly.daemon.admission import Admitted
from dfly.daemon.cache import Cache
from dfly.daemon.records import Record, Records
from dfly.daemon.rounds import Round, Wish, as_dfly
from dfly.daemon.serving import Held, Serving
from dfly.daemon.session import SharedSession
from dfly.errors import DflyError
from dfly.events import Listener
from dfly.node.joining import Joined
from dfly.node.readers import Readers, watching
from dfly.node.reserve import Reserve
from dfly.packs import Freight
from dfly.swarm import SwarmStats

_log = structlog.get_logger(__name__)

#: Seconds between looks at which places could be taken again.
LOOK = 5.0


class Rejoin(Protocol):
    """The ring of a recorded source, as anybody may join it (`dfly.daemon.reopening`). Raises a DflyError where it cannot be."""

    def __call__(self, record: Record, *, stop: threading.Event) -> Joined: ...  # noqa: D102


class Neighbours:
    """At most `most` places. `place` is a folder for what a stand-in keeps; `damaged(blob)` is told of damaged blobs, at once."""

    def __init__(
        self,
        *,
        cache: Cache,
        records: Records,
        session: SharedSession,
        rejoin: Rejoin,
        place: str,
        most: int,
        damaged: Callable[[str], None],
        readers: Readers,
    ) -> None:
        self._cache, self._records, self._session, self._rejoin = cache, records, session, rejoin
        self._place, self._most, self._damaged = place, most, damaged
        self._readers = readers
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._rounds: dict[str, Round] = {}
        self._going: dict[str, threading.Thread] = {}
        self._serving: OrderedDict[str, Serving] = OrderedDict()
        self._nodes: dict[str, str] = {}
        self._sources: dict[str, dict[str, int]] = {}
        self._again: dict[str, float] = {}
        self._keeper = threading.Thread(target=self._keep, name="dfly-neighbours", daemon=True)
        cache.on_gone.append(self._gone)

    def start(self) -> None:
        """Take the places that this node had before, in the background."""
        self._keeper.start()

    def moved(self) -> SwarmStats | None:
        """What all places have moved together; None before the first was taken."""
        return self._session.stats()

    @property
    def places(self) -> int:
        """How many rings it is in now."""
        with self._lock:
            return sum(serving.alive for serving in self._serving.values())

    def rows(self) -> list[dict[str, Any]]:
        """Its place in each of them, as JSON."""
        with self._lock:
            places = list(self._serving.items())
        return [{"task": task, **serving.row()} for task, serving in places if serving.alive]

    def close(self) -> None:
        """Say goodbye everywhere."""
        self._closing.set()
        if self._keeper.is_alive():
            self._keeper.join()
        with self._lock:
            going = list(self._going.values())
            for under_way in self._rounds.values():
                under_way.stop.set()
        for thread in going:
            thread.join()
        with self._lock:
            places, self._serving = list(self._serving.values()), OrderedDict()
        leaving = [threading.Thread(target=serving.leave, kwargs={"goodbye": True}) for serving in places]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join()

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
        self._retire(task, goodbye=False)
        inbox = SimpleQueue[Any]()
        with (
            closing(self._session.share(inbox.put)) as share,
            joined.rolling_in(
                share,
                inbox,
                under_way.arrivals,
                place=self._place,
                emit=under_way.tell,
                stop=under_way.stop,
                node=self._node(task),
                grows=True,
                sources=self._sources_of(task),
                readers=self._readers,
            ) as rolling,
            watching(self._readers, rolling.look),
        ):
            under_way.under_way(rolling)
            rolling.bring(until=under_way.nothing_left)
            return _macs(rolling.known_segments())

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
        freight = joined.freight()
        held = self._held(freight, record)
        if not held or self._closing.is_set() or not self._most:
            return
        inbox = SimpleQueue[Any]()
        share = self._session.share(inbox.put)
        reserve = Reserve(joined, data_dir=self._place)
        serving = Serving(
            held,
            succession=joined.succession(reserve),
            me=joined.whereabouts(self._node(task), port=share.port),
            share=share,
            inbox=inbox,
            cache=self._cache,
            damaged=self._damaged,
            parts=freight.pack.blobs if freight.pack else (),
            sources=self._sources_of(task),
        )
        reserve.close()
        with self._lock:
            self._retire(task, goodbye=False)
            self._serving[task] = serving
            self._again.pop(task, None)
            surplus = list(self._serving)[: max(0, len(self._serving) - self._most)]
        serving.start()
        for other in surplus:
            self._retire(other, goodbye=True)

    def _held(self, freight: Freight, record: Record | None) -> dict[str, Held]:
        found = {}
        for blob in freight.sizes():
            committed = self._cache.usable(blob)
            if committed is not None and committed.size:
                macs = record.macs.get(blob, "") if record else ""
                by_number = {at // 32: macs[at : at + 32] for at in range(0, len(macs), 32)}
                found[blob] = Held(committed=committed, macs=by_number)
        return found

    def _retire(self, task: str, *, goodbye: bool) -> None:
        with self._lock:
            serving = self._serving.pop(task, None)
        if serving is not None:
            serving.leave(goodbye=goodbye)

    def _gone(self, blob: str) -> None:
        """A blob was given up or put aside: whoever serves it does so no more."""
        with self._lock:
            concerned = [task for task, serving in self._serving.items() if blob in serving.blobs]
        for task in concerned:
            with self._lock:
                serving = self._serving.pop(task, None)
            if serving is not None:
                # not from its own thread, nor while somebody holds the cache's lock
                threading.Thread(target=serving.leave, kwargs={"goodbye": True}, daemon=True).start()

    def _node(self, task: str) -> str:
        with self._lock:
            return self._nodes.setdefault(task, secrets.token_hex(8))

    def _sources_of(self, task: str) -> dict[str, int]:
        """What that node has got from where: the ring is to hear of it, whichever of its errands brought it."""
        with self._lock:
            return self._sources.setdefault(task, {})

    # After a restart, and after a seed peer was away

    def _keep(self) -> None:
        """Take the places that could be taken and are not."""
        while True:
            for record in reversed(self._records.all()[-self._most :] if self._most else []):
                if self._closing.is_set():
                    return
                self._take_again(record)
            if self._closing.wait(LOOK):
                return

    def _take_again(self, record: Record) -> None:
        task, now = record.task, time.monotonic()
        with self._lock:
            serving = self._serving.get(task)
            busy = task in self._rounds
        if busy or (serving is not None and serving.alive) or now < self._again.get(task, 0.0):
            return
        if not record.swarmed or not record.resolved.seal or not record.snapshot.public:
            return  # nobody's secret is kept, so a private one waits until somebody shows it again
        if not all(blob in self._cache for blob in record.blobs()):
            return
        self._again[task] = now + 6 * LOOK
        try:
            joined = self._rejoin(record, stop=self._closing)
        except DflyError as error:
            _log.info("ring.not_joined", task=task.partition("-")[0], cause=error.message)
            return
        if joined.seat.task == task:
            self._serve(joined)
            _log.info("ring.joined", task=task.partition("-")[0], source=record.snapshot.source)


def _macs(segments: Iterable[wire.Segment]) -> dict[str, str]:
    """The MACs of each blob's segments in order, 32 hex digits each; only of blobs that have all."""
    found: dict[str, dict[int, str]] = {}
    sizes: dict[str, int] = {}
    for segment in segments:
        found.setdefault(segment.blob, {})[segment.index] = segment.mac
        sizes[segment.blob] = segment.size
    whole = {}
    for blob, macs in found.items():
        row = "".join(macs.get(index, "") for index in sorted(macs))
        if len(row) == 32 * len(macs) and len(macs) == max(macs) + 1:
            whole[blob] = row
    return whole
