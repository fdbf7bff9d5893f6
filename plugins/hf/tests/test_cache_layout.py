"""`--hf-cache`: what dfget leaves is what the real client would have left, and the real client goes on from there."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import scan_cache_dir, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import WeakFileLock

import dfly
from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.events import Event
from dfly.output.place import PARTIALS
from dfly.plugins import Plugins
from dfly.store.lock import Lock
from dfly.testing.lent import QUICK
from dfly.testing.swarm import LONG_ENOUGH, Telling, small_swarm
from dfly_hf.cache import directory
from dfly_hf.testing import FixtureHub
from dfly_hf.testing.repos import Repo

WEIGHTS = bytes(range(256)) * 8000
FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": WEIGHTS,
    "sub/dir/100% a+b#c?.txt": b"odd",
    "sub/dir/ünï@main.bin": b"odd and large",
    "empty": b"",
    "sub/also-empty": b"",
    "sub/same.json": b'{"a": 1}' * 100,
}
REPO = "models--owner--name"


@pytest.fixture(autouse=True)
def _at_the_hub(hub: FixtureHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url)


@pytest.fixture
def repo(hub: FixtureHub) -> Repo:
    return hub.repo("owner/name", FILES)


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return tmp_path / "ours"


@pytest.fixture
def fill(ours: Path) -> Callable[..., dfly.Report]:
    def run(url: str = "hf://owner/name", **given: Any) -> dfly.Report:
        given = {"recursive": True, "cache": ours, "patience": QUICK, **given}
        return dfly.fetch(url, **given)

    return run


@pytest.fixture
def real(hub: FixtureHub) -> Callable[..., Path]:
    """The real client's snapshot_download; hf_hub_download where a `filename` is given."""

    def run(cache: Path, repo: str = "owner/name", **given: Any) -> Path:
        load = huggingface_hub.hf_hub_download if "filename" in given else huggingface_hub.snapshot_download
        return Path(load(repo, **{"endpoint": hub.url, "cache_dir": cache, "token": False, **given}))

    return run


def offline(cache: Path, repo: str = "owner/name", **given: Any) -> Path:
    """`snapshot_download`, without asking anybody."""
    return Path(huggingface_hub.snapshot_download(repo, cache_dir=cache, local_files_only=True, **given))


def tree(cache: Path, *, leave_out: str = ".none") -> dict[str, str | bytes | None]:
    """Every name below a cache: a folder, the bytes of a file, or where a link leads."""
    found: dict[str, str | bytes | None] = {}
    for path in cache.rglob("*"):
        name = path.relative_to(cache).as_posix()
        if f"/{leave_out}" in f"/{name}":
            continue
        found[name] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    # of the tag only the first line is prescribed
    tag = found.get("CACHEDIR.TAG")
    if isinstance(tag, bytes):
        found["CACHEDIR.TAG"] = tag.splitlines()[0]
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def gets(hub: FixtureHub) -> list[str]:
    """The files whose bytes were asked of the hub."""
    return [call.path for call in hub.calls("resolve", "cdn") if call.method == "GET" and call.status in (200, 206)]


WHOLE = [
    ("models", None),
    ("datasets", None),
    ("spaces", None),
    ("models", "v1"),
    ("models", "feature/x"),
    ("models", "refs/pr/1"),
    ("models", "commit"),
]


@pytest.mark.parametrize(("kind", "revision"), WHOLE, ids=lambda value: str(value))
def test_the_tree_is_the_real_clients(
    hub: FixtureHub,
    real: Callable[..., Path],
    fill: Callable[..., Any],
    ours: Path,
    tmp_path: Path,
    kind: str,
    revision: str | None,
) -> None:
    repo = hub.repo(f"{kind}/owner/name", FILES)
    repo.tag("v1")
    repo.branch("feature/x", repo.refs["refs/heads/main"])
    repo.commit({"a": b"4"}, branch="refs/pr/1")
    if revision == "commit":
        revision = repo.refs["refs/heads/main"]
    repo.commit({**FILES, "newer": b"1"})
    real(tmp_path / "theirs", repo_type=kind.removesuffix("s"), revision=revision)
    at = f"@{revision.replace('feature/', 'feature%2F')}" if revision else ""
    report = fill(f"hf://{kind}/owner/name{at}")
    assert tree(ours) == tree(tmp_path / "theirs")
    found = offline(ours, repo_type=kind.removesuffix("s"), revision=revision)
    assert str(found) == report.output


