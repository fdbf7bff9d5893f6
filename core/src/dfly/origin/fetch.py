"""One pool of worker threads for many files: takes spans from jobs, in order, and drives bytes from reader to writer.

Workers take the next span of the first job that has one, so the same pool serves thousands of small files and the
parallel ranges of a large one, earliest bytes first. Two promises make it safe to use: `finished` is called once per
job, and after it no writer of that job is called again.
"""

import threading
import time
from bisect import insort
from collections.abc import Callable
from typing import Self

from dfly.errors import Cancelled, RangesUnsupported
from dfly.origin.concurrency import WINDOW, Concurrency
from dfly.origin.jobs import Dropped, Job, Span, SpanWriter, Task
from dfly.origin.throttle import Throttle

__all__ = ["Fetcher", "Job", "SpanWriter"]

#: The priority of what somebody waits for.
_AT_ONCE = -1
#: How long `close` waits for workers that are stuck in a read before it leaves them to end by themselves.
FAREWELL = 1.0


class _Worker:
    """A thread and the bytes that it has moved; the sum is read without a lock, so each has its own counter."""

    def __init__(self, run: Callable[["_Worker"], None], number: int) -> None:
        self.moved = 0
        self.thread = threading.Thread(target=run, args=(self,), name=f"dfly-fetch-{number}", daemon=True)


