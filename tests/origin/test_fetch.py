"""The pool: spans in order, each job settled once, nothing written afterwards."""

import threading
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue

import attrs
import pytest
from tests.origin.conftest import CONTENT, HASTY

from dfly.errors import Cancelled, NotFound, RangesUnsupported
from dfly.origin.fetch import Fetcher, Job
from dfly.origin.patience import Patient
from dfly.origin.throttle import Throttle
from dfly.testing import faults

SPAN = 64 * 1024
SOON = 60.0


def spans_of(size: int, length: int = SPAN) -> list[tuple[int, int | None]]:
    return [(start, min(start + length, size)) for start in range(0, size, length)]


class Sink:
    """A file in memory and its job; notes what happens."""

    def __init__(self, read, *, name="f", size=None, spans=None):
        size = len(CONTENT) if size is None else size
        self.data = bytearray(size)
        self.closed: list[tuple[int, int | None]] = []
        self.outcomes: SimpleQueue[BaseException | None] = SimpleQueue()
        self.settled = threading.Event()
        self.late_writes = 0
        self.restarts = 0
        self.opened: list[tuple[int, int | None]] = []
        self.job = Job(
            name=name,
            read=read,
            spans=iter(spans_of(size) if spans is None else spans),
            writer=self.writer,
            finished=self.finished,
            restart=self.restart,
        )

    def writer(self, start, stop):
        self.opened.append((start, stop))
        return _Writer(self, start, stop)

    def finished(self, error):
        self.outcomes.put(error)
        self.settled.set()

    def restart(self):
        self.restarts += 1
        return iter([(0, None)])

    def outcome(self) -> BaseException | None:
        error = self.outcomes.get(timeout=SOON)
        assert self.outcomes.empty()
        return error


class _Writer:
    def __init__(self, sink, start, stop):
        self._sink, self._at, self._span = sink, start, (start, stop)

    def write(self, data):
        if self._sink.settled.is_set():
            self._sink.late_writes += 1
        self._sink.data[self._at : self._at + len(data)] = data
        self._at += len(data)

    def close(self):
        self._sink.closed.append(self._span)


def content(start: int, stop: int | None) -> Iterator[bytes]:
    yield CONTENT[start:stop]


@pytest.fixture
def cancel():
    return threading.Event()


@pytest.fixture
def fetcher(cancel):
    with Fetcher(concurrency=4, throttle=None, cancel=cancel) as made:
        yield made


def test_a_job_is_finished_once_after_its_last_span_is_closed(fetcher):
    sink = Sink(content)
    fetcher.submit(sink.job)
    assert sink.outcome() is None
    assert sink.data == CONTENT
    assert sorted(sink.closed) == spans_of(len(CONTENT))


def test_a_job_without_spans_is_finished(fetcher):
    sink = Sink(content, spans=[])
    fetcher.submit(sink.job)
    assert sink.outcome() is None


def test_many_small_files_share_the_pool(fetcher):
    before = set(threading.enumerate())
    sinks = [Sink(content, size=100 + n) for n in range(200)]
    for sink in sinks:
        fetcher.submit(sink.job)
    assert [sink.outcome() for sink in sinks] == [None] * 200
    assert all(sink.data == CONTENT[: len(sink.data)] for sink in sinks)
    # four workers and who sends them; other tests of this process may have left threads of their own
    pool = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("dfly-fetch")]
    assert 1 <= len(pool) <= 5


def test_spans_are_taken_in_order_of_priority_then_submission_then_offset(cancel):
    taken = []
    begun, gate = threading.Event(), threading.Event()

    def read(name, start, stop):
        begun.set()
        assert gate.wait(SOON)
        taken.append((name, start))
        yield CONTENT[start:stop]

    with Fetcher(concurrency=1, throttle=None, cancel=cancel) as fetcher:
        first = Sink(partial(read, "first"), size=2 * SPAN)
        late = Sink(partial(read, "late"), size=2 * SPAN)
        urgent = Sink(partial(read, "urgent"), size=2 * SPAN)
        fetcher.submit(first.job)
        assert begun.wait(SOON)
        fetcher.submit(late.job)
        fetcher.submit(urgent.job, priority=-1)
        gate.set()
        assert [sink.outcome() for sink in (first, late, urgent)] == [None] * 3
    assert taken == [
        ("first", 0),
        ("urgent", 0),
        ("urgent", SPAN),
        ("first", SPAN),
        ("late", 0),
        ("late", SPAN),
    ]


