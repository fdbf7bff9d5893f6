"""Traps of listings: silent cuts, pages, odd rows, odd and hostile names."""

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest

from dfly import (
    AccessDenied,
    Changed,
    Digest,
    SourceError,
    Tools,
    UnsafePath,
    Unsupported,
)
from dfly.backend import build_options
from dfly.paths import refuse_unsafe
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.urls import RepoUrl

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def rows(*items: Any) -> Callable[[dict[str, Any]], object]:
    """Have a listing show these rows instead."""
    return lambda envelope: envelope.update(Data={"Files": list(items)})


def make(hub: FixtureHub, tools: Tools, **given: str) -> ModelScopeBackend:
    return ModelScopeBackend(build_options(ModelScopeBackend, {"endpoint": hub.url, **given}, {}), tools)


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
