"""Whatever a backend's `get` does, the bytes come complete and in order, or the right error does."""

import threading

import pytest
from tests.origin.conftest import CONTENT, HASTY

from dfly.backend import Backend, NoOptions
from dfly.errors import (
    AccessDenied,
    Cancelled,
    Changed,
    Expired,
    NotFound,
    OriginUnavailable,
    PluginError,
    RangesUnsupported,
    RateLimited,
)
from dfly.origin.patience import MOST_RENEWALS, Patient
from dfly.origin.pauses import Pauses
from dfly.testing import faults
from dfly.values import Entry


class Scripted(Backend):
    """Not HTTP: each call of `get` plays the next act, a list of chunks with perhaps an error at the end."""

    schemes = ("scripted",)

    def __init__(self, *acts):
        super().__init__(NoOptions(), None)
        self.acts = list(acts)
        self.asked = []
        self.closed = 0

    def stat(self, url):
        raise NotFound(url)

    def list(self, url):
        raise NotFound(url)

    def get(self, entry, start, stop):
        self.asked.append((start, stop))
        try:
            for line in self.acts.pop(0):
                if isinstance(line, Exception):
                    raise line
                yield line
        finally:
            self.closed += 1


ENTRY = Entry("f", 10, "scripted://host/f", "f")
AWAY = OriginUnavailable("away")


def read(*acts, entry=ENTRY, start=0, stop=None, cancel=None, retries=None, congestion=None):
    backend = Scripted(*acts)
    patient = Patient(
        backend,
        patience=HASTY,
        pauses=Pauses(longest=HASTY.longest_pause),
        on_retry=lambda *retry: (retries if retries is not None else []).append(retry),
        cancel=cancel or threading.Event(),
        on_congestion=lambda: (congestion if congestion is not None else []).append(1),
    )
    return backend, patient.read(entry, start, stop)


def test_a_truncated_body_resumes_at_the_offset():
    retries = []
    backend, chunks = read([b"012", b"34", AWAY], [b"56789"], retries=retries)
    assert b"".join(chunks) == b"0123456789"
    assert backend.asked == [(0, 10), (5, 10)]
    assert retries == [("f", "away", 0.0)]


def test_too_few_bytes_without_an_error_are_a_failure_too():
    backend, chunks = read([b"01234"], [b"56789"])
    assert b"".join(chunks) == b"0123456789"
    assert backend.asked == [(0, 10), (5, 10)]


def test_too_many_bytes_are_the_plugins_fault_and_never_reach_the_reader():
    _, chunks = read([b"01234", b"56789!"])
    assert next(chunks) == b"01234"
    with pytest.raises(PluginError, match="Scripted"):
        next(chunks)


def test_only_progress_resets_the_budget():
    backend, chunks = read(*[[bytes([byte]), AWAY] for byte in b"0123456789"])
    assert b"".join(chunks) == b"0123456789"
    backend, chunks = read(*[[AWAY]] * 20)
    with pytest.raises(OriginUnavailable):
        b"".join(chunks)
    assert len(backend.asked) == HASTY.tries


def test_an_error_after_the_last_byte_does_not_matter():
    backend, chunks = read([b"0123456789", AWAY])
    assert b"".join(chunks) == b"0123456789"
    assert len(backend.asked) == 1


def test_an_expired_link_is_renewed_at_once_and_costs_no_patience():
    retries = []
    _backend, chunks = read(*[[Expired("old")]] * MOST_RENEWALS, [b"0123456789"], retries=retries)
    assert b"".join(chunks) == b"0123456789"
    assert retries == [("f", "old", 0.0)] * MOST_RENEWALS


def test_links_that_are_refused_again_and_again_are_a_refusal():
    backend, chunks = read(*[[Expired("old")]] * 20)
    with pytest.raises(AccessDenied):
        b"".join(chunks)
    assert len(backend.asked) == MOST_RENEWALS + 1


def test_renewals_with_progress_between_them_go_on_for_ever():
    _backend, chunks = read(*[[bytes([byte]), Expired("old")] for byte in b"0123456789"])
    assert b"".join(chunks) == b"0123456789"


def test_a_rate_limit_is_waited_out_as_asked():
    retries, congestion = [], []
    _backend, chunks = read(
        [RateLimited("slow down", after=0.01)], [b"0123456789"], retries=retries, congestion=congestion
    )
    assert b"".join(chunks) == b"0123456789"
    assert (retries, congestion) == ([("f", "slow down", 0.01)], [1])


def test_a_rate_limit_that_is_too_long_is_final():
    _backend, chunks = read([RateLimited("come back tomorrow", after=86400)], [b"0123456789"])
    with pytest.raises(RateLimited, match="tomorrow"):
        b"".join(chunks)