def test_no_more_spans_run_at_once_than_allowed(cancel):
    running, most = [0], [0]
    lock = threading.Lock()
    both = threading.Barrier(2)

    def read(start, stop):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        both.wait(SOON)
        yield CONTENT[start:stop]
        with lock:
            running[0] -= 1

    with Fetcher(concurrency=2, throttle=None, cancel=cancel) as fetcher:
        sink = Sink(read)
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert most[0] == 2


def test_the_first_error_ends_the_job_and_only_it(fetcher):
    def broken(start, stop):
        yield CONTENT[start : start + 10]
        if start == 2 * SPAN:
            raise NotFound("gone")
        yield CONTENT[start + 10 : stop]

    bad, good = Sink(broken), Sink(content)
    fetcher.submit(bad.job)
    fetcher.submit(good.job)
    assert isinstance(bad.outcome(), NotFound)
    assert good.outcome() is None
    assert (2 * SPAN, 3 * SPAN) not in bad.closed


def test_nothing_is_written_after_a_job_is_finished(cancel):
    blocked, go = threading.Semaphore(0), threading.Event()

    def read(start, stop):
        if start == 0:
            assert blocked.acquire(timeout=SOON)
            raise NotFound("gone")
        yield CONTENT[start : start + 10]
        blocked.release()
        assert go.wait(SOON)
        yield CONTENT[start + 10 : stop]

    with Fetcher(concurrency=2, throttle=None, cancel=cancel) as fetcher:
        sink = Sink(read)
        fetcher.submit(sink.job)
        assert isinstance(sink.outcome(), NotFound)
        go.set()
    assert (sink.late_writes, sink.closed) == (0, [])


def test_a_write_under_way_is_waited_for(cancel):
    entered, leave = threading.Event(), threading.Event()

    class Slow(Sink):
        def writer(self, start, stop):
            writer = super().writer(start, stop)
            if start == 0:
                plain = writer.write

                def write(data):
                    entered.set()
                    assert leave.wait(SOON)
                    assert self.outcomes.empty()
                    plain(data)

                writer.write = write
            return writer

    def read(start, stop):
        if start > 0:
            assert entered.wait(SOON)
            threading.Timer(0.02, leave.set).start()
            raise NotFound("gone")
        yield CONTENT[start:stop]

    with Fetcher(concurrency=2, throttle=None, cancel=cancel) as fetcher:
        sink = Slow(read, size=2 * SPAN)
        fetcher.submit(sink.job)
        assert isinstance(sink.outcome(), NotFound)
    assert (bytes(sink.data[:SPAN]), sink.late_writes) == (CONTENT[:SPAN], 0)


@pytest.mark.parametrize("where", ["read", "writer", "write", "close", "spans"])
def test_an_error_anywhere_is_the_jobs(fetcher, where):
    class Sick(Sink):
        def writer(self, start, stop):
            if where == "writer":
                raise OSError("sick")
            made = super().writer(start, stop)
            if where in ("write", "close"):
                setattr(made, where, self.fail)
            return made

        def fail(self, *_):
            raise OSError("sick")

    def read(start, stop):
        if where == "read":
            raise OSError("sick")
        return content(start, stop)

    def spans():
        yield (0, SPAN)
        raise OSError("sick")

    sink = Sick(read, spans=spans() if where == "spans" else None)
    fetcher.submit(sink.job)
    assert str(sink.outcome()) == "sick"
    after = Sink(content)
    fetcher.submit(after.job)
    assert after.outcome() is None


