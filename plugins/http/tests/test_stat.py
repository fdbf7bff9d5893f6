"""A link resolves to one file, whatever the server makes of HEAD, ranges and lengths."""

import base64
import hashlib
import math
import threading

import pytest

import dfly
from dfly.testing import faults


def only(method):
    return lambda seen: seen.method == method


def test_one_head_tells_all(origin, backend, content):
    entry = backend.stat(origin.add("m/model.bin", content))
    assert (entry.path, entry.size, entry.url) == ("model.bin", len(content), origin.url_of("m/model.bin"))
    assert entry.validator is not None
    assert entry.blob is not None
    assert [seen.method for seen in origin.requests] == ["HEAD"]


@pytest.mark.parametrize("code", [400, 403, 404, 405, 500, 501])
def test_a_refused_head_is_made_good_by_the_first_byte(code, origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(code), times=math.inf, when=only("HEAD"))
    assert backend.stat(url).size == len(content)
    assert origin.requests[-1].range == "bytes=0-0"


def test_a_head_without_length_is_made_good_by_the_first_byte(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.chunked(), when=only("HEAD"))
    assert backend.stat(url).size == len(content)


def test_a_head_that_says_zero_is_not_believed(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.headers(content_length="0"), when=only("HEAD"))
    assert backend.stat(url).size == len(content)


def test_the_first_byte_under_status_200_with_content_range_tells_the_size(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(405), when=only("HEAD"))
    origin.fault("model.bin", faults.ok_with_content_range())
    assert backend.stat(url).size == len(content)


def test_a_server_without_ranges_tells_the_size_by_its_length(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(405), when=only("HEAD"))
    origin.fault("model.bin", faults.no_range())
    assert backend.stat(url).size == len(content)


def test_a_size_that_nobody_tells_is_none_and_the_file_is_not_shared(origin, backend, content, read):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.no_range(), faults.chunked(), times=math.inf)
    entry = backend.stat(url)
    assert (entry.size, entry.blob) == (None, None)
    assert read(backend, entry) == content


def test_the_body_of_a_whole_file_is_not_waited_for(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(405), when=only("HEAD"))
    origin.fault("model.bin", faults.no_range(), faults.chunked(), faults.stall(threading.Event(), after=10))
    assert backend.stat(url).size is None


@pytest.mark.parametrize("refusal", [None, 400])
def test_an_empty_file_has_size_zero_and_no_bytes(refusal, origin, backend, read):
    url = origin.add("empty.bin", b"")
    if refusal:
        origin.fault("empty.bin", faults.status(refusal), times=1, when=only("GET"))
    entry = backend.stat(url)
    assert entry.size == 0
    assert read(backend, entry) == b""


def test_an_empty_file_behind_a_refused_head_has_size_zero(origin, backend):
    url = origin.add("empty.bin", b"")
    origin.fault("empty.bin", faults.status(405), when=only("HEAD"))
    assert backend.stat(url).size == 0


def test_a_compressed_answer_tells_no_size(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.headers(content_encoding="gzip"), times=math.inf)
    assert backend.stat(url).size is None
    assert {seen.headers["accept-encoding"] for seen in origin.requests} == {"identity"}


def test_a_weak_etag_or_a_date_pins_nothing(origin, backend, content):
    weak = backend.stat(origin.add("weak.bin", content, etag='W/"1"'))
    origin.add("dated.bin", content, etag="")
    origin.fault("dated.bin", faults.headers(last_modified="Mon, 01 Jan 2024 00:00:00 GMT"))
    dated = backend.stat(origin.url_of("dated.bin"))
    assert [(entry.validator, entry.blob, entry.size) for entry in (weak, dated)] == [(None, None, len(content))] * 2


def test_a_digest_header_names_the_content_across_origins(origin, cdn, backend, content):
    sha256 = base64.b64encode(hashlib.sha256(content).digest()).decode()
    for server in (origin, cdn):
        server.add("model.bin", content)
        server.fault("model.bin", faults.headers(repr_digest=f"sha-256=:{sha256}:"))
    blobs = {backend.stat(server.url_of("model.bin")).blob for server in (origin, cdn)}
    assert blobs == {f"sha256-{hashlib.sha256(content).hexdigest()}"}


def test_a_redirect_is_followed_and_never_pinned(origin, cdn, backend, content):
    cdn.add("stored", content)
    url = origin.redirect("model.bin", lambda: cdn.sign("stored", uses=1))
    entry = backend.stat(url)
    assert (entry.path, entry.size) == ("model.bin", len(content))
    assert cdn.url not in repr(entry)
    assert "Signature" not in repr(backend.list(url))


def test_the_length_of_a_redirect_is_not_the_files(origin, backend, content):
    origin.add("real.bin", content)
    url = origin.redirect("model.bin", "/real.bin", code=307)
    assert backend.stat(url).size == len(content)


