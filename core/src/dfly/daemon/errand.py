"""One caller's wishes: what is missing is brought, by the swarm or from the source, and each file is lent when it is whole.

wanted ──▶ here ───────────────────────────────────────────────────────▶ lent
╲─▶ missing: mine to bring, or somebody else's, whom it waits for ─╱

That it is here is enough: what is not public is kept for the place it came from (`Snapshot.blob_of`).

A blob that is put aside as damaged when it was already on its way to being lent is brought once more.
"""

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Protocol

import attrs

from dfly.config import Fetch, Patience
from dfly.daemon.activity import Activity
from dfly.daemon.admission import Admitted
from dfly.daemon.cache import Cache
from dfly.daemon.claims import Claims
from dfly.daemon.packed import brought_along, cut_out
from dfly.daemon.records import Records
from dfly.daemon.stored import direct_arrivals
from dfly.daemon.underway import Progress, UnderWay
from dfly.errors import Cancelled, OutputError, SwarmError
from dfly.events import BytesArrived, Event, FileStarted, FileVerified, Listener, Warned
from dfly.node.direct import fetch_directly
from dfly.node.readers import Readers
from dfly.origin.pauses import Pauses
from dfly.packs import Freight, entry_blob
from dfly.store.blobs import Committed
from dfly.store.hashing import pick
from dfly.tracing import NO_TRACES, Traces
from dfly.values import Entry

#: How often in all a blob is brought that is damaged again before it can be lent.
_TRIES = 3


class Lend(Protocol):
    """Gives a committed blob to the caller, for its entries with these numbers."""

    def __call__(self, numbers: Sequence[int], held: Committed) -> None: ...  # noqa: D102


class BySwarm(Protocol):
    """Brings blobs of a task that a seed peer resolved (`dfly.daemon.neighbours`). Raises SwarmError where it cannot."""

    def __call__(  # noqa: D102
        self,
        admitted: Admitted,
        blobs: set[str],
        *,
        tell: Listener,
        stored: Callable[[str], None],
        stop: threading.Event,
    ) -> None: ...


@attrs.frozen(kw_only=True)
class Means:
    """What every errand works with."""

    cache: Cache
    claims: Claims
    records: Records
    by_swarm: BySwarm | None
    back_to_source: bool
    patience: Patience
    pauses: Pauses
    live: UnderWay = attrs.field(factory=UnderWay)
    activity: Activity = attrs.field(factory=Activity)
    traces: Traces = NO_TRACES
    readers: Readers = attrs.field(factory=Readers)


