"""Every trap of ModelScope that this plugin has to survive, named after the truth that must hold."""

import gzip
import hashlib
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from dfly import (
    AccessDenied,
    Changed,
    Digest,
    NotFound,
    OriginUnavailable,
    RateLimited,
    SourceError,
    Tools,
    UnsafePath,
    Unsupported,
)
from dfly.backend import build_options
from dfly.paths import refuse_unsafe
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.envelope import NO_ACCESS, NO_TREE
from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.testing.hub import bad_token
from dfly_modelscope.urls import RepoUrl

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
MODEL = "modelscope://owner/name/model.safetensors"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def rows(*items: Any) -> Callable[[dict[str, Any]], object]:
    """Have a listing show these rows instead."""
    return lambda envelope: envelope.update(Data={"Files": list(items)})


def make(hub: FixtureHub, tools: Tools, **given: str) -> ModelScopeBackend:
    return ModelScopeBackend(build_options(ModelScopeBackend, {"endpoint": hub.url, **given}, {}), tools)


# what is transferred


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_part_is_known_by_its_content_range_and_not_by_its_status(
    tools: Tools, read: Read, status: int, name: str
) -> None:
    with FixtureHub(part_status=status) as hub:
        hub.repo("owner/name", FILES)
        ms = make(hub, tools)
        entry = ms.stat(f"modelscope://owner/name/{name}")
        half = len(FILES[name]) // 2
        assert read(ms, entry, half) + read(ms, entry, 0, half) == FILES[name][half:] + FILES[name][:half]
        where = "cdn" if name == "model.safetensors" else "resolve"
        assert [call.status for call in hub.calls(where)] == [status, status]
        assert hub.records.bytes_sent() == len(FILES[name])


