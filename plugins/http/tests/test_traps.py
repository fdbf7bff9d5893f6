"""What web servers do to ranges, and that the right bytes come all the same, or the right error."""

import itertools
import math
import threading
from email.utils import formatdate

import pytest

import dfly
from dfly.testing import faults

from .conftest import some_bytes


@pytest.fixture
def model(origin, backend, content):
    """A file whose `stat` is over; what is spoiled from here on are its ranges."""
    entry = backend.stat(origin.add("model.bin", content))
    origin.requests.clear()
    return entry


def collect(chunks, into: bytearray) -> None:
    for chunk in chunks:
        into += chunk


def getting(seen):
    return seen.method == "GET"


def test_a_range_under_status_200_is_accepted_by_its_content_range(origin, backend, model, content, read):
    origin.fault("model.bin", faults.ok_with_content_range(), times=math.inf)
    assert read(backend, model, 100, 5000) == content[100:5000]
    assert len(origin.requests) == 1


def test_a_whole_file_for_a_range_says_that_ranges_are_unsupported(origin, backend, model, content):
    origin.fault("model.bin", faults.no_range(), times=math.inf)
    with pytest.raises(dfly.RangesUnsupported):
        b"".join(backend.get(model, 100, 5000))
    assert b"".join(backend.get(model, 0, None)) == content


def test_another_part_than_the_one_asked_for_is_thrown_away(origin, backend, model, content, read):
    origin.fault("model.bin", faults.wrong_start(), times=2)
    assert read(backend, model, 100, 5000) == content[100:5000]
    assert len(origin.requests) == 3


def test_another_total_means_that_the_file_changed(origin, backend, model):
    origin.fault("model.bin", faults.wrong_total(), times=math.inf)
    with pytest.raises(dfly.Changed):
        b"".join(backend.get(model, 100, 5000))


def test_ranges_are_single_and_absolute(origin, backend, model, content, read):
    size = len(content)
    assert read(backend, model, size - 10, None) == content[-10:]
    assert read(backend, model, 5, 6) == content[5:6]
    assert [seen.range for seen in origin.requests] == [f"bytes={size - 10}-{size - 1}", "bytes=5-5"]


def test_a_416_at_a_new_size_means_that_the_file_changed(origin, backend, model):
    origin.fault("model.bin", faults.unsatisfiable(total=10))
    with pytest.raises(dfly.Changed):
        b"".join(backend.get(model, 100, 5000))


def test_a_compressed_part_is_never_taken_for_the_plain_one(origin, backend, model, content, read):
    origin.fault("model.bin", faults.gzip())
    with pytest.raises(dfly.RangesUnsupported):
        b"".join(backend.get(model, 100, 5000))
    assert read(backend, model, 100, 5000) == content[100:5000]


def test_a_compressed_whole_file_comes_out_plain(origin, backend, model, content, read):
    origin.fault("model.bin", faults.no_range(), faults.gzip(), times=math.inf)
    assert read(backend, model) == content


def test_an_unquoted_etag_pins(origin, backend, content, read):
    entry = backend.stat(origin.add("model.bin", content, etag="abc"))
    assert entry.validator == "abc"
    origin.add("model.bin", content, etag='"abc"')
    assert read(backend, entry, 0, 10) == content[:10]
    assert origin.requests[-1].headers["if-match"] == '"abc"'


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_every_kind_of_redirect_is_followed(code, origin, backend, content, read):
    origin.add("real.bin", content)
    url = origin.redirect("model.bin", "real.bin", code=code)
    assert read(backend, backend.stat(url), 7, 70) == content[7:70]


def test_a_protocol_relative_location_is_followed(origin, cdn, backend, content, read):
    target = cdn.add("real.bin", content)
    url = origin.redirect("model.bin", target.removeprefix("http:"))
    assert read(backend, backend.stat(url)) == content


def test_a_circle_of_redirects_ends(origin, backend):
    url = origin.redirect("model.bin", "/model.bin")
    with pytest.raises(dfly.Unsupported, match="circle"):
        backend.stat(url)
    assert len(origin.requests) < 50


def test_an_expired_redirect_is_asked_for_again_and_the_offset_kept(origin, cdn, backend, content, read):
    cdn.add("stored", content)
    url = origin.redirect("model.bin", lambda: cdn.sign("stored", uses=2))
    entry = backend.stat(url)
    got = b"".join(read(backend, entry, at, at + 10_000) for at in range(0, 60_000, 10_000))
    assert got == content
    assert any("has run out" in cause for cause in read.retries)
    assert cdn.leaks == []
    assert not any("sig" in cause for cause in read.retries)


def test_links_that_never_work_are_given_up(origin, cdn, backend, content, read):
    cdn.add("stored", content)
    uses = itertools.chain([1], itertools.repeat(0))
    entry = backend.stat(origin.redirect("model.bin", lambda: cdn.sign("stored", uses=next(uses))))
    with pytest.raises(dfly.AccessDenied, match="fresh ones"):
        read(backend, entry)


def test_a_body_cut_short_goes_on_at_the_offset(origin, backend, model, content, read):
    origin.fault("model.bin", faults.truncated(20_000))
    assert read(backend, model) == content
    assert [seen.range for seen in origin.requests] == [None, "bytes=20000-59999"]


