"""The fixture hub is as the real hub, as far as the hub's own client can tell: what it accepts, and what it asks."""

import hashlib
import inspect
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, RepoFile, RepoFolder
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from dfly_hf.testing import File, FixtureHub

FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": bytes(range(256)) * 400,
    "sub/dir/100% a+b#c?.txt": b"odd",
    "empty": b"",
}


@pytest.fixture
def download(hub: FixtureHub, tmp_path: Path) -> Callable[..., Path]:
    def run(repo: str, **more: Any) -> Path:
        options = {"endpoint": hub.url, "cache_dir": tmp_path / "cache", "token": False, **more}
        return Path(huggingface_hub.snapshot_download(repo, **options))

    return run


def test_a_snapshot_arrives_whole_with_the_calls_that_the_real_hub_sees(
    hub: FixtureHub, download: Callable[..., Path]
) -> None:
    commit = hub.repo("owner/name", FILES).find("main")
    assert commit is not None
    folder = download("owner/name")
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert folder.name == commit.id
    assert [(call.kind, call.status) for call in hub.calls("api")] == [("revision", 200), ("tree", 200)]
    resolves = {(call.method, call.path, call.status) for call in hub.calls("resolve")}
    assert resolves == {
        ("HEAD", "config.json", 200),
        ("GET", "config.json", 200),
        ("HEAD", "model.safetensors", 302),
        ("HEAD", "sub/dir/100% a+b#c?.txt", 200),
        ("GET", "sub/dir/100% a+b#c?.txt", 200),
        ("HEAD", "empty", 200),
    }
    assert [(call.method, call.path, call.status) for call in hub.calls("cdn")] == [("GET", "model.safetensors", 200)]
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))


def test_the_etags_are_the_hashes_that_the_client_verifies(hub: FixtureHub) -> None:
    hub.repo("owner/name", FILES)
    url = f"{hub.url}/owner/name/resolve/main"
    small = huggingface_hub.get_hf_file_metadata(f"{url}/config.json", token=False)
    git = hashlib.sha1(b"blob 800\0" + FILES["config.json"]).hexdigest()
    assert (small.etag, small.size) == (git, 800)
    large = huggingface_hub.get_hf_file_metadata(f"{url}/model.safetensors", token=False)
    assert (large.etag, large.size) == (hashlib.sha256(FILES["model.safetensors"]).hexdigest(), 102_400)
    assert large.location.startswith(hub.cdn_url)


def test_a_listing_comes_in_pages(tmp_path: Path) -> None:
    files = {f"dir{i % 3}/file{i:02}": b"" for i in range(20)}
    with FixtureHub(page_size=5, prefix="/hf") as hub:
        hub.repo("datasets/owner/name", files)
        api = HfApi(endpoint=hub.url, token=False)
        rows = list(api.list_repo_tree("owner/name", repo_type="dataset", recursive=True))
        assert {row.path for row in rows if isinstance(row, RepoFile)} == set(files)
        assert {row.path for row in rows if isinstance(row, RepoFolder)} == {"dir0", "dir1", "dir2"}
        assert len(hub.calls("tree")) == 5
        below = api.list_repo_tree("owner/name", "dir1", repo_type="dataset", recursive=True, expand=True)
        assert len(list(below)) == 7
        flat = [row.path for row in api.list_repo_tree("owner/name", repo_type="dataset")]
        assert flat == ["dir0", "dir1", "dir2"]


