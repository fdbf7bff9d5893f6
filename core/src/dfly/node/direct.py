"""Back-to-source in this process: the embedded default, and what a node falls back to. Arrivals in, files out."""

import threading
from collections.abc import Sequence
from functools import partial
from queue import SimpleQueue
from typing import BinaryIO

import attrs

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.errors import IntegrityError
from dfly.events import BytesArrived, FileStarted, FileVerified, Listener, Retrying
from dfly.layout import MIB
from dfly.node.arrival import Arrival
from dfly.origin.fetch import Fetcher, Job
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.origin.throttle import Throttle
from dfly.store.hashing import new_hash, pick
from dfly.values import Entry


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
    throttle = Throttle(settings.limit_rate) if settings.limit_rate else None
    outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
    try:
        with Fetcher(concurrency=settings.concurrency, throttle=throttle, cancel=stop) as fetcher:
            bringer = _Bringer(fetcher, backend, patience, pauses, emit, stop, outcomes)
            for arrival in arrivals:
                bringer.bring(arrival)
            for _ in arrivals:
                error = outcomes.get()
                if error is not None:
                    stop.set()
                    raise error
    finally:
        for arrival in arrivals:
            arrival.close()


@attrs.define
class _Bringer:
    """Turns arrivals into fetcher jobs, and a wrong digest into one more job."""

    fetcher: Fetcher
    backend: Backend
    patience: Patience
    pauses: Pauses
    emit: Listener
    stop: threading.Event
    outcomes: "SimpleQueue[BaseException | None]"

    def bring(self, arrival: Arrival) -> None:
        entry = arrival.entry
        patient = Patient(
            self.backend,
            patience=self.patience,
            pauses=self.pauses,
            on_retry=lambda path, cause, after: self.emit(Retrying(path=path, cause=cause, after=after)),
            cancel=self.stop,
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

    def _finished(self, arrival: Arrival, error: BaseException | None) -> None:
        if error is None:
            try:
                if not arrival.settle():
                    self.bring(arrival)
                    return
            except BaseException as failed:  # noqa: BLE001 - it is raised again where the task waits
                error = failed
        self.outcomes.put(error)


def stream_to(
    stdout: BinaryIO,
    entry: Entry,
    backend: Backend,
    *,
    patience: Patience,
    pauses: Pauses,
    emit: Listener,
    stop: threading.Event,
) -> None:
    """Write one file to `stdout` in order, verified at the end: the reader has the bytes before the digest is known."""
    patient = Patient(
        backend,
        patience=patience,
        pauses=pauses,
        on_retry=lambda path, cause, after: emit(Retrying(path=path, cause=cause, after=after)),
        cancel=stop,
    )
    emit(FileStarted(path=entry.path, bytes=entry.size, had=0))
    expected = pick(entry.digests)
    running = None
    if expected is not None and (entry.size is not None or expected.algorithm != "git-sha1"):
        running = new_hash(expected.algorithm, entry.size)
    unsaid = 0
    for chunk in patient.read(entry, 0, entry.size):
        stdout.write(chunk)
        if running is not None:
            running.update(chunk)
        unsaid += len(chunk)
        if unsaid >= MIB:
            emit(BytesArrived(path=entry.path, bytes=unsaid, source="hub"))
            unsaid = 0
    emit(BytesArrived(path=entry.path, bytes=unsaid, source="hub"))
    stdout.flush()
    if running is not None and expected is not None and running.hexdigest() != expected.value:
        raise IntegrityError(
            entry.path,
            algorithm=expected.algorithm,
            expected=expected.value,
            actual=running.hexdigest(),
            hint="wrong bytes went to standard output; throw them away and try again",
        )
    emit(FileVerified(path=entry.path, digest=str(expected) if running is not None else None))
