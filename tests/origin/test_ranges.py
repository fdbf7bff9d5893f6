"""One attempt at a range: what is asked, what is accepted, what each wrong answer means."""

import math
import threading

import pytest
from tests.origin.conftest import CONTENT, rigged

from dfly.errors import (
    AccessDenied,
    Changed,
    Expired,
    NotFound,
    OriginUnavailable,
    RangesUnsupported,
    RateLimited,
    Unsupported,
)
from dfly.testing import faults

SIZE = len(CONTENT)


def test_a_range_is_absolute_and_a_whole_file_asks_for_none(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    assert rig.read(entry, 1000, 5000) == CONTENT[1000:5000]
    assert rig.read(entry, SIZE - 10, None) == CONTENT[-10:]
    assert rig.read(entry) == CONTENT
    assert [seen.range for seen in hub.asked("m")] == ["bytes=1000-4999", f"bytes={SIZE - 10}-{SIZE - 1}", None]


def test_a_range_is_cut_at_the_listed_size_and_nothing_is_asked_beyond_it(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    assert rig.read(entry, SIZE - 5, SIZE + 100) == CONTENT[-5:]
    assert rig.read(entry, SIZE, None) == b""
    assert [seen.range for seen in hub.asked("m")] == [f"bytes={SIZE - 5}-{SIZE - 1}"]


def test_an_empty_file_is_never_asked_for_a_range(rig, hub, entry_of):
    assert rig.read(entry_of(hub.add("empty", b""), b""), 0, None) == b""
    assert [seen.range for seen in hub.asked("empty")] == [None]


def test_an_empty_file_that_is_not_empty_is_refused(rig, hub, entry_of):
    with pytest.raises(OriginUnavailable):
        rig.read(entry_of(hub.add("m", b"surprise"), b""))


def test_bodies_come_uncompressed_and_as_dfly(rig, hub, entry_of):
    rig.read(entry_of(hub.add("m", CONTENT)))
    headers = hub.asked("m")[0].headers
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"].startswith("dfly/")


def test_a_200_with_the_right_content_range_is_that_range(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.ok_with_content_range())
    assert rig.read(entry, 100, 200) == CONTENT[100:200]


def test_the_whole_file_for_a_range_means_no_ranges(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.no_range(), times=2)
    with pytest.raises(RangesUnsupported):
        rig.read(entry, 100, 200)
    with pytest.raises(RangesUnsupported):
        rig.read(entry, 0, 200)


def test_a_backend_that_says_no_ranges_is_not_asked_for_one(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    rig.backend.extra = {"ranges": False}
    with pytest.raises(RangesUnsupported):
        rig.read(entry, 100, 200)
    assert hub.asked("m") == []
    assert rig.read(entry) == CONTENT


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.wrong_start(), OriginUnavailable),
        (faults.wrong_start(-1), OriginUnavailable),
        (faults.wrong_total(), Changed),
        (faults.shorter(), OriginUnavailable),
        (faults.headers(content_range="bytes 100-299/*"), OriginUnavailable),
        (faults.headers(content_range="lines 100-199/1048576"), OriginUnavailable),
        (faults.headers(content_range=""), OriginUnavailable),
        (faults.headers(content_type="multipart/byteranges; boundary=x", content_range=""), OriginUnavailable),
        (faults.headers(content_encoding="gzip"), RangesUnsupported),
        (faults.gzip(), RangesUnsupported),
        (faults.unsatisfiable(50), Changed),
        (faults.unsatisfiable(), OriginUnavailable),
        (faults.status(416), OriginUnavailable),
        (faults.status(204), OriginUnavailable),
        (faults.status(304), OriginUnavailable),
    ],
)
def test_another_part_than_asked_for_yields_no_byte(rig, hub, entry_of, fault, error):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", fault)
    chunks = rig.backend.get(entry, 100, 200)
    with pytest.raises(error):
        next(chunks)
    assert rig.read(entry, 100, 200) == CONTENT[100:200]


def test_an_unknown_total_is_accepted(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.headers(content_range="bytes 100-199/*"))
    assert rig.read(entry, 100, 200) == CONTENT[100:200]


def test_a_shorter_part_than_asked_for_is_kept_and_reported_short(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.shorter(40), faults.headers(content_range=f"bytes 100-159/{SIZE}"))
    assert _until_error(rig, entry, 100, 200, OriginUnavailable) == CONTENT[100:160]


def test_a_truncated_body_keeps_what_arrived(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.truncated(5000))
    assert _until_error(rig, entry, 0, None, OriginUnavailable) == CONTENT[:5000]