def test_spans_that_fail_while_the_last_one_ends_are_a_failure(fetcher, monkeypatch):
    """Whoever asks for the next span notes the failure before it ends the job; another worker may end it first."""
    ends, ended_first = fetcher._end, threading.Event()

    def end(task, error, **how):
        # the worker that heard of the failure is slow; the one with the last span is not
        if error is not None and threading.current_thread() is not last[0]:
            ended_first.wait(30)
        ends(task, error, **how)
        ended_first.set()

    last, asked = [], threading.Event()

    def read(start, stop):
        last.append(threading.current_thread())
        asked.wait(30)
        return content(start, stop)

    def spans():
        yield (0, SPAN)
        asked.set()
        raise OSError("sick")

    monkeypatch.setattr(fetcher, "_end", end)
    sink = Sink(read, spans=spans())
    fetcher.submit(sink.job)
    assert str(sink.outcome()) == "sick"


def test_a_callback_that_fails_does_not_take_the_pool_along(cancel):
    with Fetcher(concurrency=1, throttle=None, cancel=cancel) as fetcher:
        sick, well = Sink(content, size=10), Sink(content)
        object.__setattr__(sick.job, "finished", lambda error: 1 / 0)
        fetcher.submit(sick.job)
        fetcher.submit(well.job)
        assert well.outcome() is None


def test_a_callback_may_submit_the_next_job(fetcher):
    second = Sink(content)
    first = Sink(content)
    object.__setattr__(first.job, "finished", lambda error: fetcher.submit(second.job))
    fetcher.submit(first.job)
    assert second.outcome() is None


def test_without_ranges_a_job_falls_back_to_one_stream(fetcher):
    def read(start, stop):
        if stop is not None:
            raise RangesUnsupported("whole files only")
        yield CONTENT

    sink = Sink(read)
    fetcher.submit(sink.job)
    assert sink.outcome() is None
    assert (sink.restarts, sink.closed, bytes(sink.data)) == (1, [(0, None)], CONTENT)


def test_a_fallback_that_fails_as_well_is_the_error(fetcher):
    def read(start, stop):
        raise RangesUnsupported("nothing at all")
        yield

    sink = Sink(read)
    fetcher.submit(sink.job)
    assert isinstance(sink.outcome(), RangesUnsupported)
    assert sink.restarts == 1


def test_a_fallback_begins_only_after_the_other_spans_have_stopped(cancel):
    writing, done = threading.Event(), threading.Event()

    class Watching(Sink):
        def writer(self, start, stop):
            made = super().writer(start, stop)
            if (start, stop) == (0, SPAN):
                plain = made.write

                def write(data):
                    writing.set()
                    assert done.wait(SOON)
                    assert self.restarts == 0
                    plain(data)

                made.write = write
            return made

    def read(start, stop):
        if start > 0:
            assert writing.wait(SOON)
            threading.Timer(0.02, done.set).start()
            raise RangesUnsupported("no")
        yield CONTENT[start:stop]

    with Fetcher(concurrency=2, throttle=None, cancel=cancel) as fetcher:
        sink = Watching(read)
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert sink.data == CONTENT


def test_cancelling_ends_every_job_even_one_whose_origin_is_silent(cancel):
    silence = threading.Event()

    def stuck(start, stop):
        silence.wait(SOON)
        yield CONTENT[start:stop]

    with Fetcher(concurrency=2, throttle=None, cancel=cancel) as fetcher:
        sinks = [Sink(stuck) for _ in range(3)]
        for sink in sinks:
            fetcher.submit(sink.job)
        cancel.set()
        assert [type(sink.outcome()) for sink in sinks] == [Cancelled] * 3
        silence.set()
    assert [sink.late_writes for sink in sinks] == [0, 0, 0]


def test_closing_ends_what_is_unfinished(cancel):
    silence, begun = threading.Event(), threading.Event()

    def stuck(start, stop):
        begun.set()
        silence.wait(SOON)
        yield CONTENT[start:stop]

    fetcher = Fetcher(concurrency=1, throttle=None, cancel=cancel)
    sink, waiting = Sink(stuck), Sink(stuck)
    fetcher.submit(sink.job)
    fetcher.submit(waiting.job)
    assert begun.wait(SOON)
    closing = threading.Thread(target=fetcher.close)
    closing.start()
    assert [type(s.outcome()) for s in (sink, waiting)] == [Cancelled] * 2
    silence.set()
    closing.join(SOON)
    assert not closing.is_alive()