def test_a_small_file_whose_range_is_ignored_is_not_mixed(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat("modelscope://owner/name/config.json")
    hub.fault("resolve", whole=True, times=None)
    with pytest.raises(SourceError):
        list(ms.get(entry, 100, None))
    assert b"".join(ms.get(entry, 0, None)) == FILES["config.json"]


def test_a_file_costs_one_resolve_call_and_no_head(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for entry in ms.list("modelscope://owner/name").entries:
        half = (entry.size or 0) // 2
        assert read(ms, entry, 0, half) + read(ms, entry, half) == FILES[entry.path]
    resolves = [(call.method, call.path) for call in hub.calls("resolve")]
    assert resolves.count(("GET", "model.safetensors")) == 1
    assert {method for method, _ in resolves} == {"GET"}
    assert hub.records.bytes_sent("model.safetensors") == len(WEIGHTS)


def test_bearer_and_cookie_go_to_the_hub_and_to_no_other_origin(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("me/private", FILES, private=True)
    hub.token("ms-x", name="me")
    ms = backend(token="ms-x")
    for entry in ms.list("modelscope://me/private").entries:
        read(ms, entry)
    assert ms.authorize(ms.list("modelscope://me/private"))
    at_home = hub.calls("api", "resolve")
    assert at_home
    assert {(call.authorized, call.cookies) for call in at_home} == {(True, True)}
    assert hub.calls("cdn")
    # the storage differs from the hub in its port only
    assert hub.records.leaks() == []


def test_the_leak_detector_detects(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    request = ms.locate(ms.stat(MODEL))
    link = ms.tools.client.get(request.url, extensions={"dfly.follow": False}).headers["location"]
    for header in ("Authorization", "Cookie", "X-Request-ID"):
        ms.tools.client.get(link, headers={header: "m_session_id=x"})
    assert len(hub.records.leaks()) == 3


def test_neither_token_nor_signature_is_logged(
    hub: FixtureHub, backend: Make, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.repo("me/private", FILES, private=True)
    hub.token("ms-canary", name="me")
    ms = backend(token="ms-canary")
    read(ms, ms.stat("modelscope://me/private/model.safetensors"))
    assert "/repo" in caplog.text
    assert "ms-canary" not in caplog.text
    assert "Signature" not in caplog.text


def test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    assert read(ms, entry, 0, 1000) == WEIGHTS[:1000]
    hub.expire_links()
    assert read(ms, entry, 1000) == WEIGHTS[1000:]
    assert [call.status for call in hub.calls("cdn")] == [200, 403, 200]
    assert hub.records.bytes_sent() == len(WEIGHTS)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_cut_body_goes_on_at_the_offset(hub: FixtureHub, backend: Make, read: Read, name: str) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(f"modelscope://owner/name/{name}")
    where = "cdn" if name == "model.safetensors" else "resolve"
    hub.fault(where, cut=100)
    hub.fault(where, cut=50)
    assert read(ms, entry) == FILES[name]
    last = len(FILES[name]) - 1
    assert [call.range for call in hub.calls(where)] == [None, f"bytes=100-{last}", f"bytes=150-{last}"]


def test_a_body_shorter_than_listed_is_not_complete(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault("cdn", shorten=10, times=None)
    with pytest.raises(OriginUnavailable):
        read(ms, entry)


def test_wrong_bytes_of_the_right_length_do_not_match_the_digest(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for name, where in (("config.json", "resolve"), ("model.safetensors", "cdn")):
        entry = ms.stat(f"modelscope://owner/name/{name}")
        hub.fault(where, flip=True)
        wrong = read(ms, entry)
        assert len(wrong) == entry.size
        assert hashlib.sha256(wrong).hexdigest() != entry.digest("sha256")


def test_content_that_is_announced_as_another_files_is_refused(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault("resolve", headers={"X-Linked-ETag": '"' + "0" * 64 + '"'})
    with pytest.raises(Changed, match="other content than it listed"):
        read(ms, entry)
    assert hub.calls("cdn") == []


@pytest.mark.parametrize("where", ["resolve", "cdn"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_file_request_is_tried_again(
    hub: FixtureHub, backend: Make, read: Read, where: str, status: int
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault(where, status=status)
    assert read(ms, entry) == WEIGHTS
    assert hub.calls(where)[0].status == status


def test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", status=500, times=2)
    assert backend().stat(MODEL).size == len(WEIGHTS)
    # a business code does not make an outage final
    hub.fault("files", **{**bad_token(), "status": 502}, times=None)
    with pytest.raises(OriginUnavailable, match=hub.url):
        backend().stat(MODEL)


def test_a_rate_limit_is_waited_out_and_one_that_lasts_says_what_helps(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    hub.fault("files", status=429, headers={"Retry-After": "0"})
    hub.fault("resolve", status=429, headers={"Retry-After": "0"})
    assert read(ms, ms.stat(MODEL)) == WEIGHTS
    hub.fault("files", status=429, times=None)
    with pytest.raises(RateLimited, match="give a token"):
        ms.stat(MODEL)


# refusals under any status


@pytest.mark.parametrize(
    ("envelope", "error", "match"),
    [
        ({"Code": 500, "Success": False, "Data": None, "Message": "internal"}, OriginUnavailable, "500"),
        ({"Code": 404, "Success": False, "Data": None}, NotFound, "does not exist or is private"),
        ({"Code": 403, "Success": False, "Data": None}, AccessDenied, "403"),
        ({"Code": 10010299999, "Success": True, "Data": {"Files": []}, "Message": "strange"}, SourceError, "strange"),
        ({"Code": 200, "Success": False, "Data": {"Files": []}, "Message": "no luck"}, SourceError, "no luck"),
        ({"Code": "Oops", "Success": True, "Data": {"Files": []}}, SourceError, "refuses"),
        ({"Code": 200, "Success": True, "Data": None}, Unsupported, "without data"),
        ({"Code": 200, "Success": True, "Data": "x"}, Unsupported, "without data"),
        ({"Code": 200, "Success": True, "Data": {"Files": "x"}}, Unsupported, "no list"),
        ({"Code": 200, "Success": True}, Unsupported, "without data"),
        ([1], Unsupported, "without an envelope"),
        ({"error": "x"}, Unsupported, "without an envelope"),
    ],
)
@pytest.mark.parametrize("start", ["modelscope://", "modelscope://datasets/"])
def test_a_refusal_or_a_strange_answer_under_200_is_never_an_empty_listing(
    hub: FixtureHub, backend: Make, envelope: Any, error: type[SourceError], match: str, start: str
) -> None:
    hub.repo(f"{start.partition('://')[2]}owner/name", FILES)
    for where in ("files", "tree"):
        hub.fault(where, status=200, body=json.dumps(envelope).encode(), times=None)
    with pytest.raises(error, match=match) as caught:
        backend().list(f"{start}owner/name")
    # the core retries on type: a refusal that is none of the known kinds is final
    assert error is not SourceError or type(caught.value) is SourceError


@pytest.mark.parametrize("body", [b"<html>Please log in", b"", b"[" * 100_000])
def test_an_answer_that_is_no_json_is_not_a_hub(hub: FixtureHub, backend: Make, body: bytes) -> None:
    hub.fault("files", status=200, body=body, headers={"Content-Type": "text/html"})
    with pytest.raises(Unsupported, match="MODELSCOPE_ENDPOINT"):
        backend().list("modelscope://owner/name")


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_a_business_code_is_believed_before_the_status(hub: FixtureHub, backend: Make, status: int) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", **{**bad_token(), "status": status})
    with pytest.raises(AccessDenied, match="does not accept the token") as caught:
        backend(token="ms-wrong").list("modelscope://owner/name")
    assert "--ms-endpoint" in caught.value.hint
    assert "ms-wrong" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_in_place_of_a_file_is_not_its_content(
    hub: FixtureHub, backend: Make, read: Read, status: int
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for name in ("config.json", "model.safetensors"):
        entry = ms.stat(f"modelscope://owner/name/{name}")
        hub.fault("resolve", **{**bad_token(), "status": status})
        with pytest.raises(AccessDenied, match="does not accept the token"):
            read(ms, entry)


def test_json_in_place_of_a_file_of_unknown_size_is_not_its_content(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", {"w.dat": b""})
    hub.fault("files", edit=rows({"Path": "w.dat", "Type": "blob", "Size": 0, "Sha256": "", "Revision": "0" * 40}))
    ms = backend()
    entry = ms.stat("modelscope://owner/name/w.dat")
    hub.fault("resolve", status=200, body=b'{"Code":403,"Success":false}')
    with pytest.raises(AccessDenied):
        read(ms, entry)
    hub.fault("resolve", status=200, body=b'{"some": "thing"}', times=None)
    with pytest.raises(OriginUnavailable, match="JSON instead of the file"):
        read(ms, entry)


def test_a_revision_that_does_not_exist_is_not_an_empty_repository(hub: FixtureHub, backend: Make) -> None:
    for kind in ("", "datasets/"):
        hub.repo(f"{kind}owner/name", FILES).tag("v2.0")
        for call in (backend().list, backend().stat):
            for url in (f"modelscope://{kind}owner/name@v2.O", f"modelscope://{kind}owner/name@v2.O/config.json"):
                with pytest.raises(NotFound, match=r"no revision 'v2\.O'") as caught:
                    call(url)
                assert (caught.value.kind, caught.value.hint) == ("revision", "did you mean 'v2.0'?")
        with pytest.raises(NotFound, match=r"branches and tags: master, v2\.0"):
            backend().list(f"modelscope://{kind}owner/name@{'0' * 40}")


def test_a_repository_without_files_is_empty_and_no_error(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/nothing", {})
    snapshot = backend().list("modelscope://owner/nothing")
    assert (snapshot.entries, snapshot.source) == ((), "modelscope://owner/nothing@master")


def test_the_kinds_of_not_found_are_told_apart(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    urls = {
        "owner/none": "repository",
        "owner/name@none": "revision",
        "owner/name/none": "file",
        "owner/name/no/x": "file",
    }
    for url, kind in urls.items():
        for call in (ms.list, ms.stat):
            with pytest.raises(NotFound) as caught:
                call(f"modelscope://{url}")
            assert caught.value.kind == kind
    # the history is rewritten between listing and fetching
    repo.commits.clear()
    with pytest.raises(NotFound, match=r"no file or folder 'model\.safetensors'"):
        read(ms, entry)


@pytest.mark.parametrize("status", [200, 404])
def test_a_folder_that_the_hub_has_no_tree_for_is_a_missing_file(hub: FixtureHub, backend: Make, status: int) -> None:
    hub.repo("owner/name", FILES)
    refusal = json.dumps({"Code": NO_TREE, "Success": False, "Message": "no tree"}).encode()
    hub.fault("files", "sub", status=status, body=refusal)
    with pytest.raises(NotFound, match=r"did you mean 'config\.json'") as caught:
        backend().stat("modelscope://owner/name/sub/config.json")
    assert caught.value.kind == "file"


@pytest.mark.parametrize(("token", "then"), [("", "give a token"), ("ms-y", "a token that may read it")])
def test_a_private_repository_is_answered_with_where_to_ask(
    hub: FixtureHub, backend: Make, token: str, then: str
) -> None:
    hub.repo("owner/private", FILES, private=True)
    hub.token("ms-y", name="other")
    with pytest.raises(AccessDenied, match="private or gated") as caught:
        backend(token=token).list("modelscope://owner/private")
    assert f"open {hub.url}/models/owner/private" in caught.value.hint
    assert then in caught.value.hint


def test_the_request_id_is_in_every_message(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/private", FILES, private=True)
    for url in ("owner/none", "owner/private"):
        with pytest.raises(SourceError, match=r"\(request fixture-\d+\)"):
            backend().list(f"modelscope://{url}")


def test_words_of_the_hub_are_quoted_without_control_characters(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=lambda answer: answer.update(Success=False, Message="\x1b[31mno\nway"))
    with pytest.raises(SourceError) as caught:
        backend().list("modelscope://owner/name")
    assert "[31mno way" in caught.value.message
    assert all(c.isprintable() for c in caught.value.message)


# listings


def test_a_listing_of_exactly_3000_rows_is_read_again_folder_by_folder(hub: FixtureHub, backend: Make) -> None:
    # 2999 files and two folders: one row too many
    files = {f"dir{i % 2}/file{i:04}": b"%d" % i for i in range(2999)}
    commit = hub.repo("owner/name", files).branches["master"]
    snapshot = backend().list("modelscope://owner/name")
    assert {entry.path: entry.size for entry in snapshot.entries} == {name: len(data) for name, data in files.items()}
    first, *others = [call.url.partition("Revision=")[2] for call in hub.calls("files")]
    assert first == "master&Recursive=True"
    # what is read later is read at the same commit
    assert sorted(others) == [
        f"{commit}&Recursive=False",
        f"{commit}&Recursive=True&Root=dir0",
        f"{commit}&Recursive=True&Root=dir1",
    ]


def test_a_listing_of_2999_rows_is_one_call(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", {f"file{i:04}": b"" for i in range(2999)})
    assert len(backend().list("modelscope://owner/name").entries) == 2999
    assert len(hub.calls()) == 1


def test_a_folder_inside_a_folder_past_the_cap_is_reached(hub: FixtureHub, backend: Make) -> None:
    files = {f"a/b{i % 2}/c d+{i:04}": b"" for i in range(3100)}
    hub.repo("owner/name", {**files, "z": b""})
    for url, below in (("modelscope://owner/name", ""), ("modelscope://owner/name/a", "a/")):
        found = [entry.path for entry in backend().list(url).entries]
        assert found == sorted(p.removeprefix(below) for p in {**files, "z": b""} if p.startswith(below))


def test_a_folder_of_3000_files_is_refused_and_never_cut_short(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", {f"dir/file{i:04}": b"" for i in range(3001)})
    with pytest.raises(Unsupported, match="the folder dir holds 3000 entries or more"):
        backend().list("modelscope://owner/name")
    assert backend().stat("modelscope://owner/name/dir/file0042").path == "file0042"
    with pytest.raises(Unsupported, match="lists no more"):
        backend().stat("modelscope://owner/name/dir/file3000")


@pytest.mark.parametrize("count", [199, 200, 201, 400])
@pytest.mark.parametrize("bare", [False, True])
def test_a_dataset_is_read_to_its_last_page(tools: Tools, count: int, bare: bool) -> None:
    with FixtureHub(bare_lists=bare) as hub:
        hub.repo("datasets/owner/name", {f"file{i:03}": b"" for i in range(count)})
        entries = make(hub, tools).list("modelscope://datasets/owner/name").entries
        assert [entry.path for entry in entries] == [f"file{i:03}" for i in range(count)]
        assert len(hub.calls("tree")) == count // 200 + 1


def test_a_dataset_that_fails_on_a_later_page_is_no_shorter_dataset(hub: FixtureHub, backend: Make) -> None:
    hub.repo("datasets/owner/name", {f"file{i:03}": b"" for i in range(450)})
    hub.fault("tree", after=2, times=None, edit=lambda answer: answer.update(Data=None))
    with pytest.raises(Unsupported):
        backend().list("modelscope://datasets/owner/name")


def test_a_dataset_that_changes_between_pages_is_not_mixed(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("datasets/owner/name", {f"file{i:03}": b"" for i in range(250)})
    hub.fault("tree", edit=lambda _: repo.commit({f"file{i:03}": b"1" for i in range(250)}))
    with pytest.raises(Changed, match="while it was being listed"):
        backend().list("modelscope://datasets/owner/name")


def test_a_dataset_whose_pages_begin_again_is_refused(hub: FixtureHub, backend: Make) -> None:
    hub.repo("datasets/owner/name", {})
    same = rows(*({"Path": f"f{i}", "Size": 1} for i in range(200)))
    hub.fault("tree", times=None, edit=same)
    with pytest.raises(SourceError, match="begins again"):
        backend().list("modelscope://datasets/owner/name")


def test_a_page_that_is_denied_after_others_were_shown_is_asked_for_again(
    hub: FixtureHub, backend: Make, slept: list[float]
) -> None:
    hub.repo("datasets/owner/name", {f"file{i:03}": b"" for i in range(450)})
    denied = {"status": 403, "body": b'{"Code":403,"Success":false,"Message":"access denied"}'}
    hub.fault("tree", after=1, times=3, **denied)
    assert len(backend().list("modelscope://datasets/owner/name").entries) == 450
    assert [call.status for call in hub.calls("tree")] == [200, 403, 403, 403, 200, 200]
    assert slept == [1.0, 2.0, 4.0]
    hub.fault("tree", after=1, times=None, **denied)
    with pytest.raises(AccessDenied):
        backend().list("modelscope://datasets/owner/name")


def test_a_denied_folder_of_a_model_past_the_cap_is_asked_for_again(
    hub: FixtureHub, backend: Make, slept: list[float]
) -> None:
    hub.repo("owner/name", {f"dir{i % 2}/file{i:04}": b"" for i in range(3100)})
    hub.fault("files", "dir1", status=403)
    assert len(backend().list("modelscope://owner/name").entries) == 3100
    assert slept == [1.0]


def test_a_page_that_is_denied_at_first_is_denied(hub: FixtureHub, backend: Make, slept: list[float]) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", status=403, times=None)
    with pytest.raises(AccessDenied):
        backend().list("modelscope://owner/name")
    assert (len(hub.calls("files")), slept) == (1, [])


def test_folders_and_submodules_are_no_files(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    row = {"Type": "blob", "Path": "d/a", "Size": 1, "Sha256": "", "New": {"x": []}}
    hub.fault("files", edit=rows({"Path": "d", "Type": "tree", "Size": 0}, row, {"Path": "sub", "Type": "commit"}))
    assert [entry.path for entry in backend().list("modelscope://owner/name").entries] == ["d/a"]


@pytest.mark.parametrize(
    "row",
    [
        "x",
        {},
        {"Path": ""},
        {"Path": 1, "Size": 1},
        {"Path": "x", "Size": -1},
        {"Path": "x", "Size": "1"},
        {"Path": "x", "Size": 1, "Type": "strange"},
        {"Path": "x", "Size": 1, "Type": 7},
    ],
)
def test_a_listing_with_a_row_that_cannot_be_read_is_refused_whole(hub: FixtureHub, backend: Make, row: Any) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=rows({"Path": "fine", "Size": 1, "Type": "blob"}, row))
    with pytest.raises(Unsupported, match="cannot be read"):
        backend().list("modelscope://owner/name")


def test_a_size_of_zero_is_unknown_unless_the_hash_is_that_of_nothing(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", {"w": b"12345", "n": b"123", "e": b""})
    full = hashlib.sha256(b"12345").hexdigest()
    old = {"Revision": hub.repo("owner/name", {"w": b"12345", "n": b"123", "e": b""}).branches["master"]}
    listed = rows(
        {"Path": "w", "Size": 0, "Sha256": full.upper(), **old},
        {"Path": "n", "Size": 0, "Sha256": "", **old},
        {"Path": "e", "Size": 0, "Sha256": EMPTY, **old},
    )
    hub.fault("files", edit=listed)
    ms = backend()
    found = {entry.path: entry for entry in ms.list("modelscope://owner/name").entries}
    assert {path: entry.size for path, entry in found.items()} == {"w": None, "n": None, "e": 0}
    assert found["w"].digests == (Digest("sha256", full),)
    assert {path: read(ms, entry) for path, entry in found.items()} == {"w": b"12345", "n": b"123", "e": b""}


def test_a_file_without_a_hash_is_pinned_by_its_commit(hub: FixtureHub, backend: Make) -> None:
    commit = hub.repo("owner/name", {"a": b"1"}).branches["master"]
    bad = [{"Path": f"a{n}", "Size": 1, "Sha256": sha, "Revision": commit} for n, sha in enumerate(("", None, "abc"))]
    hub.fault("files", edit=rows(*bad))
    for entry in backend().list("modelscope://owner/name").entries:
        assert (entry.digests, entry.validator) == ((), commit)
        assert entry.url.startswith(f"modelscope://owner/name@{commit}/a")
        assert entry.blob is not None


def test_a_file_that_nothing_pins_is_not_shared(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=rows({"Path": "a", "Size": 1}))
    (entry,) = backend().list("modelscope://owner/name").entries
    assert (entry.validator, entry.blob, entry.url) == (None, None, "modelscope://owner/name@master/a")


def test_names_of_a_listing_are_handed_on_as_they_are_for_the_core_to_judge(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hostile = ["../x", "/etc/x", "C:\\x", "a/../../b", "nul\0", "end.", "end ", "A", "a", "\ud800", "x" * 300]
    hub.fault("files", edit=rows(*({"Path": path, "Size": 1} for path in hostile)))
    found = [entry.path for entry in backend().list("modelscope://owner/name").entries]
    assert set(found) == set(hostile)
    with pytest.raises(UnsafePath) as caught:
        refuse_unsafe(found)
    assert len(caught.value.problems) >= len(hostile) - 1


@pytest.mark.parametrize("path", ["../up", "other/x", "sub", "subway/x"])
def test_a_listing_of_a_folder_holds_nothing_of_another(hub: FixtureHub, backend: Make, path: str) -> None:
    hub.repo("owner/name", {"sub/x": b"1"})
    hub.fault("files", "sub", edit=rows({"Path": path, "Size": 1}))
    with pytest.raises(Unsupported, match="another folder"):
        backend().list("modelscope://owner/name/sub")


def test_a_tree_of_folders_without_end_ends(hub: FixtureHub, backend: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfly_modelscope.api.MODEL_CAP", 2)
    monkeypatch.setattr("dfly_modelscope.listing.MOST_LISTINGS", 20)
    hub.repo("owner/name", FILES)
    depth = [0]

    def deeper(envelope: dict[str, Any]) -> None:
        # two calls a level: the whole is cut, the level has one more folder
        depth[0] += 1
        folder = "/".join("d" * ((depth[0] + 1) // 2))
        below = [{"Path": folder, "Type": "tree"}, {"Path": f"{folder}/x", "Size": 1}]
        envelope["Data"] = {"Files": below if depth[0] % 2 else below[:1]}

    hub.fault("files", edit=deeper, times=None)
    with pytest.raises(Unsupported, match="more than 20 listings"):
        backend().list("modelscope://owner/name")


ODD = ["a b", "a#b", "a?b", "100%", "100%25", "a+b", "a&b=c", "é", "e\u0301", "文", "'q'", '"q"', "a\\b", "~a", "[x]"]
ODD += ["a;b,c", "a@b", ".a", "a:b", "a=b", "a\nb", "a..b", " a", "a/b c"]


@pytest.mark.parametrize("kind", ["", "datasets/"])
def test_odd_names_are_quoted_once_with_plus_for_space_and_decoded_never(
    hub: FixtureHub, backend: Make, read: Read, kind: str
) -> None:
    files = {f"{name}/{name}.txt": name.encode() for name in ODD}
    hub.repo(f"{kind}owner/name", files)
    ms = backend()
    snapshot = ms.list(f"modelscope://{kind}owner/name")
    assert {entry.path: read(ms, entry) for entry in snapshot.entries} == files
    asked = {call.url.partition("FilePath=")[2] for call in hub.calls("resolve")}
    assert asked == {quote_plus(path) for path in files}
    for entry in snapshot.entries:
        assert RepoUrl.parse(entry.url).path == entry.path
        assert ms.stat(f"modelscope://{kind}owner/name/{entry.path}").size == entry.size
        folder = entry.path.partition("/")[0]
        assert [e.size for e in ms.list(f"modelscope://{kind}owner/name/{folder}").entries] == [entry.size]


def test_an_answer_of_the_api_is_read_compressed_and_refused_endless(
    hub: FixtureHub, backend: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfly_modelscope.api.LARGEST_ANSWER", 1 << 20)
    answer = {"Code": 200, "Success": True, "Data": {"Files": [{"Path": "a", "Size": 1}]}}
    encoded = {"Content-Encoding": "gzip"}
    hub.fault("files", status=200, body=gzip.compress(json.dumps(answer).encode()), headers=encoded)
    assert [entry.path for entry in backend().list("modelscope://owner/name").entries] == ["a"]
    # a bomb: a thousand times larger than what is sent
    hub.fault("files", status=200, body=gzip.compress(b"[" + b" " * (8 << 20) + b"]"), headers=encoded)
    with pytest.raises(Unsupported, match="more than 1 MiB"):
        backend().list("modelscope://owner/name")


# what is pinned


def test_a_branch_that_moves_after_the_listing_changes_nothing(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entries = ms.list("modelscope://owner/name").entries
    repo.commit({"config.json": b"other", "model.safetensors": b"other", "empty": b"other"})
    assert {entry.path: read(ms, entry) for entry in entries} == FILES


def test_a_branch_named_like_a_commit_does_not_pass_for_it(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    wanted = repo.branches["master"]
    other = repo.commit({"a": b"evil"}, branch=wanted)
    with pytest.raises(Changed, match=f"branch or tag of this name, at commit {other[:8]}"):
        backend().list(f"modelscope://owner/name@{wanted}")


def test_a_gated_repository_lists_to_all_and_is_authorized_by_its_content(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/gated", FILES, gated=True)
    hub.token("ms-x", grants=["owner/gated"])
    hub.token("ms-y", name="other")
    snapshot = backend(token="ms-x").list("modelscope://owner/gated")
    answers = {token: backend(token=token).authorize(snapshot) for token in ("ms-x", "ms-y", "ms-wrong", "")}
    assert answers == {"ms-x": True, "ms-y": False, "ms-wrong": False, "": False}
    assert {call.method for call in hub.calls("resolve")} == {"HEAD"}
    assert hub.calls("cdn") == []


def test_an_access_revoked_in_the_middle_ends_with_where_to_ask(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    read(ms, entry, 0, 1000)
    repo.gated = True
    hub.expire_links()
    with pytest.raises(AccessDenied, match="private or gated"):
        read(ms, entry, 1000)


def test_the_client_s_pickled_cookies_are_never_opened(
    hub: FixtureHub, backend: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    for variable, folder in (("HOME", "u/.modelscope"), ("MODELSCOPE_HOME", "m")):
        file = tmp_path / folder / "credentials/cookies"
        file.parent.mkdir(parents=True)
        file.write_bytes(pickle.dumps(Evil()))
        monkeypatch.setenv(variable, str(tmp_path / folder.partition("/")[0]))
    hub.repo("owner/name", FILES)
    assert backend().settings.token is None
    backend().list("modelscope://owner/name")
    assert not (tmp_path / "opened").exists()
    assert {(call.authorized, call.cookies) for call in hub.calls()} == {(False, False)}


def test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without(tools: Tools, read: Read) -> None:
    with FixtureHub(prefix="/deep/ms") as hub:
        hub.repo("me/private", FILES, private=True)
        hub.token("ms-x", name="me")
        endpoint = hub.url.replace("http://", "http://me:hunter2@") + "/"
        options = build_options(
            ModelScopeBackend, {}, {"MODELSCOPE_ENDPOINT": endpoint, "MODELSCOPE_API_TOKEN": "ms-x"}
        )
        ms = ModelScopeBackend(options, tools)
        snapshot = ms.list("modelscope://me/private")
        # the password takes the header, so the token comes by the cookie alone
        assert {entry.path: read(ms, entry) for entry in snapshot.entries} == FILES
        assert ms.list(f"{hub.url}/models/me/private/resolve/master/config.json").entries[0].size == 400
        assert "hunter2" not in repr(snapshot)
        assert hub.url in snapshot.entries[0].identity
        assert hub.records.leaks() == []
        with pytest.raises(NotFound) as caught:
            ms.list("modelscope://me/none")
        assert "hunter2" not in str(caught.value)


def test_a_hub_that_is_not_there_is_named(backend: Make) -> None:
    with pytest.raises(OriginUnavailable, match=r"127\.0\.0\.1:1: connection refused"):
        backend(endpoint="http://127.0.0.1:1").list("modelscope://owner/name")


def test_no_access_under_200_is_no_access(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=lambda answer: answer.update(Code=NO_ACCESS, Success=False, Data=None))
    with pytest.raises(AccessDenied):
        backend().stat(MODEL)