@pytest.mark.parametrize(
    ("url", "ours_given", "theirs_given"),
    [
        ("", {"include": ["*.json"]}, {"allow_patterns": ["*.json"]}),
        ("", {"exclude": ["sub/", "*.safetensors"]}, {"ignore_patterns": ["sub/", "*.safetensors"]}),
        ("/sub", {}, {"allow_patterns": ["sub/"]}),
        ("/sub/dir/100% a+b#c?.txt", {"recursive": False}, {"filename": "sub/dir/100% a+b#c?.txt"}),
        ("@v1/empty", {"recursive": False}, {"filename": "empty", "revision": "v1"}),
    ],
    ids=["include", "exclude", "folder", "file", "empty-file-of-a-tag"],
)
def test_a_part_is_the_real_clients_but_for_the_listing_of_the_whole(
    repo: Repo,
    real: Callable[..., Path],
    fill: Callable[..., dfly.Report],
    ours: Path,
    tmp_path: Path,
    url: str,
    ours_given: dict[str, Any],
    theirs_given: dict[str, Any],
) -> None:
    repo.tag("v1")
    there = real(tmp_path / "theirs", **theirs_given)
    report = fill(f"hf://owner/name{url}", **ours_given)
    assert tree(ours) == tree(tmp_path / "theirs", leave_out=f"{REPO}/trees")
    assert Path(report.output).relative_to(ours) == there.relative_to(tmp_path / "theirs")


def test_the_real_client_finds_all_of_it_without_a_hub(repo: Repo, fill: Callable[..., Any], ours: Path) -> None:
    fill()
    assert content(offline(ours)) == FILES
    for name, data in FILES.items():
        one = huggingface_hub.hf_hub_download("owner/name", name, cache_dir=ours, local_files_only=True)
        assert Path(one).read_bytes() == data
        assert try_to_load_from_cache("owner/name", name, cache_dir=ours) == one
    (found,) = scan_cache_dir(ours).repos
    (revision,) = found.revisions
    assert (found.repo_id, revision.commit_hash, revision.refs) == (
        "owner/name",
        repo.refs["refs/heads/main"],
        {"main"},
    )
    assert scan_cache_dir(ours).warnings == []
    assert scan_cache_dir(ours).incomplete_files == frozenset()