class Errand:
    """Runs once. `tell` is called by one thread at a time, whichever that is, and `lend` by the one that calls `run`."""

    def __init__(
        self, admitted: Admitted, *, means: Means, settings: Fetch, tell: Listener, lend: Lend, stop: threading.Event
    ) -> None:
        self._admitted, self._means, self._settings = admitted, means, settings
        self._progress = Progress(task=admitted.resolved.task, snapshot=admitted.snapshot)
        self._tell = means.activity.before(self._progress.before(_one_at_a_time(tell)))
        self._lend, self._stop = lend, stop
        self._ready: SimpleQueue[str | BaseException | None] = SimpleQueue()
        self._moved: set[str] = set()
        self._wanted: dict[str, list[int]] = {}
        # content that nothing pins is nobody else's: another errand would be given it under the same id
        self._task = admitted.resolved.task + ("" if admitted.joined else f"-{secrets.token_hex(8)}")

    def run(self, numbers: Sequence[int]) -> None:
        """Lend every entry with one of these numbers. Raises what its way met, and Cancelled once `stop` is set.

        OutputError where the disk does not keep what was brought.
        """
        snapshot, means = self._admitted.snapshot, self._means
        entries = snapshot.entries
        for number in numbers:
            self._wanted.setdefault(entry_blob(entries[number], snapshot, task=self._task), []).append(number)
        alone = [blob for blob in self._wanted if blob.startswith("alone-")] if self._admitted.joined is None else []
        self._progress.files, self._progress.bytes = len(numbers), sum(entries[n].size or 0 for n in numbers)
        with ExitStack() as stack:
            stack.enter_context(means.activity.errand(time.monotonic))
            stack.enter_context(means.live.listed(self._progress))
            stack.enter_context(means.cache.in_use(self._wanted))
            for blob in alone:
                stack.callback(means.cache.remove, blob)
            lent: set[str] = set()
            for _ in range(_TRIES):
                lacking = set(self._wanted) - lent
                if lacking:
                    self._lend_all(lacking, lent, stack)
            if lacking := set(self._wanted) - lent:
                raise OutputError(
                    f"{len(lacking)} of {len(self._wanted)} blobs were damaged in the cache each time they were brought",
                    hint="look at the disk below the daemon's --data-dir; its log names the blobs",
                )
            means.records.note(self._admitted, brought=lent)

    def _lend_all(self, lacking: set[str], lent: set[str], stack: ExitStack) -> None:
        """Lend what there is of `lacking`, each as soon as it is here, and add it to `lent`."""
        worker = threading.Thread(target=self._bring_all, args=(lacking,), name="dfly-errand", daemon=True)
        worker.start()
        # when this errand ends, however it does, nothing of it goes on
        stack.callback(worker.join)
        stack.callback(self._stop.set)
        while (news := self._ready.get()) is not None:
            if isinstance(news, BaseException):
                raise news
            blob = news
            if blob in self._wanted and blob not in lent and (held := self._means.cache.usable(blob)) is not None:
                lent.add(blob)
                self._say_cached(blob, held)
                self._means.activity.lends(held.size, moved=blob in self._moved)
                self._lend(self._wanted[blob], held)

    def _bring_all(self, lacking: set[str]) -> None:
        try:
            self._bring(lacking)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
            self._ready.put(error)
        else:
            self._ready.put(None)

    def _bring(self, lacking: set[str]) -> None:
        missing = set(lacking)
        while missing:
            for blob in [blob for blob in self._wanted if blob in missing]:
                if self._stop.is_set():
                    raise Cancelled
                if self._here(blob):
                    missing.discard(blob)
                    self._ready.put(blob)
            if not missing:
                return
            with self._means.claims.taken(missing) as mine:
                self._bring_mine({blob for blob in mine if self._means.cache.usable(blob) is None})
            if not mine:
                self._means.claims.wait(missing, until=self._stop.is_set, seconds=0.5)

    def _here(self, blob: str) -> bool:
        # while somebody brings it, it may be there already, but not counted yet
        return blob not in self._means.claims and self._means.cache.usable(blob) is not None

    def _bring_mine(self, blobs: set[str]) -> None:
        if not blobs:
            return
        sizes = {blob: self._entry(blob).size or 0 for blob in blobs}
        with self._means.cache.room_for(sizes):
            if self._admitted.joined is not None and self._means.by_swarm is not None:
                try:
                    self._by_swarm(blobs, self._admitted.joined.freight(), self._means.by_swarm)
                except SwarmError as error:
                    if not self._means.back_to_source:
                        raise
                    self._tell(Warned(message=f"{error.message}; going back to the source"))
                blobs = {blob for blob in blobs if self._means.cache.usable(blob) is None}
            if blobs and not self._means.back_to_source:
                raise SwarmError(f"the seed peers brought {len(blobs)} files less than were asked for")
            if blobs:
                self._from_source(blobs)

    def _by_swarm(self, blobs: set[str], freight: Freight, by_swarm: BySwarm) -> None:
        """What the ring brings; small files only if there is room for the whole pack that they travel in."""
        cache = self._means.cache
        blobs = blobs - cut_out(freight, blobs, cache=cache)
        with ExitStack() as stack:
            try:
                if along := brought_along(freight, blobs, cache=cache):
                    stack.enter_context(cache.room_for(along))
            except OutputError as error:
                if not self._means.back_to_source:
                    raise
                self._tell(Warned(message=f"{error.message}; small files come one by one, from the source"))
                blobs = blobs.difference(freight.pack.blobs if freight.pack else ())
            if blobs:
                by_swarm(self._admitted, blobs, tell=self._tell, stored=self._stored, stop=self._stop)

    def _from_source(self, blobs: set[str]) -> None:
        wanted = {blob: [self._entry_of(n) for n in numbers] for blob, numbers in self._wanted.items() if blob in blobs}
        cache, readers = self._means.cache, self._means.readers
        arrivals = direct_arrivals(wanted, cache=cache, emit=self._tell, stored=self._stored, readers=readers)
        fetch_directly(
            arrivals,
            self._admitted.backend(),
            settings=self._settings,
            patience=self._means.patience,
            pauses=self._means.pauses,
            emit=self._tell,
            stop=self._stop,
        )

    def _stored(self, blob: str) -> None:
        self._moved.add(blob)
        self._means.claims.give_back([blob])
        self._ready.put(blob)

    def _say_cached(self, blob: str, held: Committed) -> None:
        if blob in self._moved:
            return
        entry = self._entry(blob)
        digest = pick(entry.digests)
        self._tell(FileStarted(path=entry.path, bytes=held.size, had=0))
        self._tell(BytesArrived(path=entry.path, bytes=held.size, source="cache"))
        self._tell(FileVerified(path=entry.path, digest=str(digest) if digest else None))

    def _entry(self, blob: str) -> Entry:
        return self._entry_of(self._wanted[blob][0])

    def _entry_of(self, number: int) -> Entry:
        return self._admitted.snapshot.entries[number]


def _one_at_a_time(tell: Listener) -> Listener:
    """Events come from every thread that brings something; `tell` hears them in turn."""
    telling = threading.Lock()

    def told(event: Event) -> None:
        with telling:
            tell(event)

    return told