def test_a_missing_file_is_not_found_and_costs_two_calls(origin, backend):
    with pytest.raises(dfly.NotFound) as caught:
        backend.stat(origin.url_of("nowhere.bin"))
    assert (caught.value.kind, caught.value.exit_code) == ("file", 4)
    assert len(origin.requests) == 2
    assert not backend.exists(origin.url_of("nowhere.bin"))


@pytest.mark.parametrize(("code", "error"), [(401, dfly.AccessDenied), (403, dfly.AccessDenied), (410, dfly.NotFound)])
def test_a_refusal_is_told_by_its_type(code, error, origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(code), times=math.inf)
    with pytest.raises(error) as caught:
        backend.stat(url)
    if error is dfly.AccessDenied:
        assert "--header" in caught.value.hint


def test_a_server_that_is_down_is_retried_and_then_unavailable(origin, backend, content):
    url = origin.add("model.bin", content)
    origin.fault("model.bin", faults.status(503), times=2)
    assert backend.stat(url).size == len(content)
    origin.fault("model.bin", faults.status(503), times=math.inf)
    with pytest.raises(dfly.OriginUnavailable):
        backend.stat(url)
    assert {seen.method for seen in origin.requests} == {"HEAD"}


def test_a_login_page_in_a_files_place_is_refused(origin, backend, content):
    url = origin.add("model.safetensors", content)
    origin.fault("model.safetensors", faults.web_page(), times=math.inf)
    with pytest.raises(dfly.AccessDenied, match="answered with a web page"):
        backend.stat(url)


def test_a_web_page_that_was_asked_for_is_a_file(origin, backend):
    for name in ("index.html", "about"):
        origin.add(name, b"<html>" * 100, content_type="text/html")
        assert backend.stat(origin.url_of(name)).size == 600


@pytest.mark.parametrize("path", ["", "models/"])
def test_a_folder_is_not_a_file_and_cannot_be_listed(path, origin, backend):
    origin.add(path, b"<html>index</html>", content_type="text/html")
    with pytest.raises(dfly.NotAFile) as caught:
        backend.stat(origin.url_of(path))
    assert "no folder listings" in caught.value.hint
    assert "-r" not in caught.value.hint.split()
    with pytest.raises(dfly.Unsupported, match="no folder listings"):
        backend.list(origin.url_of(path))


@pytest.mark.parametrize("head", [200, 405])
def test_a_folders_link_that_lacks_its_slash_is_not_a_file_either(head, origin, backend):
    origin.add("models/", b"<html>index</html>", content_type="text/html; charset=utf-8")
    url = origin.redirect("models", "/models/", code=301)
    if head != 200:
        origin.fault("models", faults.status(head), times=math.inf, when=lambda seen: seen.method == "HEAD")
    with pytest.raises(dfly.NotAFile) as caught:
        backend.stat(url)
    assert (caught.value.url, caught.value.exit_code) == (url, 2)
    assert "give the link of each file" in caught.value.hint
    with pytest.raises(dfly.Unsupported, match="is a folder"):
        backend.list(url)


def test_a_page_that_may_be_an_index_cannot_be_listed(origin, backend):
    url = origin.add("models", b"<html>index</html>", content_type="text/html; charset=utf-8")
    with pytest.raises(dfly.Unsupported, match="perhaps an index"):
        backend.list(url)


def test_a_folder_that_shows_nothing_asks_for_no_credentials(origin, backend):
    origin.fault("models/", faults.status(403), times=math.inf)
    with pytest.raises(dfly.AccessDenied) as caught:
        backend.stat(origin.url_of("models/"))
    assert caught.value.message == f"{origin.url_of('models/')} answered 403"
    assert "give the link of each file" in caught.value.hint


def test_a_listing_of_a_file_is_that_file(origin, backend, content):
    snapshot = backend.list(origin.add("m/model.bin", content))
    assert (snapshot.name, snapshot.revision, snapshot.public) == ("model.bin", None, False)
    assert snapshot.entries == (backend.stat(origin.url_of("m/model.bin")),)


def test_content_disposition_names_only_what_has_no_name(origin, backend, content):
    for path in ("download/", "named.bin"):
        origin.add(path, content)
        origin.fault(path, faults.headers(content_disposition='attachment; filename="other.bin"'), times=math.inf)
    assert backend.stat(origin.url_of("download/")).path == "other.bin"
    assert backend.stat(origin.url_of("named.bin")).path == "named.bin"


def test_a_web_link_cannot_be_written_to(origin, backend, tmp_path):
    with pytest.raises(dfly.Unsupported):
        backend.put(tmp_path / "x", origin.url_of("x"))


def test_only_so_many_links_are_remembered(origin, build, content, monkeypatch):
    backend = build()
    monkeypatch.setattr(backend, "remembered", 2)
    links = [origin.add(f"{n}.bin", content) + "?token=t" for n in range(3)]
    entries = [backend.stat(link) for link in links]
    assert ["token" in backend.locate(entry).url for entry in entries] == [False, True, True]