def test_the_real_client_goes_on_from_it_and_fetches_nothing(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    fill()
    before = tree(ours)
    hub.records.clear()
    assert content(real(ours)) == FILES
    assert gets(hub) == []
    assert tree(ours) == before


def test_blobs_of_the_real_client_are_used_and_not_fetched(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    real(ours, allow_patterns=["*.safetensors", "empty"])
    hub.records.clear()
    fill()
    assert sorted(gets(hub)) == sorted(set(FILES) - {"model.safetensors", "empty", "sub/also-empty", "sub/same.json"})
    assert content(offline(ours)) == FILES
    hub.records.clear()
    report = fill()
    assert report.skipped == report.files == len(FILES)
    assert gets(hub) == []


def test_a_cache_that_has_everything_is_not_written_to(
    repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    real(ours)
    times = {path: path.lstat().st_mtime_ns for path in ours.rglob("*")}
    fill()
    assert {path: path.lstat().st_mtime_ns for path in ours.rglob("*")} == times


def test_a_blob_with_wrong_bytes_is_fetched_again(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    blob = (real(ours) / "model.safetensors").resolve()
    blob.write_bytes(WEIGHTS[:-1] + b"!")
    hub.records.clear()
    fill()
    assert gets(hub) == ["model.safetensors"]
    assert content(offline(ours)) == FILES


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_blob_that_the_client_shares_between_repositories_is_used_and_never_written_to(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path, overwrite: bool
) -> None:
    blob = (real(ours) / "model.safetensors").resolve()
    shared = ours / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    inode = shared.stat().st_ino
    hub.records.clear()
    fill(overwrite=overwrite)
    assert (("model.safetensors" in gets(hub)), blob.is_symlink()) == (overwrite, not overwrite)
    assert (shared.stat().st_ino, shared.read_bytes()) == (inode, WEIGHTS)
    assert content(offline(ours)) == FILES


def test_a_link_to_a_shared_blob_that_is_gone_becomes_a_blob(
    repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    blob = (real(ours) / "model.safetensors").resolve()
    blob.unlink()
    blob.symlink_to("../../blobs/ab/gone")
    fill()
    assert not blob.is_symlink()
    assert content(offline(ours)) == FILES


def test_files_that_the_client_could_not_link_are_left_as_they_are(
    repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path
) -> None:
    link = real(ours) / "config.json"
    blob = link.resolve()
    link.unlink()
    shutil.copyfile(blob, link)
    fill()
    assert not link.is_symlink()
    link.write_bytes(b"something else")
    fill()
    assert link.is_symlink()
    assert content(offline(ours)) == FILES


def test_a_second_revision_fetches_only_what_changed(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path, tmp_path: Path
) -> None:
    first = repo.refs["refs/heads/main"]
    fill()
    real(tmp_path / "theirs")
    changed = {**FILES, "config.json": b"{}", "added": b"1"}
    second = repo.commit(changed)
    real(tmp_path / "theirs")
    hub.records.clear()
    fill()
    # what was `config.json` is still the content of another file
    assert sorted(gets(hub)) == ["added", "config.json"]
    assert tree(ours) == tree(tmp_path / "theirs")
    assert content(offline(ours)) == changed
    assert content(offline(ours, revision=first)) == FILES
    assert offline(ours).name == second


def test_a_run_for_more_adds_to_the_revision_that_is_there(repo: Repo, fill: Callable[..., Any], ours: Path) -> None:
    fill(include=["*.json"])
    assert set(content(offline(ours))) == {"config.json", "sub/same.json"}
    fill()
    assert content(offline(ours)) == FILES


def test_a_renamed_repository_is_kept_under_the_name_that_was_asked(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path, tmp_path: Path
) -> None:
    hub.rename("owner/name", "new/name")
    real(tmp_path / "theirs")
    fill()
    assert tree(ours) == tree(tmp_path / "theirs")
    assert content(offline(ours)) == FILES


def test_a_short_hash_and_a_pasted_link_are_revisions_too(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], ours: Path
) -> None:
    commit = repo.refs["refs/heads/main"]
    fill(f"hf://owner/name@{commit[:8]}")
    repo.tag("v2")
    fill("hf://owner/name", options={"hf": {"revision": "v2"}})
    for revision in (commit, commit[:8], "v2"):
        assert content(offline(ours, revision=revision)) == FILES
    with pytest.raises(LocalEntryNotFoundError):
        offline(ours, revision="main")


def test_an_empty_repository_is_there_as_well(hub: FixtureHub, fill: Callable[..., Any], ours: Path) -> None:
    repo = hub.repo("owner/none", {})
    fill("hf://owner/none")
    assert offline(ours, "owner/none").name == repo.refs["refs/heads/main"]
    assert scan_cache_dir(ours).warnings == []


def test_whoever_reads_meanwhile_sees_all_or_nothing(repo: Repo, fill: Callable[..., Any], ours: Path) -> None:
    seen: list[object] = []

    def look(event: Event) -> None:
        if not ours.exists():
            return
        assert scan_cache_dir(ours).warnings == []
        try:
            seen.append(content(offline(ours)) == FILES)
        except LocalEntryNotFoundError:
            seen.append(None)

    fill(on_event=look)
    assert len(seen) > len(FILES)
    assert set(seen[:-1]) <= {None, True}
    assert seen[0] is None
    assert seen[-1] is True


def test_a_killed_run_leaves_nothing_wrong_and_the_next_fetches_the_rest(
    hub: FixtureHub, repo: Repo, ours: Path
) -> None:
    big = os.urandom(24 << 20)
    repo.commit({**FILES, "big.safetensors": big})
    hub.hold("big.safetensors", 12 << 20)
    killed = Telling("dfget", "hf://owner/name", "-r", "--json", f"--hf-cache={ours}", env=os.environ)
    killed.until("segment.finished", path="big.safetensors")
    killed.kill()
    assert killed.wait() < 0
    killed.end()
    hub.let_go()
    scan = scan_cache_dir(ours)
    assert (scan.warnings, scan.incomplete_files) == ([], frozenset())
    with pytest.raises(LocalEntryNotFoundError):
        offline(ours)
    again = Telling("dfget", "hf://owner/name", "-r", "--json", f"--hf-cache={ours}", env=os.environ)
    told = again.rest()
    assert again.wait() == 0
    again.end()
    assert max(event["had"] for event in told if event["event"] == "file.started") > 0
    assert content(offline(ours)) == {**FILES, "big.safetensors": big}
    assert not (ours / REPO / ".dfly").exists()


def test_two_processes_at_once_fetch_everything_once(hub: FixtureHub, repo: Repo, ours: Path, tmp_path: Path) -> None:
    hub.limit_rate(8e6)
    both = [Telling("dfget", "hf://owner/name", "-r", "--json", f"--hf-cache={ours}", env=os.environ) for _ in range(2)]
    reports = [one.rest()[-1] for one in both]
    assert [one.wait() for one in both] == [0, 0]
    for one in both:
        one.end()
    assert all(report["files"] == len(FILES) for report in reports)
    assert hub.records.bytes_sent() == sum(map(len, set(FILES.values())))
    assert content(offline(ours)) == FILES


def test_what_the_real_client_is_bringing_is_waited_for(
    hub: FixtureHub, repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path, tmp_path: Path
) -> None:
    blob = (real(tmp_path / "theirs") / "model.safetensors").resolve()
    lock = ours / ".locks" / REPO / f"{blob.name}.lock"
    lock.parent.mkdir(parents=True)
    waiting, said = threading.Event(), list[str]()

    def hear(event: Event) -> None:
        if event.name == "warning":
            said.append(str(event))
            waiting.set()

    hub.records.clear()
    with WeakFileLock(lock):
        task = threading.Thread(target=fill, kwargs={"on_event": hear})
        task.start()
        assert waiting.wait(LONG_ENOUGH)
        here = ours / REPO / "blobs" / blob.name
        here.parent.mkdir(exist_ok=True)
        shutil.copyfile(blob, here)
    task.join(LONG_ENOUGH)
    assert not task.is_alive()
    assert "model.safetensors" in said[0]
    assert "model.safetensors" not in gets(hub)
    assert content(offline(ours)) == FILES


def test_who_waits_for_another_to_publish_can_be_stopped(repo: Repo, fill: Callable[..., Any], ours: Path) -> None:
    guard, cancel = Lock(str(ours / REPO / PARTIALS / "view.lock")), threading.Event()
    contents, ended, brought = set(filter(None, FILES.values())), list[BaseException](), threading.Event()
    verified = list[Event]()

    def hear(event: Event) -> None:
        verified.extend([event] * (event.name == "file.verified"))
        if len(verified) == len(contents):
            brought.set()

    def run() -> None:
        try:
            fill(on_event=hear, cancel=cancel)
        except dfly.DflyError as error:
            ended.append(error)

    guard.acquire()
    task = threading.Thread(target=run)
    task.start()
    try:
        assert brought.wait(LONG_ENOUGH)
        cancel.set()
        task.join(LONG_ENOUGH)
        assert not task.is_alive()
    finally:
        guard.release()
        task.join(LONG_ENOUGH)
    assert [type(error) for error in ended] == [dfly.Cancelled]
    fill()
    assert content(offline(ours)) == FILES


def test_what_dfget_is_bringing_the_real_client_waits_for(repo: Repo, fill: Callable[..., Any], ours: Path) -> None:
    held = list[bool]()

    def look(event: Event) -> None:
        if event.name == "file.verified":
            for lock in (ours / ".locks" / REPO).iterdir():
                try:
                    with WeakFileLock(lock, timeout=0.01):
                        held.append(False)
                except TimeoutError:
                    held.append(True)

    fill(on_event=look)
    assert held
    assert all(held)
    for lock in (ours / ".locks" / REPO).iterdir():
        with WeakFileLock(lock, timeout=1):
            pass


def test_a_dry_run_says_where_files_would_be_and_writes_nothing(
    repo: Repo, fill: Callable[..., dfly.Report], ours: Path
) -> None:
    report = fill(dry_run=True)
    commit = repo.refs["refs/heads/main"]
    assert {p.output: p.present for p in report.plan} == {
        str(ours / REPO / "snapshots" / commit / name): False for name in FILES
    }
    assert not ours.exists()
    fill()
    assert all(p.present for p in fill(dry_run=True).plan)


def test_an_unsafe_name_is_refused_before_anything_is_written(
    hub: FixtureHub, fill: Callable[..., Any], ours: Path
) -> None:
    hub.repo("owner/name", {"../../../outside": b"1"})
    with pytest.raises(dfly.UnsafePath):
        fill()
    assert not ours.exists()


def test_through_a_seed_peer(hub: FixtureHub, repo: Repo, fill: Callable[..., Any], ours: Path, tmp_path: Path) -> None:
    with small_swarm(tmp_path, plugins=Plugins()) as swarm:
        report = fill(joining=Joining(seed_peers=(swarm.url,), interface="127.0.0.1", seed_time=0))
    assert report.sources.get("hub", 0) == 0
    assert content(offline(ours)) == FILES
    assert not (ours / REPO / ".dfly").exists()


@pytest.mark.parametrize("link", ["auto", "hard"])
def test_through_a_node_daemon(
    hub: FixtureHub,
    repo: Repo,
    fill: Callable[..., Any],
    real: Callable[..., Path],
    ours: Path,
    tmp_path: Path,
    link: str,
) -> None:
    config = NodeConfig(
        data_dir=str(tmp_path / "data"),
        socket=str(tmp_path / "run" / "dfly.sock"),
        patience=QUICK,
        joining=Joining(interface="127.0.0.1"),
    )
    with NodeDaemon(config, plugins=Plugins()).running() as where:
        fill(lender=Daemon(where.socket), link=link)
        assert content(offline(ours)) == FILES
        hub.records.clear()
        fill(lender=Daemon(where.socket), link=link, cache=tmp_path / "second")
        assert gets(hub) == []
    real(tmp_path / "theirs")
    assert tree(ours) == tree(tmp_path / "second") == tree(tmp_path / "theirs")


@pytest.fixture
def dfget() -> Callable[..., tuple[int, str]]:
    def run(*argv: str, **env: str) -> tuple[int, str]:
        ran = Telling("dfget", *argv, env={**os.environ, **env})
        _, said = ran.communicate(timeout=LONG_ENOUGH)
        return ran.returncode, said

    return run


def test_the_flag_takes_a_folder_or_the_clients_own(repo: Repo, dfget: Callable[..., Any], tmp_path: Path) -> None:
    for words, cache in (
        (["--hf-cache", "hf://owner/name", "-r"], tmp_path / "hf-home" / "hub"),
        (["hf://owner/name", "-r", "--hf-cache"], tmp_path / "elsewhere"),
        (["--hf-cache", str(tmp_path / "named"), "hf://owner/name", "-r"], tmp_path / "named"),
    ):
        env = {"HF_HUB_CACHE": str(cache)} if cache.name == "elsewhere" else {}
        code, said = dfget(*words, **env)
        assert code == 0, said
        assert content(offline(cache)) == FILES


def test_the_flag_refuses_what_cannot_be(repo: Repo, dfget: Callable[..., Any], tmp_path: Path) -> None:
    code, said = dfget("hf://owner/name", "-r", "--hf-cache", "-O", str(tmp_path / "out"))
    assert (code, "--hf-cache" in said, "-O" in said) == (2, True, True)
    code, said = dfget("http://127.0.0.1:9/x", "--hf-cache")
    assert (code, "http:// has no --hf-cache" in said) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, "/home/me/.cache/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"HF_HOME": "~/hf"}, "/home/me/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$HOME/new"}, "/home/me/new"),
    ],
    ids=["nothing", "xdg", "home", "old-name", "new-name"],
)
def test_the_folder_is_the_clients(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], found: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert directory(env) == found


def test_the_listing_is_what_the_client_wrote(
    repo: Repo, fill: Callable[..., Any], real: Callable[..., Path], ours: Path, tmp_path: Path
) -> None:
    real(tmp_path / "theirs")
    fill()
    for listing in (tmp_path / "theirs" / REPO / "trees").iterdir():
        assert json.loads((ours / REPO / "trees" / listing.name).read_text()) == json.loads(listing.read_text())