@pytest.mark.parametrize("framing", [faults.chunked(), faults.until_closed()])
def test_a_body_without_a_length_is_held_to_the_listed_size(rig, hub, entry_of, framing):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", framing, times=3)
    assert rig.read(entry) == CONTENT
    shorter, longer = CONTENT[:-1], CONTENT + b"!"
    assert _until_error(rig, entry_of(hub.url_of("m"), longer), 0, None, OriginUnavailable) == CONTENT
    assert len(_until_error(rig, entry_of(hub.url_of("m"), shorter), 0, None, OriginUnavailable)) <= len(shorter)


def test_a_truncated_file_with_a_length_that_agrees_is_refused_by_the_listed_size(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.shorter(100))
    assert _until_error(rig, entry, 0, None, OriginUnavailable) == b""


def test_an_unknown_size_is_read_to_the_end(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT), None)
    hub.fault("m", faults.chunked())
    assert rig.read(entry) == CONTENT
    assert rig.read(entry, 1000, None) == CONTENT[1000:]
    assert hub.asked("m")[-1].range == "bytes=1000-"


def test_an_end_that_is_already_reached_is_no_error_where_the_size_is_unknown(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT), None)
    assert rig.read(entry, SIZE, None) == b""
    with pytest.raises(Changed):
        rig.read(entry, SIZE + 1, None)


def test_a_compressed_whole_file_is_decoded(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.gzip())
    assert rig.read(entry) == CONTENT


def test_a_compressed_body_that_decodes_to_more_than_listed_is_stopped(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT), CONTENT[:1000])
    hub.fault("m", faults.gzip())
    assert len(_until_error(rig, entry, 0, None, OriginUnavailable)) <= 1000


def test_a_content_encoding_that_only_describes_the_file_changes_nothing(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.headers(content_encoding="gzip"))
    assert rig.read(entry) == CONTENT


def test_a_web_page_is_not_a_model(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.web_page(), times=2)
    for path in ("model.safetensors", "config.json"):
        with pytest.raises(OriginUnavailable, match="web page"):
            rig.read(entry_of(hub.url_of("m"), None, path=path))
    assert rig.read(entry) == CONTENT


@pytest.mark.parametrize("path", ["index.html", "LICENSE"])
def test_a_web_page_that_was_asked_for_is_one(rig, hub, entry_of, path):
    page = b"<html>hello</html>"
    assert rig.read(entry_of(hub.add("p", page, content_type="text/html"), None, path=path)) == page


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (410, NotFound),
        (412, Changed),
        (429, RateLimited),
        (500, OriginUnavailable),
        (503, OriginUnavailable),
        (400, Unsupported),
    ],
)
def test_a_status_becomes_its_error_and_says_a_little_of_the_body(rig, hub, entry_of, status, error):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.status(status, b"the cat sat on the cable"))
    with pytest.raises(error) as caught:
        rig.read(entry)
    assert str(status) in caught.value.message
    assert caught.value.url == hub.url_of("m")


def test_a_link_that_runs_out_is_located_anew_and_a_door_that_is_closed_is_not(rig, hub, entry_of):
    entry = entry_of(hub.add("model.bin", CONTENT))
    rig.backend.extra["expires_at"] = math.inf
    hub.fault("model.bin", faults.status(403), when=lambda seen: len(hub.requests) == 2)
    assert rig.read(entry, 0, 10) == CONTENT[:10]
    with pytest.raises(Expired):
        rig.read(entry, 10, 20)
    assert rig.read(entry, 10, 20) == CONTENT[10:20]
    assert len(rig.backend.located) == 2
    hub.fault("model.bin", faults.status(403), times=2)
    with pytest.raises(AccessDenied):
        rig.fetch(entry, 20, 30)
    assert len(rig.backend.located) == 3


def test_a_backends_own_check_sees_every_response_of_its_origin_before_the_body(rig, hub, cdn, entry_of):
    cdn.add("m", CONTENT)
    hub.redirect("m", "/moved", code=307)
    hub.redirect("moved", cdn.url_of("m"))
    rig.read(entry_of(hub.url_of("m")), 0, 10)
    assert [(r.status_code, str(r.request.url)) for r in rig.backend.checked] == [
        (307, hub.url_of("m")),
        (302, hub.url_of("moved")),
    ]


