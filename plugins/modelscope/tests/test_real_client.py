"""The fixture hub is as the real hub, as far as ModelScope's own client can tell: what it accepts, and what it asks."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modelscope_hub
import pytest
from modelscope.hub.snapshot_download import dataset_snapshot_download, snapshot_download
from modelscope_hub import AuthenticationError, FileDownloadError, HubApi, HubConfig, NotExistError

from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.testing.hub import bad_token

FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": bytes(range(256)) * 400,
    "sub/dir/100% a+b#c&d?.txt": b"odd",
}
Download = Callable[..., dict[str, bytes]]


@pytest.fixture
def download(hub: FixtureHub, tmp_path: Path) -> Download:
    def run(repo: str, *, dataset: bool = False, endpoint: str = hub.url, **more: Any) -> dict[str, bytes]:
        client = dataset_snapshot_download if dataset else snapshot_download
        folder = Path(client(repo, endpoint=endpoint, cache_dir=str(tmp_path / "cache"), **more))
        return files_of(folder)

    return run


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def api(hub: FixtureHub, tmp_path: Path, token: str | None = None) -> HubApi:
    return HubApi(HubConfig(endpoint=hub.url, token=token, cache_dir=tmp_path / "cache", config_dir=tmp_path / "ms"))


def asked(hub: FixtureHub, *kinds: str) -> list[tuple[str, str, int]]:
    return sorted((call.kind, call.path, call.status) for call in hub.calls(*kinds))


def test_a_model_arrives_whole_with_the_calls_that_the_real_hub_sees(hub: FixtureHub, download: Download) -> None:
    hub.repo("owner/name", FILES)
    assert download("owner/name") == FILES
    assert [call.url for call in hub.calls("files")] == [
        "/api/v1/models/owner/name/repo/files?Revision=master&Recursive=True"
    ]
    assert asked(hub, "resolve", "cdn") == [
        ("cdn", "model.safetensors", 200),
        ("resolve", "config.json", 200),
        ("resolve", "model.safetensors", 302),
        ("resolve", "sub/dir/100% a+b#c&d?.txt", 200),
    ]
    odd = next(call.url for call in hub.calls("resolve") if "odd" in call.url or "dir" in call.url)
    assert odd == "/api/v1/models/owner/name/repo?Revision=master&FilePath=sub%2Fdir%2F100%25+a%2Bb%23c%26d%3F.txt"
    assert {call.encoding for call in hub.calls("resolve", "cdn")} == {"identity"}
    assert hub.records.bytes_sent() == sum(map(len, FILES.values()))


@pytest.mark.parametrize("bare", [False, True])
def test_a_dataset_is_listed_in_pages(tmp_path: Path, bare: bool) -> None:
    files = {f"part{i:03}.txt": b"%d" % i for i in range(201)}
    with FixtureHub(bare_lists=bare) as hub:
        hub.repo("datasets/owner/name", files)
        client = api(hub, tmp_path)
        rows = client.legacy.list_repo_files("owner/name", "dataset")
        assert [row["Path"] for row in rows] == sorted(files)
        assert [call.url.partition("Page")[2] for call in hub.calls("tree")] == [
            "Number=1&PageSize=200",
            "Number=2&PageSize=200",
        ]


def test_a_dataset_arrives_whole(hub: FixtureHub, download: Download) -> None:
    hub.repo("datasets/owner/name", FILES)
    assert download("owner/name", dataset=True) == FILES
    assert {call.url.partition("?")[0] for call in hub.calls("resolve")} == {"/api/v1/datasets/owner/name/repo"}


def test_a_model_past_the_cap_is_walked_folder_by_folder(tmp_path: Path) -> None:
    files = {f"dir{i % 2}/file{i:04}": b"" for i in range(3100)}
    with FixtureHub() as hub:
        hub.repo("owner/name", files)
        rows = api(hub, tmp_path).legacy.list_repo_files("owner/name", "model")
        assert {row["Path"] for row in rows if row["Type"] == "blob"} == set(files)
        asked_for = [call.url.partition("Recursive=")[2] for call in hub.calls("files")]
        assert sorted(asked_for) == ["False", "True", "True&Root=dir0", "True&Root=dir1"]


def test_commits_and_tags_are_revisions(hub: FixtureHub, download: Download, tmp_path: Path) -> None:
    repo = hub.repo("owner/name", {"a": b"1"})
    first = repo.branches["master"]
    repo.tag("v1.0")
    repo.commit({"a": b"2"})
    assert [download("owner/name", revision=revision) for revision in ("v1.0", first, "master")] == [
        {"a": b"1"},
        {"a": b"1"},
        {"a": b"2"},
    ]
    branches, tags = api(hub, tmp_path).legacy.list_revisions_detail("owner/name", "model")
    assert [ref["Revision"] for ref in (*branches, *tags)] == ["master", "v1.0"]


def test_a_missing_revision_is_an_empty_success_to_the_client(hub: FixtureHub, download: Download) -> None:
    hub.repo("owner/name", FILES)
    assert download("owner/name", revision="none") == {}
    assert [call.status for call in hub.calls("files")] == [200]


def test_a_refusal_under_200_is_an_empty_success_to_the_client(hub: FixtureHub, download: Download) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=lambda answer: answer.update(Code=500, Success=False, Data=None))
    assert download("owner/name") == {}


def test_a_private_repository_opens_to_its_token_only(tmp_path: Path) -> None:
    # a cookie jar knows no ports: under one name the client would hand its cookie to the storage
    with FixtureHub(cdn_name="localhost") as hub:
        hub.repo("owner/private", FILES, private=True)
        hub.token("ms-x", grants=["owner/private"])
        hub.token("ms-y")
        for token in ("", "ms-y"):
            with pytest.raises(NotExistError):
                api(hub, tmp_path, token).download_repo("owner/private", "model", local_dir=tmp_path / "none")
        api(hub, tmp_path, "ms-x").download_repo("owner/private", "model", local_dir=tmp_path / "got")
        assert files_of(tmp_path / "got") == FILES
        got = hub.calls("files")[-1:] + hub.calls("resolve")
        assert {(call.authorized, call.cookies) for call in got} == {(True, True)}
        assert {(call.authorized, call.cookies) for call in hub.calls("cdn")} == {(False, False)}


def test_the_bearer_token_without_the_cookie_opens_it_too(hub: FixtureHub, tmp_path: Path) -> None:
    hub.repo("owner/private", {"a": b"1"}, private=True)
    hub.token("ms-x", grants=["owner/private"])
    client = api(hub, tmp_path, "ms-x")
    client.legacy._session_authenticated = True
    assert [row["Path"] for row in client.legacy.list_repo_files("owner/private", "model")] == ["a"]
    assert [(call.authorized, call.cookies) for call in hub.calls("files")] == [(True, False)]


def test_what_is_missing_does_not_exist(hub: FixtureHub, tmp_path: Path) -> None:
    hub.repo("owner/name", FILES)
    client = api(hub, tmp_path)
    with pytest.raises(NotExistError):
        client.download_repo("owner/none", "model", local_dir=tmp_path)
    with pytest.raises(NotExistError):
        client.download_file("owner/name", "model", "none.txt", local_dir=tmp_path)
    assert client.repo_exists("owner/name", "model")
    assert not client.repo_exists("owner/none", "model")


def test_a_bad_token_is_an_authentication_error_under_400(hub: FixtureHub, tmp_path: Path) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", **bad_token())
    with pytest.raises(AuthenticationError):
        api(hub, tmp_path, "ms-bad").legacy.list_repo_files("owner/name", "model")
    assert [call.status for call in hub.calls("files")] == [400]


def test_the_client_verifies_the_listed_hash(hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelscope_hub._download.DOWNLOAD_HASH_RETRY_TIMES", 1)
    hub.repo("owner/name", FILES)
    hub.fault("cdn", flip=True)
    with pytest.raises(FileDownloadError, match=r"model\.safetensors"):
        api(hub, tmp_path).download_repo("owner/name", "model", local_dir=tmp_path / "got")


@pytest.mark.parametrize("status", [200, 206])
def test_the_client_resumes_with_a_part_under_either_status(tmp_path: Path, status: int) -> None:
    with FixtureHub(part_status=status) as hub:
        hub.repo("owner/name", FILES)
        for name in ("model.safetensors", "config.json"):
            (tmp_path / f"{name}.incomplete").write_bytes(FILES[name][:100])
        api(hub, tmp_path).download_repo("owner/name", "model", local_dir=tmp_path)
        assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
        answered = [(call.path, call.range, call.status) for call in hub.calls("resolve", "cdn") if call.range]
        assert set(answered) == {
            ("config.json", "bytes=100-", status),
            ("model.safetensors", "bytes=100-", 302),
            ("model.safetensors", "bytes=100-", status),
        }
        assert hub.records.bytes_sent("model.safetensors") == len(FILES["model.safetensors"]) - 100


def test_the_command_downloads_from_the_endpoint_of_the_environment(hub: FixtureHub, tmp_path: Path) -> None:
    hub.repo("owner/name", FILES)
    command = [str(Path(sys.executable).parent / "modelscope"), "download", "--model", "owner/name"]
    env = {**os.environ, "MODELSCOPE_ENDPOINT": hub.url, "MODELSCOPE_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        [*command, "--local_dir", str(tmp_path / "got")], env=env, capture_output=True, text=True, check=True
    )
    assert "Snapshot ready" in ran.stdout + ran.stderr
    assert files_of(tmp_path / "got") == FILES
    assert "modelscope_hub/" in hub.calls("resolve")[0].user_agent


def test_a_private_model_of_a_hub_that_is_a_process_opens_to_a_token(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).write_bytes(FILES[name])
    serve = [sys.executable, "-m", "dfly_modelscope.testing", "--root", str(tmp_path / "model"), "--repo", "owner/name"]
    serve += ["--private", "--token", "ms-x", "--cdn-name", "localhost", "--with-parent"]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        client = HubApi(HubConfig(endpoint=process.stdout.readline().strip(), token="ms-x", config_dir=tmp_path / "ms"))
        client.download_repo("owner/name", "model", local_dir=tmp_path / "got")
        process.stdin.close()
        assert process.wait() == 0
    assert files_of(tmp_path / "got") == files_of(tmp_path / "model")


def test_the_client_was_the_real_one() -> None:
    for module in (modelscope_hub, inspect.getmodule(snapshot_download)):
        assert module is not None
        assert "site-packages" in inspect.getfile(module)