def test_a_job_that_comes_too_late_is_cancelled(cancel):
    fetcher = Fetcher(concurrency=1, throttle=None, cancel=cancel)
    fetcher.close()
    sink = Sink(content)
    fetcher.submit(sink.job)
    assert isinstance(sink.outcome(), Cancelled)


def test_a_throttle_is_asked_for_every_byte(cancel):
    taken = []

    class Counting(Throttle):
        def take(self, n, event):
            taken.append(n)

    with Fetcher(concurrency=4, throttle=Counting(1e9), cancel=cancel) as fetcher:
        sink = Sink(content)
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert sum(taken) == len(CONTENT)


def test_congestion_lowers_the_number_of_workers(cancel):
    fetcher = Fetcher(concurrency=4, throttle=None, cancel=cancel)
    fetcher.congested()
    both, third = threading.Barrier(2), threading.Barrier(3)

    def read(start, stop):
        both.wait(SOON)
        with pytest.raises(threading.BrokenBarrierError):
            third.wait(0.01)
        yield CONTENT[start:stop]

    with fetcher:
        sink = Sink(read, size=4 * SPAN)
        fetcher.submit(sink.job)
        assert sink.outcome() is None


# The whole engine


def test_four_workers_deliver_every_byte_while_every_fault_occurs_once(rig, hub, cdn, entry_of, cancel):
    data = CONTENT * 8
    cdn.add("m", data)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=40)), data)
    for fault in (
        faults.status(500),
        faults.status(502),
        faults.status(503, retry_after="0.01"),
        faults.status(429, retry_after="0.01"),
        faults.status(403, b"<Message>Request has expired</Message>"),
        faults.truncated(1),
        faults.truncated(70_000),
        faults.shorter(1),
        faults.wrong_length(1000),
        faults.wrong_length(-1000),
        faults.wrong_start(),
        faults.ok_with_content_range(),
        faults.chunked(),
        faults.until_closed(),
        faults.slow(5e6),
        faults.silent(),
        faults.vanish(),
        faults.web_page(),
        faults.unsatisfiable(),
    ):
        cdn.fault("m", fault)
    hub.fault("m", faults.status(429, retry_after="0.01"))
    # so many faults in a row would try anybody's patience
    stoic = rig.patient(attrs.evolve(HASTY, tries=30))
    sink = Sink(partial(stoic.read, entry), size=len(data), spans=spans_of(len(data), 4 * SPAN))
    with Fetcher(concurrency=4, throttle=None, cancel=cancel) as fetcher:
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert sink.data == data
    assert cdn.leaks == []
    assert (cdn.due("m"), hub.due("m")) == (0, 0)


def test_an_origin_without_ranges_costs_one_more_request_per_worker_and_no_byte(rig, hub, entry_of, cancel):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.no_range(), times=99)
    sink = Sink(partial(rig.patient().read, entry))
    with Fetcher(concurrency=4, throttle=None, cancel=cancel) as fetcher:
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert (sink.data, sink.restarts) == (CONTENT, 1)
    assert len(hub.requests) <= 5


def test_an_origin_that_compresses_without_ranges_still_delivers(rig, hub, entry_of, cancel):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.no_range(), faults.gzip(), times=99)
    sink = Sink(partial(rig.patient().read, entry))
    with Fetcher(concurrency=4, throttle=None, cancel=cancel) as fetcher:
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert sink.data == CONTENT


def test_an_origin_that_is_congested_gets_fewer_connections(rig, hub, entry_of, cancel):
    from tests.origin.conftest import HASTY

    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.status(503), times=3)
    with Fetcher(concurrency=4, throttle=None, cancel=cancel) as fetcher:
        told = []

        def congested():
            told.append(1)
            fetcher.congested()

        patient = Patient(
            rig.backend,
            patience=HASTY,
            pauses=rig.backends.pauses,
            on_retry=lambda *_: None,
            cancel=cancel,
            on_congestion=congested,
        )
        sink = Sink(partial(patient.read, entry))
        fetcher.submit(sink.job)
        assert sink.outcome() is None
    assert len(told) == 3