def test_an_error_body_is_not_read_to_its_end(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    endless = threading.Event()
    hub.fault("m", faults.status(500, b"x" * 200_000), faults.stall(endless, after=100_000))
    with pytest.raises(OriginUnavailable) as caught:
        rig.read(entry)
    assert len(caught.value.message) < 400


def test_what_the_request_kept_secret_is_not_quoted_from_an_error_body(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT) + "?X-Amz-Signature=deadbeefcafe")
    rig.backend.extra = {"headers": {"Authorization": "Bearer hf_verysecret", "X-Token": "othersecret"}}
    body = b"bad: Bearer hf_verysecret othersecret deadbeefcafe http://h/x?sig=zzz"
    hub.fault("m", faults.status(500, body))
    rig.backend.__class__ = type("Plain", (type(rig.backend),), {"check": _default_check})
    with pytest.raises(OriginUnavailable) as caught:
        rig.read(entry)
    for secret in ("verysecret", "othersecret", "deadbeef", "zzz"):
        assert secret not in str(caught.value)


def _default_check(self, entry, response):
    from dfly.backend import Backend

    Backend.check(self, entry, response)


def test_a_strong_etag_is_sent_and_must_stay(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT, etag='"v1"'))
    rig.backend.extra = {"etag": '"v1"'}
    assert rig.read(entry, 0, 10) == CONTENT[:10]
    assert hub.asked("m")[0].headers["if-match"] == '"v1"'
    hub.add("m", CONTENT, etag='"v2"')
    with pytest.raises(Changed):
        rig.read(entry, 10, 20)


def test_an_etag_is_compared_even_where_the_server_ignores_if_match(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT, etag='"v1"'))
    rig.backend.extra = {"etag": "v1"}
    hub.fault("m", faults.headers(etag='"v2"'))
    with pytest.raises(Changed):
        rig.read(entry, 10, 20)


def test_a_weak_etag_says_nothing(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT, etag='"v1"'))
    rig.backend.extra = {"etag": '"v1"'}
    hub.fault("m", faults.headers(etag='W/"v2"'))
    assert rig.read(entry, 10, 20) == CONTENT[10:20]


def test_content_that_changes_between_two_ranges_is_noticed_where_no_digest_would(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    rig.read(entry, 0, 10)
    hub.replace("m", CONTENT[::-1])
    with pytest.raises(Changed):
        rig.read(entry, 10, 20)


def test_mirrors_that_disagree_about_etags_do_not_matter_where_a_digest_does(rig, hub, entry_of):
    from dfly.values import Digest

    entry = entry_of(hub.add("m", CONTENT, etag='"mirror-1"'), digests=(Digest("sha256", "0" * 64),))
    rig.read(entry, 0, 10)
    hub.add("m", CONTENT, etag='"mirror-2"')
    assert rig.read(entry, 10, 20) == CONTENT[10:20]


def test_a_body_that_crawls_is_a_lost_connection(hub, entry_of):
    with rigged(low_speed=1_000_000, low_speed_time=0.05) as rig:
        entry = entry_of(hub.add("m", CONTENT))
        hub.fault("m", faults.slow(20_000))
        with pytest.raises(OriginUnavailable, match="slower"):
            rig.read(entry)


def test_a_reader_that_is_slow_itself_is_not_blamed_on_the_origin(hub, entry_of):
    from dfly.config import Network
    from dfly.origin.pauses import Pauses
    from dfly.origin.ranges import Ranges

    ticks = iter(range(10**9))
    with rigged() as rig:
        read = Ranges(
            rig.backends.clients.data,
            network=Network(low_speed=10**6, low_speed_time=1e5),
            pauses=Pauses(),
            clock=lambda: float(next(ticks)),
        )
        arrived = 0
        for chunk in read(rig.backend, entry_of(hub.add("m", CONTENT)), 0, None):
            arrived += len(chunk)
            for _ in range(100_000):
                next(ticks)
        assert arrived == SIZE


def test_a_body_that_stands_still_ends_with_the_read_timeout(hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.stall(threading.Event(), after=1000), times=math.inf)
    for seconds in (0.05, 1.0, 20.0):
        with rigged(read_timeout=seconds) as rig:
            arrived = _until_error(rig, entry, 0, None, OriginUnavailable)
        # on a busy machine nothing may have come in the shortest time
        if arrived:
            break
    assert arrived == CONTENT[:1000]


def test_a_connection_that_is_closed_between_two_ranges_goes_unnoticed(rig, hub, entry_of):
    entry = entry_of(hub.add("m", CONTENT))
    hub.fault("m", faults.vanish())
    assert rig.read(entry, 0, 10) + rig.read(entry, 10, 20) == CONTENT[:20]
    assert len(hub.asked("m")) == 2


def _until_error(rig, entry, start, stop, error) -> bytes:
    arrived: list[bytes] = []
    with pytest.raises(error):
        arrived.extend(rig.backend.get(entry, start, stop))
    return b"".join(arrived)