def test_only_progress_renews_the_patience(origin, backend, model, content, read):
    origin.fault("model.bin", faults.truncated(5000), times=8)
    assert read(backend, model) == content
    origin.fault("model.bin", faults.truncated(0), times=math.inf)
    with pytest.raises(dfly.OriginUnavailable):
        read(backend, model)


@pytest.mark.parametrize("fault", [faults.shorter(), faults.wrong_length(-7), faults.wrong_length(7)])
def test_a_body_whose_length_lies_is_noticed(fault, origin, backend, model, content, read):
    origin.fault("model.bin", fault)
    assert read(backend, model) == content
    assert read.retries


def test_more_than_the_size_is_never_taken(origin, backend, model, content):
    origin.add("model.bin", content + b"more", etag=model.validator)
    origin.fault("model.bin", faults.no_range(), faults.until_closed())
    got = bytearray()
    with pytest.raises(dfly.OriginUnavailable, match="more than"):
        collect(backend.get(model, 0, None), got)
    assert content.startswith(got)


def test_a_5xx_is_tried_again(origin, backend, model, content, read):
    origin.fault("model.bin", faults.status(500), faults.status(503), times=2)
    assert read(backend, model) == content


@pytest.mark.parametrize("after", ["0", formatdate(0, usegmt=True)])
def test_a_429_is_obeyed_in_both_spellings(after, origin, backend, model, content, read):
    origin.fault("model.bin", faults.status(429, retry_after=after))
    assert read(backend, model) == content
    assert len(read.retries) == 1


def test_a_pause_too_long_is_an_error_that_names_it(origin, backend, model, read):
    origin.fault("model.bin", faults.status(429, retry_after="86400"), times=math.inf)
    with pytest.raises(dfly.RateLimited) as caught:
        read(backend, model)
    assert caught.value.after == 86400


def test_a_login_page_in_mid_download_is_not_stored(origin, backend, model, read):
    entry = backend.stat(origin.add("model.safetensors", some_bytes()))
    origin.fault("model.safetensors", faults.web_page(), times=math.inf, when=getting)
    with pytest.raises(dfly.AccessDenied, match="web page"):
        read(backend, entry)


@pytest.mark.parametrize("name", ["a b#c?d%e+f&g.bin", "é/你.bin", "e\u0301.bin", 'it\'s "q".bin', "back\\slash.bin"])
def test_strange_names_arrive_as_they_are(name, origin, backend, content, read):
    entry = backend.stat(origin.add(name, content))
    assert read(backend, entry) == content
    assert {seen.path for seen in origin.requests} == {name}


@pytest.mark.parametrize("honoured", [True, False], ids=["412", "If-Match-ignored"])
def test_a_changed_file_is_noticed_by_its_strong_etag(honoured, origin, backend, model, content):
    assert b"".join(backend.get(model, 0, 100)) == content[:100]
    origin._honour_if_match = honoured
    origin.replace("model.bin", some_bytes(2))
    with pytest.raises(dfly.Changed):
        b"".join(backend.get(model, 100, 200))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"etag": 'W/"1"'}, {"etag": 'W/"2"'}),
        ({"last_modified": formatdate(0, usegmt=True)}, {"last_modified": formatdate(60, usegmt=True)}),
    ],
    ids=["weak-etag", "date"],
)
def test_a_changed_file_is_noticed_by_its_weak_marks(before, after, origin, backend, content):
    url = origin.add("model.bin", content, etag="")
    origin.fault("model.bin", faults.headers(**before), times=2)
    origin.fault("model.bin", faults.headers(**after), times=math.inf)
    entry = backend.stat(url)
    assert b"".join(backend.get(entry, 0, 100)) == content[:100]
    with pytest.raises(dfly.Changed, match="run the command again"):
        b"".join(backend.get(entry, 100, 200))


def test_new_content_can_be_fetched_by_the_same_instance(origin, backend, model, content, read):
    assert read(backend, model) == content
    origin.replace("model.bin", some_bytes(2))
    assert read(backend, backend.stat(origin.url_of("model.bin"))) == some_bytes(2)


def test_a_connection_closed_between_requests_costs_nothing(origin, backend, model, content, read):
    origin.fault("model.bin", faults.vanish())
    assert read(backend, model, 0, 100) + read(backend, model, 100, 200) == content[:200]
    assert read.retries == []


def test_a_connection_closed_without_an_answer_is_tried_again(origin, backend, model, content, read):
    origin.fault("model.bin", faults.silent(), times=3)
    assert read(backend, model) == content


def test_a_file_of_unknown_size_ends_where_the_body_ends(origin, backend, content, read):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.no_range(), faults.until_closed(), times=math.inf)
    entry = backend.stat(url)
    assert entry.size is None
    assert read(backend, entry) == content


def test_four_threads_read_one_file_through_one_expiring_link(origin, cdn, backend, content):
    cdn.add("stored", content)
    entry = backend.stat(origin.redirect("model.bin", lambda: cdn.sign("stored", uses=100)))
    got: dict[int, bytes] = {}

    def quarter(n: int) -> None:
        got[n] = b"".join(backend.get(entry, n * 15_000, (n + 1) * 15_000))

    threads = [threading.Thread(target=quarter, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b"".join(got[n] for n in range(4)) == content
    # one for stat, one for the link that all four share
    assert len(origin.asked("model.bin")) == 2