def test_the_client_reads_a_repository_its_refs_and_its_history(hub: FixtureHub) -> None:
    repo = hub.repo("owner/name", {"a": b"1"})
    first = repo.refs["refs/heads/main"]
    second = repo.commit({"a": b"2"}, title="Second")
    repo.tag("v1", first)
    repo.branch("feature/x", first)
    repo.commit({"a": b"3"}, branch="refs/pr/1")
    repo.commit({"a": b"4"}, branch="refs/convert/parquet")
    api = HfApi(endpoint=hub.url, token=False)
    assert api.repo_info("owner/name").sha == second
    for revision in ("v1", "feature/x", first):
        assert api.repo_info("owner/name", revision=revision).sha == first
    assert api.repo_info("owner/name", revision="refs/pr/1").sha == repo.refs["refs/pr/1"]
    refs = api.list_repo_refs("owner/name", include_pull_requests=True)
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": second, "feature/x": first}
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first)]
    assert [ref.ref for ref in refs.converts] == ["refs/convert/parquet"]
    assert [ref.ref for ref in refs.pull_requests or ()] == ["refs/pr/1"]
    assert [(c.commit_id, c.title) for c in api.list_repo_commits("owner/name")] == [
        (second, "Second"),
        (first, "Add files"),
    ]


def test_paths_info_drops_what_is_not_there(hub: FixtureHub) -> None:
    hub.repo("owner/name", FILES)
    api = HfApi(endpoint=hub.url, token=False)
    found = api.get_paths_info("owner/name", ["sub", "model.safetensors", "none"])
    assert {row.path: type(row) for row in found} == {"sub": RepoFolder, "model.safetensors": RepoFile}
    lfs = next(row.lfs for row in found if isinstance(row, RepoFile))
    assert lfs is not None
    assert lfs.sha256 == hashlib.sha256(FILES["model.safetensors"]).hexdigest()


def test_sizes_and_hashes_are_in_the_info_where_asked_for(hub: FixtureHub) -> None:
    hub.repo("owner/name", FILES)
    info = HfApi(endpoint=hub.url, token=False).model_info("owner/name", files_metadata=True)
    sizes = {sibling.rfilename: (sibling.size, sibling.lfs is not None) for sibling in info.siblings or ()}
    assert sizes == {name: (len(data), name.endswith(".safetensors")) for name, data in FILES.items()}
    assert (info.private, info.gated) == (False, False)


@pytest.mark.parametrize("kind", ["dataset", "space"])
def test_datasets_and_spaces_have_their_own_paths(hub: FixtureHub, download: Callable[..., Path], kind: str) -> None:
    hub.repo(f"{kind}s/owner/name", {"data.bin": b"1", "readme.md": b"2"})
    assert sorted(path.name for path in download("owner/name", repo_type=kind).iterdir()) == ["data.bin", "readme.md"]
    assert {call.url.split("/resolve/")[0] for call in hub.calls("resolve")} == {f"/{kind}s/owner/name"}


def test_a_renamed_repository_is_found_under_its_old_name(hub: FixtureHub, download: Callable[..., Path]) -> None:
    hub.repo("old/name", FILES)
    hub.rename("old/name", "new/name")
    assert (download("old/name") / "config.json").read_bytes() == FILES["config.json"]
    assert HfApi(endpoint=hub.url, token=False).model_info("old/name").id == "new/name"
    assert 307 in {call.status for call in hub.calls("revision")}


