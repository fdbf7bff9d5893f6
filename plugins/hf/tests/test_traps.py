"""Every trap of a hub that this plugin has to survive, named after the truth that must hold."""

import gzip
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from dfly import (
    AccessDenied,
    Changed,
    Digest,
    NotFound,
    OriginUnavailable,
    SourceError,
    Tools,
    Unsupported,
    UsageError,
)
from dfly.backend import build_options
from dfly_hf.backend import HfBackend
from dfly_hf.testing import File, FixtureHub
from dfly_hf.urls import RepoUrl

Make = Callable[..., HfBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
MODEL = "hf://owner/name/model.safetensors"
JSON = {"Content-Type": "application/json"}


def listing(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"status": 200, "body": json.dumps(rows).encode(), "headers": JSON}


# what is transferred


def test_a_file_costs_one_resolve_call_and_no_head(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    for entry in hf.list("hf://owner/name").entries:
        half = (entry.size or 0) // 2
        assert read(hf, entry, 0, half) + read(hf, entry, half) == FILES[entry.path]
    resolves = [(call.method, call.path) for call in hub.calls("resolve")]
    assert resolves.count(("GET", "model.safetensors")) == 1
    assert {method for method, _ in resolves} == {"GET"}
    assert [call.range for call in hub.calls("cdn")] == ["bytes=0-32767", "bytes=32768-65535"]
    assert hub.records.bytes_sent("model.safetensors") == len(WEIGHTS)


def test_an_empty_file_and_an_empty_repository_are_no_errors(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hub.repo("owner/nothing", {})
    hf = backend()
    entry = hf.stat("hf://owner/name/empty")
    assert (entry.size, entry.digests) == (0, (Digest("git-sha1", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),))
    assert read(hf, entry) == b""
    assert hf.list("hf://owner/nothing").entries == ()


def test_gzip_although_identity_was_asked_is_decoded_to_the_right_bytes(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat("hf://owner/name/config.json")
    hub.fault("resolve", gzip=True)
    assert read(hf, entry) == FILES["config.json"]
    assert {call.encoding for call in hub.calls("resolve")} == {"identity"}


def test_the_token_never_reaches_another_origin(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("me/private", FILES, private=True)
    hub.token("hf_x", name="me")
    hf = backend(token="hf_x")
    assert read(hf, hf.stat("hf://me/private/model.safetensors")) == WEIGHTS
    assert all(call.authorized for call in hub.calls("api", "resolve"))
    assert hub.calls("cdn")
    assert hub.records.leaks() == []


def test_neither_token_nor_signature_is_logged(
    hub: FixtureHub, backend: Make, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.repo("me/private", FILES, private=True)
    hub.token("hf_canary", name="me")
    hf = backend(token="hf_canary")
    read(hf, hf.stat("hf://me/private/model.safetensors"))
    assert "/resolve/" in caplog.text
    assert "hf_canary" not in caplog.text
    assert "Signature" not in caplog.text


def test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    assert read(hf, entry, 0, 1000) == WEIGHTS[:1000]
    hub.expire_links()
    assert read(hf, entry, 1000) == WEIGHTS[1000:]
    assert [call.status for call in hub.calls("cdn")] == [206, 403, 206]
    assert len(hub.calls("resolve")) == 2
    assert hub.records.bytes_sent() == len(WEIGHTS)


def test_an_access_revoked_in_the_middle_ends_with_where_to_ask(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    read(hf, entry, 0, 1000)
    repo.gated = True
    hub.expire_links()
    with pytest.raises(AccessDenied, match="accept the terms"):
        read(hf, entry, 1000)


def test_a_cut_body_goes_on_at_the_offset(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("cdn", cut=5000)
    hub.fault("cdn", cut=7000)
    assert read(hf, entry) == WEIGHTS
    assert [call.range for call in hub.calls("cdn")] == [None, "bytes=5000-65535", "bytes=12000-65535"]


def test_a_body_shorter_than_listed_is_not_complete(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("cdn", shorten=10, times=None)
    with pytest.raises(OriginUnavailable):
        read(hf, entry)


def test_wrong_bytes_of_the_right_length_do_not_match_the_digest(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("cdn", flip=True)
    wrong = read(hf, entry)
    assert len(wrong) == entry.size
    assert hashlib.sha256(wrong).hexdigest() != entry.digest("sha256")
    assert hashlib.sha256(read(hf, entry)).hexdigest() == entry.digest("sha256")


@pytest.mark.parametrize("where", ["resolve", "cdn"])
@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_failing_file_request_is_tried_again(
    hub: FixtureHub, backend: Make, read: Read, where: str, status: int
) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault(where, status=status)
    assert read(hf, entry) == WEIGHTS
    assert hub.calls(where)[0].status == status


@pytest.mark.parametrize("call", ["revision", "paths-info"])
def test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint(
    hub: FixtureHub, backend: Make, call: str
) -> None:
    hub.repo("owner/name", FILES)
    hub.fault(call, status=500, times=2)
    assert backend().stat(MODEL).size == len(WEIGHTS)
    hub.fault(call, status=500, times=None)
    with pytest.raises(OriginUnavailable, match=hub.url):
        backend().stat(MODEL)


@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"RateLimit": '"api";r=3;t=500'}])
def test_a_rate_limit_is_waited_out(hub: FixtureHub, backend: Make, read: Read, headers: dict[str, str]) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    hub.fault("revision", status=429, headers=headers)
    hub.fault("resolve", status=429, headers=headers)
    assert read(hf, hf.stat(MODEL)) == WEIGHTS


def test_a_web_page_in_place_of_a_file_is_not_a_hub(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("resolve", status=200, body=b"<html>Please log in")
    with pytest.raises(Unsupported, match="does not answer like a Hugging Face Hub"):
        read(hf, entry)


def test_a_redirect_to_a_login_page_is_not_a_hub(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("resolve", status=302, headers={"Location": "/login"})
    hub.fault("other", status=200, body=b"<html>Please log in")
    with pytest.raises(Unsupported, match="no X-Repo-Commit"):
        read(hf, entry)


@pytest.mark.parametrize(
    "body", [b"<html>Please log in", b"", b"[1]", b'{"sha": "main"}', b'{"id": "a/b"}', b"[" * 100_000]
)
def test_an_answer_that_is_no_revision_is_not_a_hub(hub: FixtureHub, backend: Make, body: bytes) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("revision", status=200, body=body)
    with pytest.raises(Unsupported, match="HF_ENDPOINT"):
        backend().list("hf://owner/name")


def test_a_mirror_that_does_not_repeat_the_size_does_no_harm(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    hub.fault("resolve", headers={"X-Linked-Size": "", "X-Linked-ETag": ""})
    assert read(hf, entry) == WEIGHTS


# where things are


def test_a_renamed_repository_keeps_working_and_its_new_name_is_reported(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("old/name", FILES)
    hf = backend()
    before = hf.list("hf://old/name")
    hub.rename("old/name", "new/name")
    snapshot = hf.list("hf://old/name")
    assert snapshot.source.startswith("hf://new/name@")
    assert snapshot.name == "name"
    assert {entry.url.split("@")[0] for entry in snapshot.entries} == {"hf://new/name"}
    # what was resolved under the old name is still found
    for entry in before.entries:
        assert read(hf, entry) == FILES[entry.path]
    assert 307 in {call.status for call in hub.calls("resolve")}
    assert hf.stat("hf://old/name/config.json").url.startswith("hf://new/name@")


def test_a_legacy_repository_has_one_segment(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("gpt2", FILES)
    hf = backend()
    entry = hf.stat("hf://gpt2@main/config.json")
    assert read(hf, entry) == FILES["config.json"]
    assert {e.path for e in hf.list("hf://gpt2").entries} == set(FILES)


def test_redirects_in_a_circle_end(hub: FixtureHub, backend: Make) -> None:
    hub.rename("owner/a", "owner/b")
    hub.rename("owner/b", "owner/a")
    with pytest.raises(SourceError, match="more than 20"):
        backend().list("hf://owner/a")


@pytest.mark.parametrize("count", [9, 10, 11, 20, 21])
def test_a_listing_is_read_to_its_last_page(tools: Tools, count: int) -> None:
    files = {f"file{i:03}": b"" for i in range(count)}
    with FixtureHub(page_size=10, next_link_base="https://huggingface.co", prefix="/a/hf") as hub:
        hub.repo("owner/name", files)
        hub.token("hf_x")
        hf = HfBackend(build_options(HfBackend, {"endpoint": hub.url, "token": "hf_x"}, {}), tools)
        assert [entry.path for entry in hf.list("hf://owner/name").entries] == sorted(files)
        assert len(hub.calls("tree")) == -(-count // 10)
        assert all(call.authorized for call in hub.calls("tree"))


def test_a_listing_that_fails_on_a_later_page_is_no_shorter_listing(tools: Tools) -> None:
    with FixtureHub(page_size=10) as hub:
        hub.repo("owner/name", {f"file{i:03}": b"" for i in range(25)})
        hf = HfBackend(build_options(HfBackend, {"endpoint": hub.url}, {}), tools)
        hub.fault("tree", headers={"X-Page": "1"})
        hub.fault("tree", status=404, times=None)
        with pytest.raises(NotFound):
            hf.list("hf://owner/name")


def test_a_listing_whose_pages_go_in_a_circle_is_refused(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("tree", times=None, headers={"Link": '<?recursive=true&expand=false>; rel="next"'})
    with pytest.raises(SourceError, match="already read"):
        backend().list("hf://owner/name")


def test_a_next_page_outside_the_api_is_refused(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("tree", headers={"Link": '<http://169.254.169.254/latest/meta-data>; rel="next"'})
    with pytest.raises(Unsupported, match="outside the API"):
        backend().list("hf://owner/name")


def test_a_revision_with_a_slash_is_one_segment_and_only_asked_once(hub: FixtureHub, backend: Make, read: Read) -> None:
    commit = hub.repo("owner/name", FILES)
    commit.branch("feature/x")
    hf = backend(revision="feature/x")
    read(hf, hf.stat(MODEL))
    first, *later = [call.url for call in hub.calls("api", "resolve")]
    assert first.endswith("/revision/feature%2Fx")
    assert all(commit.refs["refs/heads/main"] in url for url in later)


def test_a_branch_that_moves_after_the_listing_changes_nothing(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    hf = backend()
    entries = hf.list("hf://owner/name").entries
    repo.commit({"config.json": b"other", "model.safetensors": b"other", "empty": b"other"})
    assert {entry.path: read(hf, entry) for entry in entries} == FILES


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_an_answer_for_another_commit_is_refused_before_its_first_byte(
    hub: FixtureHub, backend: Make, read: Read, path: str
) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(f"hf://owner/name/{path}")
    hub.fault("resolve", headers={"X-Repo-Commit": "0" * 40})
    with pytest.raises(Changed, match="answers for commit '0000"):
        read(hf, entry)
    assert hub.calls("cdn") == []


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"])
def test_an_answer_without_a_commit_is_not_a_hubs(hub: FixtureHub, backend: Make, read: Read, path: str) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(f"hf://owner/name/{path}")
    hub.fault("resolve", headers={"X-Repo-Commit": ""})
    with pytest.raises(Unsupported, match="X-Repo-Commit"):
        read(hf, entry)
    assert hub.calls("cdn") == []


def test_a_branch_named_like_a_commit_does_not_pass_for_it(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    wanted = repo.refs["refs/heads/main"]
    other = repo.commit({"a": b"evil"})
    repo.branch(wanted, other)
    with pytest.raises(Changed, match="branch or tag of this name") as caught:
        backend().list(f"hf://owner/name@{wanted}")
    assert other in caught.value.hint


ODD = ["a b", "a#b", "a?b", "100%", "100%25", "a+b", "a&b=c", "é", "e\u0301", "文", "'q'", '"q"', "a\\b", "~a", "[x]"]
ODD += ["a;b,c", "a@b", ".a", "a:b", "a=b", "a\nb", "a..b", " a", "a/b c"]


def test_odd_names_are_quoted_once_and_decoded_never(hub: FixtureHub, backend: Make, read: Read) -> None:
    files = {f"{name}/{name}.bin": name.encode() for name in ODD}
    hub.repo("owner/name", files)
    hf = backend()
    snapshot = hf.list("hf://owner/name")
    assert {entry.path: read(hf, entry) for entry in snapshot.entries} == files
    asked = {call.url for call in hub.calls("resolve")}
    assert asked == {f"/owner/name/resolve/{snapshot.revision}/{quote(path)}" for path in files}
    for entry in snapshot.entries:
        assert RepoUrl.parse(entry.url).path == entry.path
        assert hf.stat(f"hf://owner/name/{entry.path}").size == entry.size
        assert [e.size for e in hf.list(f"hf://owner/name/{entry.path.partition('/')[0]}").entries] == [entry.size]


def test_names_of_a_listing_are_handed_on_as_they_are_for_the_core_to_judge(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hostile = ["../x", "/etc/x", "C:\\x", "a/../../b", "nul\0", "\ud800"]
    hub.fault("tree", **listing(*({"type": "file", "path": path, "size": 1, "oid": "0" * 40} for path in hostile)))
    assert {entry.path for entry in backend().list("hf://owner/name").entries} == set(hostile)


@pytest.mark.parametrize(
    "row",
    [
        "x",
        {},
        {"type": "file", "path": "", "size": 1},
        {"type": "file", "path": 1, "size": 1},
        {"type": "file", "path": "x"},
        {"type": "file", "path": "x", "size": -1},
        {"type": "file", "path": "x", "size": "1"},
        {"path": "x", "size": 1},
    ],
)
def test_a_listing_with_a_row_that_cannot_be_read_is_refused_whole(hub: FixtureHub, backend: Make, row: Any) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("tree", **listing({"type": "file", "path": "fine", "size": 1, "oid": "0" * 40}, row))
    with pytest.raises(Unsupported, match="cannot be read"):
        backend().list("hf://owner/name")


def test_unknown_keys_of_a_listing_are_ignored(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    rows = [
        {"type": "file", "path": "a", "size": 1, "oid": "0" * 40, "lastCommit": None, "securityFileStatus": {"x": 1}},
        {"type": "directory", "path": "b", "oid": "0" * 40, "new": []},
    ]
    hub.fault("tree", **listing(*rows))
    assert [entry.path for entry in backend().list("hf://owner/name").entries] == ["a"]


def test_only_forty_or_sixty_four_hex_digits_are_a_hash(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    upper, etag = "AB" * 32, '"abc-7"'
    rows = [
        {
            "type": "file",
            "path": "upper",
            "size": 9,
            "oid": "0" * 40,
            "lfs": {"oid": upper, "size": 9, "pointerSize": 1},
        },
        {"type": "file", "path": "opaque", "size": 9, "oid": etag},
        {"type": "file", "path": "pointer", "size": 9, "oid": "0" * 40, "lfs": {"oid": etag, "size": 9}},
    ]
    hub.fault("tree", **listing(*rows))
    snapshot = backend().list("hf://owner/name")
    found = {entry.path: (entry.digests, entry.validator) for entry in snapshot.entries}
    assert found == {
        "upper": ((Digest("sha256", upper.lower()),), f"sha256:{upper.lower()}"),
        "opaque": ((), snapshot.revision),
        # git's hash is of the LFS pointer, not of what is downloaded
        "pointer": ((), snapshot.revision),
    }


def test_a_xet_hash_is_never_taken_for_a_digest(hub: FixtureHub, backend: Make, read: Read) -> None:
    xet = "cd" * 32
    repo = hub.repo("owner/name", {"w.bin": File.of(WEIGHTS, xet=xet)})
    hf = backend()
    entry = hf.stat("hf://owner/name/w.bin")
    assert (entry.digests, entry.validator, entry.size) == ((), f"xet:{xet}", len(WEIGHTS))
    assert entry.blob is not None
    assert read(hf, entry) == WEIGHTS
    repo.commit({"w.bin": File.of(WEIGHTS, xet=xet), "more": b""})
    assert hf.stat("hf://owner/name/w.bin").blob == entry.blob


# who may


@pytest.mark.parametrize(("token", "then"), [(None, "give a token of that account"), ("hf_y", "wait until access")])
def test_a_gated_repository_is_answered_with_where_to_accept_the_terms(
    hub: FixtureHub, backend: Make, read: Read, token: str | None, then: str
) -> None:
    hub.repo("datasets/owner/gated", FILES, gated=True)
    hub.token("hf_y")
    hf = backend(**({"token": token} if token else {}))
    entry = hf.stat("hf://datasets/owner/gated/config.json")
    with pytest.raises(AccessDenied, match="gated") as caught:
        read(hf, entry)
    assert f"open {hub.url}/datasets/owner/gated, log in and accept the terms, then {then}" in caught.value.hint
    assert caught.value.url == f"{hub.url}/datasets/owner/gated"
    assert len(hub.calls("resolve")) == 1


def test_the_kinds_of_not_found_are_told_apart(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    urls = {"hf://owner/none": "repository", "hf://owner/name@none": "revision", "hf://owner/name/none": "file"}
    for url, kind in urls.items():
        with pytest.raises(NotFound) as caught:
            hf.list(url)
        assert caught.value.kind == kind
    # the history is rewritten between listing and fetching
    repo.commits.clear()
    repo.refs.clear()
    with pytest.raises(NotFound, match="no revision"):
        read(hf, entry)


def test_a_bare_401_over_http_is_still_about_the_repository(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    hf = backend()
    entry = hf.stat(MODEL)
    for where in ("revision", "resolve"):
        hub.fault(where, status=401)
    with pytest.raises(NotFound, match="does not exist or is private"):
        hf.list("hf://owner/name")
    with pytest.raises(NotFound, match="does not exist or is private"):
        read(hf, entry)


def test_the_request_id_is_in_every_message(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/gated", FILES, gated=True)
    for url in ("hf://owner/none", "hf://owner/gated@none"):
        with pytest.raises(SourceError, match=r"\(request fixture-\d+\)"):
            backend().list(url)
    hub.fault("revision", status=418)
    with pytest.raises(Unsupported, match=r"418 \(request fixture-\d+\)"):
        backend().list("hf://owner/gated")


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_opens_no_socket(hub: FixtureHub, backend: Make, tools: Tools, name: str) -> None:
    hub.repo("owner/name", FILES)
    snapshot = backend().list("hf://owner/name")
    hub.records.clear()
    hf = HfBackend(build_options(HfBackend, {"endpoint": hub.url}, {name: "1"}), tools)
    for call in (hf.stat, hf.list, hf.exists):
        with pytest.raises(UsageError, match=name):
            call("hf://owner/name/config.json")
    with pytest.raises(UsageError, match=name):
        hf.locate(snapshot.entries[0])
    assert hub.calls() == []
    online = HfBackend(build_options(HfBackend, {"endpoint": hub.url, "offline": "0"}, {name: "1"}), tools)
    assert online.list("hf://owner/name") == snapshot


def test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without(tools: Tools, read: Read) -> None:
    with FixtureHub(prefix="/api/huggingface", password="me:hunter2", page_size=2) as hub:
        hub.repo("owner/name", FILES)
        endpoint = hub.url.replace("http://", "http://me:hunter2@") + "/"
        hf = HfBackend(build_options(HfBackend, {}, {"HF_ENDPOINT": endpoint}), tools)
        snapshot = hf.list("hf://owner/name")
        assert {entry.path: read(hf, entry) for entry in snapshot.entries} == FILES
        assert hf.list(f"{hub.url}/owner/name/tree/main").entries == snapshot.entries
        assert "hunter2" not in repr(snapshot)
        assert hub.url in snapshot.entries[0].identity
        assert hub.records.leaks() == []
        assert len(hub.calls("tree")) == 4
        with pytest.raises(NotFound) as caught:
            hf.list("hf://owner/none")
        assert "hunter2" not in str(caught.value)


def test_a_hub_that_is_not_there_is_named(hub: FixtureHub, backend: Make) -> None:
    with pytest.raises(OriginUnavailable, match=r"127\.0\.0\.1:1: connection refused"):
        backend(endpoint="http://127.0.0.1:1").list("hf://owner/name")


def test_a_compressed_answer_of_the_api_is_read(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    row = {"type": "file", "path": "a", "size": 1, "oid": "0" * 40}
    body = gzip.compress(json.dumps([row]).encode())
    hub.fault("tree", status=200, body=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert [entry.path for entry in backend().list("hf://owner/name").entries] == ["a"]


def test_an_endless_answer_of_the_api_is_refused(
    hub: FixtureHub, backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfly_hf.api.LARGEST_ANSWER", 1 << 20)
    hub.repo("owner/name", FILES)
    # a bomb: a thousand times larger than what is sent
    body = gzip.compress(b"[" + b" " * (8 << 20) + b"]")
    hub.fault("tree", status=200, body=body, headers={**JSON, "Content-Encoding": "gzip"})
    with pytest.raises(Unsupported, match="more than 1 MiB"):
        backend().list("hf://owner/name")
