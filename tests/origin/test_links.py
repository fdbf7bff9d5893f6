"""Where a file is, is found once and used until it fails."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.origin.conftest import CONTENT

from dfly.errors import AccessDenied, Changed, Expired, NotFound, OriginUnavailable
from dfly.testing import faults


def test_many_ranges_cost_one_resolve_call(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=100)))
    for start in range(0, 10_000, 1000):
        assert rig.read(entry, start, start + 1000) == CONTENT[start : start + 1000]
    assert (len(hub.asked("m")), len(cdn.asked("m")), len(rig.backend.located)) == (1, 10, 1)


def test_ranges_that_begin_together_still_cost_one_resolve_call(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", lambda: cdn.sign("m", uses=100)))
    together = threading.Barrier(4)

    def read(start: int) -> bytes:
        together.wait()
        return rig.read(entry, start, start + 1000)

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(read, range(0, 4000, 1000)))
    assert b"".join(parts) == CONTENT[:4000]
    assert len(hub.asked("m")) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, b""), (403, b"<Message>Request has expired</Message>"), (410, b""), (400, b"<Code>ExpiredToken</Code>")],
)
def test_a_refused_link_is_expired_and_the_next_attempt_asks_the_hub_again(rig, hub, cdn, entry_of, status, body):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", cdn.url_of("m")))
    rig.read(entry, 0, 10)
    cdn.fault("m", faults.status(status, body))
    with pytest.raises(Expired):
        rig.read(entry, 10, 20)
    assert rig.read(entry, 10, 20) == CONTENT[10:20]
    assert len(hub.asked("m")) == 2


def test_a_fresh_link_that_is_refused_is_expired_too(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", cdn.url_of("m")))
    cdn.fault("m", faults.status(403))
    with pytest.raises(Expired):
        rig.read(entry, 0, 10)


def test_a_refusal_by_the_hub_itself_is_no_expiry(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.status(403))
    with pytest.raises(AccessDenied):
        rig.read(entry, 0, 10)


def test_a_link_that_is_gone_is_worth_a_fresh_one_which_is_believed(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", cdn.url_of("m")))
    rig.read(entry, 0, 10)
    cdn.fault("m", faults.status(404), times=2)
    with pytest.raises(Expired):
        rig.read(entry, 10, 20)
    with pytest.raises(NotFound):
        rig.read(entry, 10, 20)


def test_a_link_that_answers_wrongly_is_forgotten(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", cdn.url_of("m")))
    rig.read(entry, 0, 10)
    cdn.fault("m", faults.wrong_start())
    with pytest.raises(OriginUnavailable):
        rig.read(entry, 10, 20)
    rig.read(entry, 10, 20)
    assert len(hub.asked("m")) == 2


def test_a_body_cut_short_does_not_cost_the_link(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    entry = entry_of(hub.redirect("m", cdn.url_of("m")))
    cdn.fault("m", faults.truncated(3))
    with pytest.raises(OriginUnavailable):
        rig.read(entry, 0, 10)
    rig.read(entry, 3, 10)
    assert len(hub.asked("m")) == 1


def test_where_a_request_expires_the_backend_is_asked_again_in_time(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    rig.backend.extra = {"expires_at": 1.0}
    rig.read(entry, 0, 10)
    rig.read(entry, 10, 20)
    assert len(rig.backend.located) == 2
    rig.backend.extra = {"expires_at": 2.0**40}
    rig.read(entry, 0, 10)
    rig.read(entry, 10, 20)
    assert len(rig.backend.located) == 3


def test_a_link_on_the_hubs_own_origin_keeps_the_credentials(rig, hub, entry_of):
    hub.add("new name", CONTENT)
    entry = entry_of(hub.redirect("old", "/new%20name", code=307).replace("http://", "http://me:pw@"))
    rig.backend.extra = {"headers": {"X-Token": "t"}}
    for start in (0, 10):
        rig.read(entry, start, start + 10)
    asked = hub.asked("new name")
    assert len(hub.asked("old")) == 1
    assert [seen.headers["x-token"] for seen in asked] == ["t", "t"]
    assert len({seen.headers["authorization"] for seen in asked}) == 1


def test_changed_content_is_forgotten_so_that_the_next_task_can_start_over(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    rig.read(entry, 0, 10)
    hub.replace("m", CONTENT[::-1])
    with pytest.raises(Changed):
        rig.read(entry, 10, 20)
    assert rig.read(entry, 10, 20) == CONTENT[::-1][10:20]


def test_two_entries_do_not_share_a_link(rig, hub, entry_of):
    one, two = entry_of(hub.add("1", b"one"), b"one"), entry_of(hub.add("2", b"two"), b"two")
    assert [rig.read(one, 0, 2), rig.read(two, 0, 2), rig.read(one, 1, 3)] == [b"on", b"tw", b"ne"]