class Fetcher:
    """The pool: at most `concurrency` threads, started as they are needed and as long as more of them help.

    `throttle` is shared by all. Setting `cancel` ends every job with Cancelled at once. Thread-safe; a context manager.
    """

    def __init__(self, *, concurrency: int, throttle: Throttle | None, cancel: threading.Event) -> None:
        self._throttle = throttle
        self._cancel = cancel
        self._limit = Concurrency(concurrency)
        self._changed = threading.Condition()
        self._queue: list[Task] = []
        self._live: set[Task] = set()
        self._workers: list[_Worker] = []
        self._conductor: threading.Thread | None = None
        self._submitted = self._busy = self._idle = 0
        self._closed = False

    def submit(self, job: Job, priority: int = 0) -> None:
        """Fetch `job` after all earlier ones of its priority and those of lower numbers. Returns at once."""
        with self._changed:
            refused = self._closed or self._cancel.is_set()
            if not refused:
                task = Task(job, (priority, self._submitted))
                self._submitted += 1
                self._live.add(task)
                self._enqueue(task)
        if refused:
            job.finished(Cancelled())

    def hurry(self, job: Job) -> None:
        """Take the spans of `job` before all others from now on. Harmless where it has none left."""
        with self._changed:
            task = next((queued for queued in self._queue if queued.job is job), None)
            if task is not None:
                self._queue.remove(task)
                task.order = (_AT_ONCE, self._submitted)
                self._submitted += 1
                self._enqueue(task)

    def congested(self) -> None:
        """The origin refused for load: go on with half as many connections. For `Patient(on_congestion=…)`."""
        with self._changed:
            self._limit.congested()

    def close(self) -> None:
        """End what is unfinished with Cancelled, and the threads. Returns within about a second."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            workers = list(self._workers)
        self._end_all()
        until = time.monotonic() + FAREWELL
        for worker in workers:
            if worker.thread is not threading.current_thread():
                worker.thread.join(max(0.0, until - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Taking spans

    def _enqueue(self, task: Task) -> None:
        insort(self._queue, task, key=lambda queued: queued.order)
        if self._conductor is None:
            self._conductor = threading.Thread(target=self._conduct, name="dfly-fetch-conductor", daemon=True)
            self._conductor.start()
        self._hire()
        self._changed.notify_all()

    def _hire(self) -> None:
        if self._queue and not self._idle and len(self._workers) < self._limit.allowed and not self._closed:
            worker = _Worker(self._work, len(self._workers))
            self._workers.append(worker)
            worker.thread.start()

    def _work(self, worker: _Worker) -> None:
        while (span := self._take()) is not None:
            try:
                self._run(span, worker)
            finally:
                with self._changed:
                    self._busy -= 1

    def _take(self) -> Span | None:
        """The next span, or None when the pool is closed. Settles the jobs it finds to be over on the way."""
        while True:
            with self._changed:
                while not self._closed and (not self._queue or self._busy >= self._limit.allowed):
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                if self._closed:
                    return None
                task = self._queue[0]
                found, failure = _next_of(task)
                if found is not None:
                    span = Span(task, *found)
                    task.running.add(span)
                    self._busy += 1
                    self._hire()
                    return span
                self._queue.remove(task)
                # noted at once: who ends the last span meanwhile must not take the job for done
                task.spans, task.failure = None, failure
                over = failure is not None or not task.running
            if over:
                self._end(task, failure)

    # Moving bytes

    def _run(self, span: Span, worker: _Worker) -> None:
        task = span.task
        try:
            self._pump(span, worker)
        except Dropped:
            return
        except BaseException as error:  # noqa: BLE001 - it belongs to the job, not to this worker
            if isinstance(error, RangesUnsupported) and self._restart(span):
                return
            if not span.dropped:
                self._end(task, error, but=span)
            return
        with self._changed:
            task.running.discard(span)
            over = task.spans is None and not task.running and not span.dropped
        if over:
            self._end(task, task.failure)

    def _pump(self, span: Span, worker: _Worker) -> None:
        job, throttle = span.task.job, self._throttle
        chunks = job.read(span.start, span.stop)
        try:
            # `writing` goes up before `dropped` is read, so whoever sets `dropped` and then sees `writing` down knows
            # that nothing will be written any more; a lock per chunk would cost more than the chunk
            span.writing = True
            if span.dropped:
                raise Dropped
            writer = job.writer(span.start, span.stop)
            span.writing = False
            for chunk in chunks:
                if throttle is not None:
                    throttle.take(len(chunk), self._cancel)
                span.writing = True
                if span.dropped:
                    raise Dropped
                writer.write(chunk)
                span.writing = False
                worker.moved += len(chunk)
            span.writing = True
            if span.dropped:
                raise Dropped
            writer.close()
        finally:
            span.writing = False
            close = getattr(chunks, "close", None)
            if close is not None:
                close()

    # Ending and restarting

    def _restart(self, span: Span) -> bool:
        """Fetch the whole job as one stream from now on; False where that is what failed."""
        task = span.task
        with self._changed:
            if span.dropped or task.ended:
                return True
            if task.restarted:
                return False
            task.restarted = True
            dropped = self._drop(task)
        _wait_for(dropped, but=span)
        try:
            spans = iter(task.job.restart())
        except BaseException as error:  # noqa: BLE001 - it belongs to the job, not to this worker
            self._end(task, error)
            return True
        with self._changed:
            if not task.ended:
                task.spans = spans
                self._enqueue(task)
        return True

    def _end(self, task: Task, error: BaseException | None, *, but: Span | None = None) -> None:
        """Tell the job, once, after its other spans have stopped writing."""
        with self._changed:
            if task.ended:
                return
            task.ended = True
            self._live.discard(task)
            dropped = self._drop(task)
        _wait_for(dropped, but=but)
        try:
            task.job.finished(error)
        except Exception:  # noqa: BLE001 - a worker that dies here would take the other jobs with it
            import structlog  # never needed but here, and it brings rich along

            structlog.get_logger().exception("fetch.callback_failed", job=task.job.name)

    def _drop(self, task: Task) -> set[Span]:
        """Let nothing of `task` run on or begin. The caller holds the lock."""
        if task in self._queue:
            self._queue.remove(task)
        task.spans = None
        dropped, task.running = task.running, set()
        for span in dropped:
            span.dropped = True
        return dropped

    def _end_all(self) -> None:
        with self._changed:
            live = sorted(self._live, key=lambda task: task.order)
        for task in live:
            self._end(task, Cancelled())

    def _conduct(self) -> None:
        """While there are jobs: notice `cancel`, and let the measured rate decide how many workers there are."""
        while True:
            with self._changed:
                while not self._live and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
            if self._cancel.wait(WINDOW):
                self._end_all()
            with self._changed:
                self._limit.observe(sum(worker.moved for worker in self._workers), busy=self._busy)
                self._hire()
                self._changed.notify_all()


def _next_of(task: Task) -> tuple[tuple[int, int | None] | None, BaseException | None]:
    """The job's next span, or None; or the error that its spans raised, which is the job's and not the worker's."""
    try:
        return (None if task.spans is None else next(task.spans, None)), None
    except BaseException as error:  # noqa: BLE001 - see above
        return None, error


def _wait_for(spans: set[Span], *, but: Span | None) -> None:
    """Return when none of the dropped spans is inside its writer; that takes one write at most."""
    while any(span.writing for span in spans if span is not but):
        time.sleep(0.0005)
