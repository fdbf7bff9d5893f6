"""Through a daemon's endpoint the hub's own client gets what it gets from the hub: the same files, hashes and exceptions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, HfFileSystem, RepoFile

from dfly.plugins import Plugins
from dfly.testing.swarm import small_swarm
from dfly_hf.testing import File, FixtureHub

from .daemons import daemon

ODD = "sub/dir/100% a+b#c?&é'.txt"
FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": bytes(range(256)) * 12_000,
    "model-2.safetensors": bytes(range(255, -1, -1)) * 400,
    ODD: b"odd",
    "sub/readme.md": b"# Read me",
    "empty": b"",
    "tokenizer/vocab.txt": b"a\nb\n",
}
Call = Callable[[str, Path], Any]


@pytest.fixture(scope="module")
def filled() -> Iterator[FixtureHub]:
    with FixtureHub() as hub:
        fill(hub)
        yield hub


def fill(hub: FixtureHub) -> None:
    repo = hub.repo("owner/name", {"config.json": b"{}", "gone": b"1"})
    first = repo.refs["refs/heads/main"]
    repo.commit(FILES, title="Second")
    repo.tag("v1", first)
    repo.branch("feature/x", first)
    repo.commit({"a": b"3"}, branch="refs/pr/1")
    hub.repo("datasets/owner/name", {"train/0.parquet": b"PAR1" * 999, "readme.md": b"2"})
    hub.repo("spaces/owner/name", {"app.py": b"print()"})
    hub.repo("owner/private", FILES, private=True)
    hub.repo("owner/gated", FILES, gated=True)
    hub.repo("owner/disabled", FILES, disabled=True)
    hub.repo("owner/bare", {})
    hub.repo("openai-community/gpt2", FILES)
    hub.rename("gpt2", "openai-community/gpt2")
    hub.repo(
        "owner/xet",
        {"both.bin": File.of(b"1" * 999, lfs=True, xet="ab" * 32), "only.bin": File.of(b"2", xet="cd" * 32)},
    )
    hub.token("hf_x", name="reader", grants=["owner/private", "owner/gated"])
    hub.token("hf_y", name="other")


@pytest.fixture(params=["alone", "swarm"])
def endpoint(
    request: pytest.FixtureRequest, filled: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setenv("HF_ENDPOINT", filled.url)
    if request.param == "alone":
        with daemon(tmp_path / "node") as url:
            yield url
    else:
        with (
            small_swarm(tmp_path, plugins=Plugins()) as swarm,
            daemon(tmp_path / "node", seed_peers=(swarm.url,)) as url,
        ):
            yield url


def tree(folder: Path | str) -> dict[str, bytes]:
    folder = Path(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def snapshot(repo: str, **more: Any) -> Call:
    return lambda url, place: tree(
        huggingface_hub.snapshot_download(repo, endpoint=url, cache_dir=place, **{"token": False, **more})
    )


def file(repo: str, name: str, **more: Any) -> Call:
    def call(url: str, place: Path) -> Any:
        options = {"token": False, **more}
        found = huggingface_hub.hf_hub_download(repo, name, endpoint=url, cache_dir=place, **options)
        return Path(found).relative_to(place).as_posix(), Path(found).resolve().name, Path(found).read_bytes()

    return call


def api(name: str, *args: Any, shown: Callable[[Any], Any], **more: Any) -> Call:
    return lambda url, _: shown(getattr(HfApi(endpoint=url, token=False), name)(*args, **more))


def rows(found: Any) -> Any:
    return [
        (r.path, r.size, r.blob_id, r.lfs and (r.lfs.sha256, r.lfs.size)) if isinstance(r, RepoFile) else r.path
        for r in found
    ]


def last_commits(found: Any) -> Any:
    return [(row.path, row.last_commit.oid) for row in found]


def siblings(info: Any) -> Any:
    return info.id, info.sha, [(s.rfilename, s.size, s.blob_id, s.lfs and s.lfs.sha256) for s in info.siblings]


def refs(found: Any) -> Any:
    return [(ref.name, ref.target_commit) for group in (found.branches, found.tags) for ref in group]


def read(path: str, start: int, stop: int, **more: Any) -> Call:
    def call(url: str, _: Path) -> bytes:
        fs = HfFileSystem(endpoint=url, token=False, skip_instance_cache=True, **more)
        with fs.open(path, "rb", block_size=1000) as opened:
            opened.seek(start)
            return bytes(opened.read(stop - start))

    return call


def listed(path: str) -> Call:
    def call(url: str, _: Path) -> Any:
        fs = HfFileSystem(endpoint=url, token=False, skip_instance_cache=True)
        return sorted(fs.find(path)), [(r["name"], r["size"], r["type"]) for r in fs.ls(path, detail=True)]

    return call


CALLS: dict[str, Call] = {
    "a snapshot": snapshot("owner/name"),
    "a dataset": snapshot("owner/name", repo_type="dataset"),
    "a space": snapshot("owner/name", repo_type="space"),
    "a tag": snapshot("owner/name", revision="v1"),
    "a branch with a slash": snapshot("owner/name", revision="feature/x"),
    "a pull request": snapshot("owner/name", revision="refs/pr/1"),
    "patterns": snapshot("owner/name", allow_patterns=["*.json", "sub/*"], ignore_patterns="*.md"),
    "no match": snapshot("owner/name", allow_patterns="nothing*"),
    "an empty repository": snapshot("owner/bare"),
    "an old name": snapshot("gpt2"),
    "xet files": snapshot("owner/xet"),
    "a private one for its token": snapshot("owner/private", token="hf_x"),
    "a private one for another": snapshot("owner/private", token="hf_y"),
    "a private one for nobody": snapshot("owner/private"),
    "a wrong token": snapshot("owner/private", token="hf_wrong"),
    "a gated one for its token": snapshot("owner/gated", token="hf_x"),
    "a gated one for another": snapshot("owner/gated", token="hf_y"),
    "a gated one for nobody": snapshot("owner/gated"),
    "a disabled one": snapshot("owner/disabled"),
    "no repository": snapshot("owner/none"),
    "no revision": snapshot("owner/name", revision="none"),
    "no commit": snapshot("owner/name", revision="0" * 40),
    "a file": file("owner/name", "model.safetensors"),
    "a small file": file("owner/name", "config.json"),
    "an odd name": file("owner/name", ODD),
    "an empty file": file("owner/name", "empty"),
    "a file of a revision": file("owner/name", "gone", revision="v1"),
    "no file": file("owner/name", "none"),
    "no file in a dataset": file("owner/name", "none", repo_type="dataset"),
    "a file of no revision": file("owner/name", "config.json", revision="none"),
    "a gated file": file("owner/gated", "config.json"),
    "a gated file for its token": file("owner/gated", "config.json", token="hf_x"),
    "a private file": file("owner/private", "config.json"),
    "a tree": api("list_repo_tree", "owner/name", shown=rows),
    "a whole tree": api("list_repo_tree", "owner/name", recursive=True, shown=rows),
    "a folder": api("list_repo_tree", "owner/name", "sub", recursive=True, shown=rows),
    "no folder": api("list_repo_tree", "owner/name", "none", shown=rows),
    "an expanded tree": api(
        "list_repo_tree", "owner/name", expand=True, shown=lambda f: [(r.path, r.last_commit.oid) for r in f]
    ),
    "a gated tree": api("list_repo_tree", "owner/gated", recursive=True, shown=rows),
    "paths": api("get_paths_info", "owner/name", ["sub", "config.json", "none"], shown=rows),
    "files": api("list_repo_files", "owner/name", shown=sorted),
    "refs": api("list_repo_refs", "owner/name", shown=refs),
    "commits": api("list_repo_commits", "owner/name", shown=lambda found: [c.commit_id for c in found]),
    "a model": api("model_info", "owner/name", shown=siblings),
    "a model with sizes": api("model_info", "owner/name", revision="main", files_metadata=True, shown=siblings),
    "a model of a revision": api("model_info", "owner/name", revision="v1", shown=siblings),
    "a dataset's description": api("dataset_info", "owner/name", revision="main", shown=siblings),
    "a space's description": api("space_info", "owner/name", revision="main", shown=siblings),
    "a gated model": api("model_info", "owner/gated", shown=lambda info: (info.gated, info.private)),
    "an old model": api("model_info", "gpt2", revision="main", shown=siblings),
    "whether there is a file": api("file_exists", "owner/name", "none", shown=bool),
    "whether there is a repository": api("repo_exists", "owner/none", shown=bool),
    "access": api("auth_check", "owner/gated", shown=repr),
    "whoami": api("whoami", token="hf_x", shown=lambda who: who["name"]),
    "whoami of nobody": api("whoami", token="hf_z", shown=repr),
    "a stretch": read("owner/name/model.safetensors", 70_000, 71_000),
    "the end": read("owner/name/model.safetensors", 3_071_990, 3_072_000),
    "a dataset's file": read("datasets/owner/name/train/0.parquet", 3, 8),
    "a file system": listed("owner/name"),
    "a folder of a file system": listed("datasets/owner/name/train"),
    "nothing in a file system": listed("owner/none"),
}


def outcome(call: Call, url: str, place: Path) -> Any:
    try:
        return call(url, place)
    except Exception as error:
        response = getattr(error, "response", None)
        said = () if response is None else (response.status_code, response.headers.get("X-Error-Code"))
        return type(error).__name__, said, type(error.__cause__).__name__


@pytest.mark.parametrize("name", CALLS)
def test_the_real_client_gets_what_the_hub_gives(filled: FixtureHub, endpoint: str, tmp_path: Path, name: str) -> None:
    direct = outcome(CALLS[name], filled.url, tmp_path / "direct")
    through = outcome(CALLS[name], endpoint, tmp_path / "through")
    assert through == direct
