"""Back-to-source in this process: the embedded default, and what a node falls back to. Arrivals in, files out."""

import threading
from collections.abc import Sequence
from functools import partial

import attrs

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.errors import InUse
from dfly.events import Listener, Retrying, Warned
from dfly.node.arrival import Arrival
from dfly.origin.fetch import Fetcher, Job
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.origin.throttle import Throttle


def fetch_directly(
    arrivals: Sequence[Arrival],
    backend: Backend,
    *,
    settings: Fetch,
    patience: Patience,
    pauses: Pauses,
    emit: Listener,
    stop: threading.Event,
) -> None:
    """Bring every arrival from the origin and settle it. Raises the first error, after the others have stopped.

    `stop` is the task's own event: it is set here to end the workers early.
    """
    try:
        with Fetcher(concurrency=settings.concurrency, throttle=throttle_of(settings), cancel=stop) as fetcher:
            bringer = _Bringer(fetcher, backend, patience, pauses, emit, stop)
            try:
                for arrival in arrivals:
                    bringer.bring(arrival)
                # in one order in all processes, and only when all else is done, so that no two wait for each other
                for arrival in bringer.settled():
                    if not arrival.await_turn(stop):
                        bringer.bring(arrival)
                        bringer.settled()
            except BaseException:
                stop.set()
                raise
    finally:
        for arrival in arrivals:
            arrival.close()


def throttle_of(settings: Fetch) -> Throttle | None:
    """What keeps to the limit that `settings` set; None where they set none."""
    return Throttle(settings.limit_rate) if settings.limit_rate else None


class _Outcomes:
    """Arrivals on their way. Wakes who waits for a failure and for the last one: thousands of files need not a thousand wakes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._underway = 0
        self._failures: list[tuple[Arrival, BaseException]] = []

    def expect(self) -> None:
        """There is one more."""
        with self._lock:
            self._underway += 1

    def come(self, arrival: Arrival, error: BaseException | None) -> None:
        """This one is there, or failed."""
        with self._lock:
            self._underway -= 1
            if error is not None:
                self._failures.append((arrival, error))
            if error is not None or not self._underway:
                self._news.set()

    def wait(self) -> tuple[bool, list[tuple[Arrival, BaseException]]]:
        """Whether there is more to come, and what has failed since the last time."""
        # a signal that comes just before the main thread blocks is handled when it next runs, so it must not block for ever
        if self._underway:
            self._news.wait(0.2)
        with self._lock:
            self._news.clear()
            failures, self._failures = self._failures, []
            return self._underway > 0, failures


@attrs.define
class _Bringer:
    """Turns arrivals into fetcher jobs, and a wrong digest into one more job."""

    fetcher: Fetcher
    backend: Backend
    patience: Patience
    pauses: Pauses
    emit: Listener
    stop: threading.Event
    _outcomes: _Outcomes = attrs.field(init=False, factory=_Outcomes)

    def bring(self, arrival: Arrival) -> None:
        """Begin with one; `settled` tells how it ended."""
        self._outcomes.expect()
        self._submit(arrival)

    def _submit(self, arrival: Arrival) -> None:
        entry = arrival.entry
        patient = Patient(
            self.backend,
            patience=self.patience,
            pauses=self.pauses,
            on_retry=lambda path, cause, after: self.emit(Retrying(path=path, cause=cause, after=after)),
            cancel=self.stop,
            on_congestion=self.fetcher.congested,
        )
        self.fetcher.submit(
            Job(
                name=entry.path,
                read=partial(patient.read, entry),
                spans=arrival.spans(),
                writer=partial(arrival.writer, source="hub"),
                finished=partial(self._finished, arrival),
                restart=partial(arrival.spans, whole=True),
            )
        )

    def settled(self) -> list[Arrival]:
        """Wait for all that was begun; those that another process is bringing. Raises the first error of another kind."""
        busy: list[Arrival] = []
        more = True
        while more:
            more, failures = self._outcomes.wait()
            for arrival, error in failures:
                if not isinstance(error, InUse):
                    raise error
                self.emit(Warned(message=f"{error.message}; waiting for it"))
                busy.append(arrival)
        return sorted(busy, key=lambda arrival: arrival.entry.path)

    def _finished(self, arrival: Arrival, error: BaseException | None) -> None:
        if error is None:
            try:
                if not arrival.settle():
                    self._submit(arrival)
                    return
            except BaseException as failed:  # noqa: BLE001 - it is raised again where the task waits
                error = failed
        self._outcomes.come(arrival, error)
