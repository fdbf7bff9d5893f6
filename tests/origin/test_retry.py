"""API calls are tried again when that can help, and no more often."""

import threading

import httpx
import pytest
from tests.origin.conftest import HASTY, Clock

from dfly.config import Network, Patience
from dfly.errors import Cancelled, OriginUnavailable, RateLimited
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.retry import delay
from dfly.testing import faults


@pytest.fixture
def retries():
    return []


@pytest.fixture
def cancel():
    return threading.Event()


@pytest.fixture
def api(retries, cancel):
    clock = Clock()

    def note(*retry):
        retries.append(retry)
        clock.waited(*retry)

    with open_clients(
        Network(read_timeout=60.0),
        patience=HASTY,
        pauses=Pauses(longest=HASTY.longest_pause, clock=clock),
        cancel=cancel,
        on_retry=note,
    ) as clients:
        yield clients.api


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(api, hub, retries, status):
    hub.add("api", b'{"ok": true}')
    hub.fault("api", faults.status(status), times=2)
    assert api.get(hub.url_of("api")).json() == {"ok": True}
    assert len(hub.requests) == 3
    assert [cause for _, cause, _ in retries] == [f"{hub.url_of('api')} answered {status}"] * 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 501])
def test_what_will_not_pass_is_handed_out_at_once(api, hub, status):
    hub.fault("api", faults.status(status))
    assert api.get(hub.url_of("api")).status_code == status
    assert len(hub.requests) == 1


def test_the_last_refusal_is_handed_out_with_its_body(api, hub):
    hub.fault("api", faults.status(503, b"out to lunch", x_request_id="r1"), times=99)
    response = api.get(hub.url_of("api"))
    assert (response.status_code, response.text, response.headers["x-request-id"]) == (503, "out to lunch", "r1")
    assert len(hub.requests) == HASTY.tries


def test_a_huge_refusal_is_read_for_64_kib(api, hub):
    hub.fault("api", faults.status(404, b"x" * 1_000_000))
    assert len(api.get(hub.url_of("api")).content) == 64 * 1024


def test_a_cut_answer_is_tried_again(api, hub):
    hub.add("api", b"x" * 1000)
    hub.fault("api", faults.truncated(10))
    assert len(api.get(hub.url_of("api")).content) == 1000


def test_a_lost_connection_is_tried_again(api, hub, retries):
    hub.add("api", b"yes")
    hub.fault("api", faults.silent(), times=3)
    assert api.get(hub.url_of("api")).content == b"yes"
    assert len(retries) == 1


def test_no_answer_at_all_is_an_error_that_names_the_host(api, hub):
    url = hub.url_of("api?token=secret")
    hub.close()
    with pytest.raises(OriginUnavailable, match="refused") as caught:
        api.get(f"{hub.url}/api?token=secret")
    assert "secret" not in str(caught.value)
    assert url.partition("//")[2].partition("/")[0] in str(caught.value)


def test_a_kept_connection_that_was_closed_meanwhile_goes_unnoticed(api, hub, retries):
    hub.add("api", b"yes")
    hub.fault("api", faults.vanish())
    assert [api.get(hub.url_of("api")).content for _ in range(2)] == [b"yes", b"yes"]
    assert retries == []


def test_a_post_is_tried_once_unless_it_is_marked(api, hub):
    hub.add("api", b"yes")
    hub.fault("api", faults.status(503), times=2)
    assert api.post(hub.url_of("api"), data={"paths": "a"}).status_code == 503
    marked = api.post(hub.url_of("api"), data={"paths": "a"}, extensions={"dfly.idempotent": True})
    assert (marked.status_code, len(hub.requests)) == (200, 3)


def test_a_pause_that_is_asked_for_is_kept_by_all(api, hub, retries):
    hub.add("api", b"yes")
    hub.fault("api", faults.status(429, retry_after="0.0625"))
    assert api.get(hub.url_of("api")).content == b"yes"
    assert [after for _, _, after in retries] == [0.0625]


def test_a_pause_that_is_too_long_is_an_error(api, hub):
    hub.fault("api", faults.status(429, retry_after="3600"))
    with pytest.raises(RateLimited) as caught:
        api.get(hub.url_of("api"))
    assert (caught.value.after, len(hub.requests)) == (3600.0, 1)


def test_a_wait_ends_when_it_is_cancelled(api, hub, cancel):
    hub.fault("api", faults.status(429, retry_after="1.9"), lambda exchange: cancel.set())
    with pytest.raises(Cancelled):
        api.get(hub.url_of("api"))
    assert len(hub.requests) == 1


def test_an_answer_can_be_streamed(api, hub):
    hub.add("api", b"x" * 5000)
    with api.stream("GET", hub.url_of("api")) as response:
        assert b"".join(response.iter_bytes()) == b"x" * 5000
    assert response.headers["content-length"] == "5000"


def test_a_compressed_answer_is_decoded(api, hub):
    hub.add("api", b"x" * 5000)
    hub.fault("api", faults.gzip())
    assert api.get(hub.url_of("api")).content == b"x" * 5000


def test_delays_double_up_to_the_longest_and_are_drawn_from_all_of_it():
    patience = Patience(first_delay=0.5, longest_delay=5.0)
    assert [delay(n, patience, draw=lambda: 1.0) for n in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert delay(10_000, patience, draw=lambda: 1.0) == 5.0
    assert delay(3, patience, draw=lambda: 0.0) == 0.0
    assert all(0 <= delay(3, patience) <= 2.0 for _ in range(100))


def test_cookies_are_neither_kept_nor_sent(api, hub):
    hub.add("api", b"yes")
    hub.fault("api", faults.headers(set_cookie="session=secret; Path=/"))
    api.get(hub.url_of("api"))
    api.get(hub.url_of("api"))
    assert not api.cookies
    assert [seen.headers.get("cookie") for seen in hub.requests] == [None, None]


def test_a_request_given_as_a_stream_is_sent_once(api, hub):
    hub.fault("api", faults.status(503), times=9)
    request = httpx.Request("POST", hub.url_of("api"), content=iter([b"x"]), extensions={"dfly.idempotent": True})
    assert api.send(request).status_code == 503
    assert len(hub.requests) == 1