def test_a_legacy_name_is_redirected_to_its_owner(hub: FixtureHub, download: Callable[..., Path]) -> None:
    hub.repo("openai-community/gpt2", FILES)
    hub.rename("gpt2", "openai-community/gpt2")
    assert (download("gpt2") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_private_repository_opens_to_its_token_only(hub: FixtureHub, download: Callable[..., Path]) -> None:
    hub.repo("owner/private", FILES, private=True)
    hub.token("hf_x", name="reader", grants=["owner/private"])
    hub.token("hf_y", name="other")
    for token, status in ((False, 401), ("hf_y", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            download("owner/private", token=token)
        assert caught.value.response.status_code == status
    with pytest.raises(HfHubHTTPError) as wrong:
        HfApi(endpoint=hub.url, token="hf_wrong").model_info("owner/private")
    assert not isinstance(wrong.value, RepositoryNotFoundError)
    assert wrong.value.response.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
    assert (download("owner/private", token="hf_x") / "empty").read_bytes() == b""
    assert hub.records.leaks() == []
    assert hub.calls("cdn")


def test_a_gated_repository_lists_to_all_and_gives_to_some(hub: FixtureHub, download: Callable[..., Path]) -> None:
    hub.repo("owner/gated", FILES, gated=True)
    hub.token("hf_x", grants=["owner/gated"])
    hub.token("hf_y")
    api = HfApi(endpoint=hub.url, token=False)
    assert api.model_info("owner/gated").gated == "auto"
    assert len(list(api.list_repo_tree("owner/gated"))) == 4
    for token, status in ((False, 401), ("hf_y", 403)):
        with pytest.raises(GatedRepoError) as caught:
            download("owner/gated", token=token)
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            api.auth_check("owner/gated", token=token)
    api.auth_check("owner/gated", token="hf_x")
    assert (download("owner/gated", token="hf_x") / "empty").exists()


def test_what_is_missing_has_its_own_error(hub: FixtureHub, tmp_path: Path) -> None:
    repo = hub.repo("owner/name", FILES)
    hub.repo("owner/disabled", FILES, disabled=True)
    api = HfApi(endpoint=hub.url, token=False)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("owner/none")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("owner/name", revision="none")
    with pytest.raises(DisabledRepoError):
        api.model_info("owner/disabled")
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        huggingface_hub.hf_hub_download("owner/name", "none", endpoint=hub.url, cache_dir=tmp_path, token=False)
    assert caught.value.response.headers["X-Repo-Commit"] == repo.refs["refs/heads/main"]
    assert "fixture-" in str(caught.value)


def test_whoami_knows_its_tokens(hub: FixtureHub) -> None:
    hub.token("hf_x", name="somebody")
    api = HfApi(endpoint=hub.url)
    assert api.whoami("hf_x")["name"] == "somebody"
    with pytest.raises(HfHubHTTPError):
        api.whoami("hf_y")


def test_a_small_file_comes_compressed_to_who_takes_it(hub: FixtureHub, tmp_path: Path) -> None:
    hub.repo("owner/name", FILES)
    got = huggingface_hub.hf_hub_download(
        "owner/name", "config.json", endpoint=hub.url, cache_dir=tmp_path, token=False
    )
    assert Path(got).read_bytes() == FILES["config.json"]
    (get,) = [call for call in hub.calls("resolve") if call.method == "GET"]
    assert "gzip" in get.encoding


def test_a_file_of_xet_is_listed_with_its_hash(hub: FixtureHub) -> None:
    xet = "ab" * 32
    hub.repo("owner/name", {"both.bin": File.of(b"1", lfs=True, xet=xet), "only.bin": File.of(b"2", xet=xet)})
    rows = HfApi(endpoint=hub.url, token=False).list_repo_tree("owner/name")
    assert {row.path: (row.xet_hash, row.lfs is not None) for row in rows if isinstance(row, RepoFile)} == {
        "both.bin": (xet, True),
        "only.bin": (xet, False),
    }


def test_the_client_waits_out_a_rate_limit(hub: FixtureHub, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep, me = time.sleep, threading.current_thread()

    def note(seconds: float) -> None:
        # what other tests have left running sleeps on
        waits.append(seconds) if threading.current_thread() is me else sleep(seconds)

    monkeypatch.setattr(time, "sleep", note)
    hub.repo("owner/name", FILES)
    hub.fault("tree", status=429, headers={"RateLimit": '"api";r=0;t=55'})
    api = HfApi(endpoint=hub.url, token=False)
    assert len(list(api.list_repo_tree("owner/name"))) == 4
    assert [call.status for call in hub.calls("tree")] == [429, 200]
    assert waits == [56]


def test_the_client_was_the_real_one() -> None:
    assert "site-packages" in inspect.getfile(huggingface_hub)