def test_a_rate_limit_that_never_ends_is_final():
    backend, chunks = read(*[[RateLimited("no")]] * 20)
    with pytest.raises(RateLimited):
        b"".join(chunks)
    assert len(backend.asked) == HASTY.tries


@pytest.mark.parametrize(
    "error", [NotFound("x"), AccessDenied("x"), Changed("x"), RangesUnsupported("x"), ValueError("x")]
)
def test_what_another_try_cannot_mend_passes_through(error):
    backend, chunks = read([b"01", error], [b"23456789"])
    with pytest.raises(type(error)):
        b"".join(chunks)
    assert len(backend.asked) == 1


def test_httpx_errors_of_a_plugins_own_get_are_understood():
    import httpx

    _backend, chunks = read([b"01", httpx.ReadError("reset")], [b"23456789"])
    assert b"".join(chunks) == b"0123456789"


def test_an_unknown_size_ends_where_the_backend_says():
    backend, chunks = read([b"012", AWAY], [b"34"], entry=Entry("f", None, "scripted://f", "f"))
    assert b"".join(chunks) == b"01234"
    assert backend.asked == [(0, None), (3, None)]


def test_a_cancelled_read_ends_between_chunks_and_in_waits():
    cancel = threading.Event()
    backend, chunks = read([b"012", b"345"], cancel=cancel)
    next(chunks)
    cancel.set()
    with pytest.raises(Cancelled):
        next(chunks)
    assert backend.closed == 1
    cancel.clear()
    backend, chunks = read([RateLimited("wait", after=1.9)], cancel=cancel, retries=_Setting(cancel))
    with pytest.raises(Cancelled):
        next(chunks)


class _Setting(list):
    def __init__(self, event):
        super().__init__()
        self._event = event

    def append(self, item):
        self._event.set()


def test_an_abandoned_read_closes_what_it_read_from():
    backend, chunks = read([b"012", b"345"])
    next(chunks)
    chunks.close()
    assert backend.closed == 1


# over HTTP


def test_links_that_run_out_are_renewed_and_the_file_is_whole(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=2)))
    parts = [rig.fetch(entry, start, start + 1000) for start in range(0, 10_000, 1000)]
    assert b"".join(parts) == CONTENT[:10_000]
    assert len(hub.asked("m")) == 5
    assert cdn.leaks == []


def test_an_expired_link_in_the_middle_of_a_file_goes_on_at_the_offset(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=1)))
    cdn.fault("m", faults.truncated(5000))
    assert rig.fetch(entry) == CONTENT
    assert [seen.range for seen in cdn.asked("m")] == [None, *[f"bytes=5000-{len(CONTENT) - 1}"] * 2]


def test_a_429_pauses_every_reader_of_that_host(timeless, hub, entry_of):
    one, two = entry_of(hub.add("1", CONTENT)), entry_of(hub.add("2", CONTENT))
    hub.fault("1", faults.status(429, retry_after="0.5"))
    with pytest.raises(RateLimited) as caught:
        timeless.read(one, 0, 10)
    assert caught.value.after == 0.5
    assert timeless.fetch(two, 0, 10) == CONTENT[:10]
    assert [(cause, after) for _, cause, after in timeless.retries] == [(f"{hub.url} asked for a pause", 0.5)]
    assert len(hub.asked("2")) == 1


def test_a_503_with_a_pause_keeps_it(timeless, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.status(503, retry_after="0.5"))
    assert timeless.fetch(entry, 0, 10) == CONTENT[:10]
    assert len(hub.asked("m")) == 2
    assert "asked for a pause" in timeless.retries[1][1]


def test_an_origin_that_is_down_is_an_error_after_the_last_try(rig, hub, entry_of):
    entry = entry_of(hub.url_of("m"))
    hub.close()
    with pytest.raises(OriginUnavailable, match="refused"):
        rig.fetch(entry)
    assert len(rig.retries) == HASTY.tries - 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(503),
        faults.status(429),
        faults.status(408),
        faults.truncated(1),
        faults.wrong_start(),
        faults.wrong_length(7),
        faults.wrong_length(-7),
        faults.shorter(9),
        faults.silent(),
        faults.web_page(),
        faults.ok_with_content_range(),
        faults.chunked(),
        faults.until_closed(),
        faults.unsatisfiable(),
    ],
)
def test_a_fault_that_passes_costs_no_byte(rig, hub, entry_of, fault):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", fault)
    assert rig.fetch(entry, 1000, 100_000) == CONTENT[1000:100_000]
