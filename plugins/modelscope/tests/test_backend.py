"""What `modelscope://` URLs resolve to, and at which site."""

import hashlib
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from dfly import Digest, NotAFile, NotFound, OriginUnavailable, Tools, UsageError
from dfly.backend import build_options
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.urls import INTERNATIONAL

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = bytes(range(256)) * 64
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "onnx/model.onnx": b"onnx", "onnx/sub/x.txt": b"x"}
NEWER = {**FILES, "config.json": b"[]"}


def test_a_repository_is_pinned_to_its_head_and_each_file_to_its_own_commit(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    first = repo.branches["master"]
    second = repo.commit(NEWER)
    snapshot = backend().list("modelscope://owner/name")
    assert (snapshot.source, snapshot.revision) == (f"modelscope://owner/name@{second}", second)
    assert (snapshot.name, snapshot.public) == ("name", False)
    assert {entry.path: entry.url for entry in snapshot.entries} == {
        path: f"modelscope://owner/name@{second if path == 'config.json' else first}/{path}" for path in FILES
    }
    assert len(hub.calls()) == 1


@pytest.mark.parametrize("tells", ["short", "full"])
def test_the_head_is_known_however_the_listing_tells_it(tools: Tools, tells: str) -> None:
    with FixtureHub(tells_head=tells) as hub:  # type: ignore[arg-type]
        repo = hub.repo("owner/name", FILES)
        commit = repo.commit(NEWER)
        ms = ModelScopeBackend(build_options(ModelScopeBackend, {"endpoint": hub.url}, {}), tools)
        assert ms.list("modelscope://owner/name").revision == commit
        folder = ms.list("modelscope://owner/name/onnx/sub")
        assert (folder.revision, folder.source) == (commit, f"modelscope://owner/name@{commit}/onnx/sub")


def test_a_head_that_left_no_row_is_not_made_up(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", {"a": b"1", "b": b"2"})
    first = repo.branches["master"]
    repo.commit({"a": b"1"})
    snapshot = backend().list("modelscope://owner/name")
    assert (snapshot.revision, snapshot.source) == (None, "modelscope://owner/name@master")
    assert [entry.url for entry in snapshot.entries] == [f"modelscope://owner/name@{first}/a"]


def test_a_commit_that_the_user_gives_is_the_revision_even_where_the_hub_tells_none(tools: Tools) -> None:
    with FixtureHub(tells_head="no") as hub:
        repo = hub.repo("owner/name", FILES)
        commit = repo.branches["master"]
        repo.commit(NEWER)
        ms = ModelScopeBackend(build_options(ModelScopeBackend, {"endpoint": hub.url}, {}), tools)
        assert ms.list("modelscope://owner/name").revision is None
        assert ms.list(f"modelscope://owner/name@{commit.upper()}").revision == commit


def test_small_files_have_a_sha256_too(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    entry = backend().stat("modelscope://owner/name/config.json")
    sha = hashlib.sha256(b"{}").hexdigest()
    assert (entry.digests, entry.validator, entry.size) == ((Digest("sha256", sha),), f"sha256:{sha}", 2)
    assert entry.identity == f"modelscope:{hub.url}/models/owner/name/config.json"
    assert len(hub.calls()) == 1


def test_a_file_that_a_commit_does_not_touch_stays_the_same_entry(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    before = backend().list("modelscope://owner/name")
    repo.commit(NEWER)
    after = backend().list("modelscope://owner/name")
    assert [a.path for a, b in zip(after.entries, before.entries, strict=True) if a != b] == ["config.json"]
    assert before.id != after.id


def test_a_folder_lists_what_is_below_it(hub: FixtureHub, backend: Make) -> None:
    hub.repo("datasets/owner/name", {**FILES, "onnx-other/y": b"y"})
    snapshot = backend().list("modelscope://datasets/owner/name/onnx/")
    assert [entry.path for entry in snapshot.entries] == ["model.onnx", "sub/x.txt"]
    assert snapshot.name == "onnx"


def test_a_repository_and_a_folder_are_not_a_file(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    for url in ("modelscope://owner/name", "modelscope://owner/name/onnx"):
        with pytest.raises(NotAFile, match="-r"):
            backend().stat(url)


@pytest.mark.parametrize("revision", ["v2.0", "feature/x"])
def test_branches_and_tags_are_revisions(hub: FixtureHub, backend: Make, revision: str) -> None:
    repo = hub.repo("owner/name", FILES)
    commit = repo.commit({"a": b"1"}, branch="feature/x")
    repo.tag("v2.0", commit)
    quoted = revision.replace("/", "%2F")
    url = f"modelscope://owner/name@{commit}/a"
    assert backend().stat(f"modelscope://owner/name@{quoted}/a").url == url
    assert backend(revision=revision).stat("modelscope://owner/name/a").url == url
    assert backend(revision=revision).stat(f"modelscope://owner/name@{quoted}/a").url == url


def test_two_revisions_at_once_are_a_usage_error(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES).tag("v2.0")
    with pytest.raises(UsageError, match="--ms-revision"):
        backend(revision="master").list("modelscope://owner/name@v2.0")
    assert hub.calls() == []


def test_a_pinned_url_may_come_back_with_the_option_it_was_made_from(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    repo.commit(NEWER)
    repo.tag("v2.0")
    other = repo.commit({"a": b"1"})
    tagged = backend(revision="v2.0")
    for path in ("config.json", "onnx/sub/x.txt"):
        entry = tagged.stat(f"modelscope://owner/name/{path}")
        assert tagged.stat(entry.url) == entry
    for url in ("modelscope://owner/name", "modelscope://owner/name/onnx"):
        snapshot = tagged.list(url)
        assert tagged.list(snapshot.source) == snapshot
        assert tagged.authorize(snapshot)
    with pytest.raises(UsageError):
        tagged.list(f"modelscope://owner/name@{other}")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("model.safetensor", "model.safetensors"),
        ("Config.json", "config.json"),
        ("model.onnx", "onnx/model.onnx"),
        ("onnx/modle.onnx", "onnx/model.onnx"),
    ],
)
def test_a_misspelt_file_is_answered_with_near_matches(hub: FixtureHub, backend: Make, asked: str, meant: str) -> None:
    hub.repo("owner/name", FILES)
    for call in (backend().stat, backend().list):
        with pytest.raises(NotFound, match=f"did you mean.*'{meant}'") as caught:
            call(f"modelscope://owner/name/{asked}")
        assert caught.value.kind == "file"


def test_an_empty_private_repository_is_authorized_by_its_listing(hub: FixtureHub, backend: Make) -> None:
    hub.repo("me/private", {}, private=True)
    hub.token("ms-x", name="me")
    snapshot = backend(token="ms-x").list("modelscope://me/private")
    assert backend(token="ms-x").authorize(snapshot)
    assert not backend().authorize(snapshot)


def test_locating_a_file_asks_nobody(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.token("ms-x")
    entry = backend(token="ms-x").stat("modelscope://owner/name/onnx/sub/x.txt")
    hub.records.clear()
    request = backend(token="ms-x").locate(entry)
    commit = entry.url.partition("@")[2][:40]
    assert request.url == f"{hub.url}/api/v1/models/owner/name/repo?Revision={commit}&FilePath=onnx%2Fsub%2Fx.txt"
    assert dict(request.headers) == {"Authorization": "Bearer ms-x", "Cookie": "m_session_id=ms-x"}
    assert "ms-x" not in repr(request)
    assert hub.calls() == []


class Sites:
    """Two public sites, both on loopback."""

    def __init__(self, cn: FixtureHub, ai: FixtureHub, tools: Tools) -> None:
        self.cn, self.ai = cn, ai
        self._tools = tools

    def backend(self, **given: str) -> ModelScopeBackend:
        class Here(ModelScopeBackend):
            sites: ClassVar[dict[str, str]] = {"": self.cn.url, INTERNATIONAL: self.ai.url}

        return Here(build_options(Here, given, {}), self._tools)


@pytest.fixture
def sites(hub: FixtureHub, tools: Tools) -> Iterator[Sites]:
    with FixtureHub() as other:
        yield Sites(hub, other, tools)


def test_the_public_sites_are_the_real_ones() -> None:
    assert list(ModelScopeBackend.sites.values()) == ["https://modelscope.cn", "https://www.modelscope.ai"]


def test_without_an_endpoint_the_international_site_is_asked_second(sites: Sites, read: Read) -> None:
    sites.ai.repo("owner/name", FILES)
    ms = sites.backend()
    snapshot = ms.list("modelscope://owner/name")
    assert {entry.path: read(ms, entry) for entry in snapshot.entries} == FILES
    assert len(sites.cn.calls()) == 1
    assert snapshot.source.startswith("modelscope://modelscope.ai/owner/name@")
    assert {entry.url.split("@")[0] for entry in snapshot.entries} == {"modelscope://modelscope.ai/owner/name"}
    assert all(entry.identity.startswith(f"modelscope:{sites.ai.url}/") for entry in snapshot.entries)


def test_what_was_found_at_the_international_site_is_never_taken_from_the_other(sites: Sites, read: Read) -> None:
    sites.ai.repo("owner/name", FILES)
    found = sites.backend().list("modelscope://owner/name")
    # somebody takes the free name on the other site
    sites.cn.repo("owner/name", dict.fromkeys(FILES, b"evil"))
    sites.cn.records.clear()
    ms = sites.backend()
    assert ms.list(found.source) == found
    assert ms.stat(found.entries[0].url) == found.entries[0]
    assert {entry.path: read(ms, entry) for entry in found.entries} == FILES
    assert ms.authorize(found)
    link = "https://www.modelscope.ai/models/owner/name/resolve/master/config.json"
    assert ms.stat(link) == found.entries[0]
    assert sites.cn.calls() == []


def test_a_repository_of_the_first_site_is_not_asked_for_at_the_second(sites: Sites) -> None:
    sites.cn.repo("owner/name", FILES)
    ms = sites.backend()
    assert ms.stat("modelscope://owner/name/config.json").identity.startswith(f"modelscope:{sites.cn.url}/")
    for url in ("owner/name/none", "owner/name@none"):
        with pytest.raises(NotFound):
            ms.list(f"modelscope://{url}")
    assert sites.ai.calls() == []


def test_a_repository_of_neither_site_is_said_to_be_missing_at_both(sites: Sites) -> None:
    with pytest.raises(NotFound, match=f"{sites.cn.url} and {sites.ai.url}") as caught:
        sites.backend().list("modelscope://owner/name")
    assert caught.value.kind == "repository"
    sites.ai.fault("files", status=500, times=None)
    with pytest.raises(NotFound):
        sites.backend().list("modelscope://owner/name")
    sites.cn.fault("files", status=500, times=None)
    with pytest.raises(OriginUnavailable):
        sites.backend().list("modelscope://owner/name")


def test_with_an_endpoint_given_no_other_site_is_asked(sites: Sites, hub: FixtureHub) -> None:
    sites.ai.repo("owner/name", FILES)
    with pytest.raises(NotFound):
        sites.backend(endpoint=hub.url).list("modelscope://owner/name")
    assert sites.ai.calls() == []
    assert (
        sites.backend(endpoint=sites.ai.url)
        .list("modelscope://modelscope.ai/owner/name")
        .source.startswith("modelscope://owner/name@")
    )
