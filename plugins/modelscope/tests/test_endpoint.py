"""Through a daemon's endpoint ModelScope's own client gets what it gets from the hub: the same files, the same refusals."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from modelscope.hub.snapshot_download import dataset_snapshot_download, snapshot_download
from modelscope_hub import HubApi, HubConfig

import dfly
from dfly.config import Joining
from dfly.daemon.passing import pass_on
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.facade import Answer, Asked, Opened, Options
from dfly.origin.sending import Sender
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK
from dfly.testing.swarm import LONG_ENOUGH, small_swarm, tree
from dfly.values import Entry, Snapshot
from dfly_modelscope.facade import ModelScopeFacade
from dfly_modelscope.testing import FixtureHub

ODD = "sub/dir/100% a+b#c&d?é'.txt"
FILES = {
    "config.json": b'{"a": 1}' * 100,
    "model.safetensors": bytes(range(256)) * 12_000,
    "model-2.safetensors": bytes(range(255, -1, -1)) * 400,
    ODD: b"odd",
    "sub/readme.md": b"# Read me",
    "empty": b"",
}
SIZE = sum(map(len, FILES.values()))
Call = Callable[[str, Path], Any]


@contextlib.contextmanager
def daemon(folder: Path, *, seed_peers: tuple[str, ...] = ()) -> Iterator[str]:
    """The URL of a daemon's endpoint; what the hub is, the environment says. A branch is asked for anew each time."""
    joining = Joining(seed_peers=seed_peers, interface="127.0.0.1", back_to_source=not seed_peers)
    config = NodeConfig(
        data_dir=str(folder),
        socket=str(folder / "s"),
        joining=joining,
        revision_ttl=0.0,
        patience=QUICK,
        listen=("127.0.0.1", 0),
    )
    with NodeDaemon(config).running() as started:
        yield f"{started.url}/modelscope"


@pytest.fixture(scope="module")
def hub() -> Iterator[FixtureHub]:
    # a cookie jar knows no ports: under one name the client would hand its cookie to the storage
    with FixtureHub(cdn_name="localhost") as running:
        fill(running)
        yield running


@pytest.fixture
def filled(hub: FixtureHub) -> FixtureHub:
    """The hub, of which nobody has asked anything yet."""
    hub.records.clear()
    return hub


def fill(hub: FixtureHub) -> None:
    repo = hub.repo("owner/name", {"config.json": b"{}", "gone": b"1"})
    repo.tag("v1.0")
    repo.commit(FILES)
    hub.repo("datasets/owner/name", {f"part/{n:03}.json": b"%d" % n for n in range(250)})
    hub.repo("datasets/owner/small", {"train.json": b"[]", "part/0.bin": b"0" * 9999})
    hub.repo("owner/private", FILES, private=True)
    hub.repo("owner/gated", FILES, gated=True)
    hub.repo("owner/bare", {})
    hub.token("ms-x", grants=["owner/private", "owner/gated"])
    hub.token("ms-y")


@pytest.fixture(params=["alone", "swarm"])
def endpoint(
    request: pytest.FixtureRequest, filled: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", filled.url)
    with contextlib.ExitStack() as stack:
        peers: tuple[str, ...] = ()
        if request.param == "swarm":
            peers = (stack.enter_context(small_swarm(tmp_path, plugins=Plugins())).url,)
        yield stack.enter_context(daemon(tmp_path / "node", seed_peers=peers))


def client(url: str, place: Path, token: str | None = None) -> HubApi:
    return HubApi(HubConfig(endpoint=url, token=token, cache_dir=place / "cache", config_dir=place / "ms"))


def snapshot(repo: str, *, dataset: bool = False, **more: Any) -> Call:
    download = dataset_snapshot_download if dataset else snapshot_download
    return lambda url, place: tree(download(repo, endpoint=url, cache_dir=str(place), **more))


def repo(repo: str, token: str | None = None) -> Call:
    def call(url: str, place: Path) -> Any:
        client(url, place, token).download_repo(repo, "model", local_dir=place / "got")
        return tree(place / "got")

    return call


def file(repo: str, name: str, token: str | None = None) -> Call:
    def call(url: str, place: Path) -> Any:
        client(url, place, token).download_file(repo, "model", name, local_dir=place / "got")
        return (place / "got" / name).read_bytes()

    return call


def rows(kind: str, *, recursive: bool = True, root: str | None = None) -> Call:
    def call(url: str, place: Path) -> Any:
        found = client(url, place).legacy.list_repo_files("owner/name", kind, recursive=recursive, root=root)
        return sorted((row["Path"], row["Type"], row["Size"], row["Sha256"], row["Name"]) for row in found)

    return call


def command(url: str, place: Path) -> "subprocess.Popen[str]":
    """`modelscope download`, as a user types it."""
    words = [str(Path(sys.executable).parent / "modelscope"), "download", "--model", "owner/name"]
    return subprocess.Popen(
        [*words, "--local_dir", str(place)],
        env={**os.environ, "MODELSCOPE_ENDPOINT": url, "MODELSCOPE_CACHE": f"{place}-cache"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


CALLS: dict[str, Call] = {
    "snapshot": snapshot("owner/name"),
    "snapshot-of-a-tag": snapshot("owner/name", revision="v1.0"),
    "snapshot-of-no-revision": snapshot("owner/name", revision="none"),
    "snapshot-of-patterns": snapshot("owner/name", allow_patterns=["*.json", "sub/*"]),
    "snapshot-of-a-data-set": snapshot("owner/small", dataset=True),
    "snapshot-of-nothing": snapshot("owner/bare"),
    "snapshot-of-nobody": snapshot("owner/none"),
    "private-without-a-token": repo("owner/private"),
    "private-with-another-token": repo("owner/private", "ms-y"),
    "private-with-its-token": repo("owner/private", "ms-x"),
    "gated-without-a-token": repo("owner/gated"),
    "gated-with-another-token": repo("owner/gated", "ms-y"),
    "gated-with-its-token": repo("owner/gated", "ms-x"),
    "file": file("owner/name", "model.safetensors"),
    "odd-file": file("owner/name", ODD),
    "empty-file": file("owner/name", "empty"),
    "no-file": file("owner/name", "none.bin"),
    "rows": rows("model"),
    "rows-of-a-level": rows("model", recursive=False),
    "rows-of-a-folder": rows("model", root="sub"),
    "rows-of-a-data-set": rows("dataset"),
    "exists": lambda url, place: client(url, place).repo_exists("owner/name", "model"),
    "exists-not": lambda url, place: client(url, place).repo_exists("owner/none", "model"),
    "revisions": lambda url, place: [
        ref["Revision"]
        for refs in client(url, place).legacy.list_revisions_detail("owner/name", "model")
        for ref in refs
    ],
}


def outcome(call: Call, url: str, place: Path) -> Any:
    place.mkdir()
    try:
        return call(url, place)
    except Exception as error:
        return type(error).__name__, getattr(error, "status_code", None)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_ends_as_at_the_hub(endpoint: str, filled: FixtureHub, tmp_path: Path, name: str) -> None:
    through = outcome(CALLS[name], endpoint, tmp_path / "through")
    assert filled.records.leaks() == []
    # the client takes nothing past the daemon
    assert {call.user_agent.partition("/")[0] for call in filled.calls("cdn")} <= {"dfly"}
    assert through == outcome(CALLS[name], filled.url, tmp_path / "direct")


def test_the_bytes_leave_the_hub_once_for_four_nodes_at_once(
    filled: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", filled.url)
    with small_swarm(tmp_path, plugins=Plugins()) as swarm, contextlib.ExitStack() as stack:
        urls = [stack.enter_context(daemon(tmp_path / f"node{n}", seed_peers=(swarm.url,))) for n in range(4)]
        running = [command(url, tmp_path / f"got{n}") for n, url in enumerate(urls)]
        for process in running:
            stack.callback(process.kill)
        for n, process in enumerate(running):
            said, _ = process.communicate(timeout=LONG_ENOUGH)
            assert process.returncode == 0, said
            assert tree(tmp_path / f"got{n}") == FILES
    assert filled.records.bytes_sent() == SIZE


@pytest.mark.parametrize("repo", ["owner/private", "owner/gated"])
@pytest.mark.parametrize("swarmed", [False, True], ids=["alone", "swarm"])
def test_nobody_reads_by_the_token_of_a_daemon_or_a_seed_peer_or_of_who_came_before(
    filled: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swarmed: bool, repo: str
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", filled.url)
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-x")
    shown = [{"Authorization": "Bearer ms-x"}, {"Cookie": "m_session_id=ms-x"}]
    with contextlib.ExitStack() as stack:
        peers = (stack.enter_context(small_swarm(tmp_path, plugins=Plugins())).url,) if swarmed else ()
        url = stack.enter_context(daemon(tmp_path / "node", seed_peers=peers))
        at = f"{url}/api/v1/models/{repo}/repo?Revision=master&FilePath=config.json"
        for headers in ({}, *shown, {}, {"Authorization": "Bearer ms-y"}):
            answer = httpx.get(at, headers=headers, trust_env=False, timeout=LONG_ENOUGH)
            let_in = headers in shown
            assert (answer.status_code, answer.content == FILES["config.json"]) == (
                (200, True) if let_in else (404, False)
            )


@pytest.mark.parametrize("gone", ["out-of-order", "not-there"])
def test_it_works_when_the_hub_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    monkeypatch.setattr("dfly_modelscope.facade.ADMITTED", 0.0)
    with contextlib.ExitStack() as stack:
        life = stack.enter_context(contextlib.ExitStack())
        hub = life.enter_context(FixtureHub())
        hub.repo("owner/name", FILES)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        url = stack.enter_context(daemon(tmp_path / "node"))
        assert snapshot("owner/name")(url, tmp_path / "first") == FILES
        if gone == "not-there":
            life.close()
        else:
            for kind in ("files", "resolve", "region", "revisions", "info"):
                hub.fault(kind, status=503, times=10_000)
        hub.records.clear()
        assert snapshot("owner/name")(url, tmp_path / "second") == FILES
        assert hub.records.bytes_sent() == 0


def test_a_download_that_broke_off_goes_on(endpoint: str, tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (tmp_path / "got").mkdir(exist_ok=True)
        (tmp_path / "got" / f"{name}.incomplete").write_bytes(FILES[name][:100])
    assert repo("owner/name")(endpoint, tmp_path) == FILES


@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=100-", 206, 100, 800),
        ("bytes=-5", 206, 795, 800),
        ("bytes=790-9999", 206, 790, 800),
        ("bytes=800-", 416, 0, 0),
        ("bytes=5-1", 200, 0, 800),
        ("bytes=0-1,5-6", 200, 0, 800),
        ("lines=1-2", 200, 0, 800),
    ],
)
def test_ranges(
    filled: FixtureHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str,
    status: int,
    start: int,
    stop: int,
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", filled.url)
    with daemon(tmp_path / "node") as url:
        for path in (
            "/api/v1/models/owner/name/repo?FilePath=config.json",
            "/models/owner/name/resolve/master/config.json",
        ):
            answer = httpx.get(f"{url}{path}", headers={"Range": asked}, trust_env=False)
            assert answer.status_code == status
            if status != 416:
                assert answer.content == FILES["config.json"][start:stop]
            if status == 206:
                assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/800"
        head = httpx.head(f"{url}{path}", trust_env=False)
        assert (head.headers["content-length"], head.content) == ("800", b"")


def test_dfget_sees_through_it_to_the_hub(endpoint: str, filled: FixtureHub, tmp_path: Path) -> None:
    filled.records.clear()
    options = {"ms": {"endpoint": endpoint}}
    dfly.fetch("modelscope://owner/name", str(tmp_path / "out"), recursive=True, options=options, patience=QUICK)
    assert tree(tmp_path / "out") == FILES
    # a dfget that did not would have the daemon fetch it
    assert {call.user_agent.partition("/")[0] for call in filled.calls("resolve")} == {"dfly"}
    assert not any((tmp_path / "node").rglob("*.safetensors"))


def test_a_password_in_the_hubs_url_is_shown_to_the_hub_and_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        shown.append((str(request.url), request.headers["Authorization"]))
        return httpx.Response(302, headers={"Location": "http://127.0.0.1:9/models/b"})

    facade = ModelScopeFacade({"endpoint": "http://me:hunter2@127.0.0.1:9/"})
    passing = Passing(Sender(httpx.MockTransport(answer)))
    asked = Asked(
        method="GET", path="/other", base="http://127.0.0.1:1/modelscope", headers={"authorization": "Basic x"}
    )
    said = asyncio.run(facade.answer(asked, passing))
    assert shown == [("http://127.0.0.1:9/other", "Basic bWU6aHVudGVyMg==")]
    assert said.headers["location"] == "http://127.0.0.1:1/modelscope/models/b"
    # a bare domain is an endpoint as well
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "me:hunter2@127.0.0.1:9")
    with daemon(tmp_path / "node") as url:
        assert httpx.get(f"{url}/_dfly", trust_env=False).json()["upstream"] == "127.0.0.1:9"
    assert "hunter2" not in repr(ModelScopeFacade({"endpoint": "me:hunter2@127.0.0.1:9"}))


class Passing:
    """What a facade is offered, as far as it only passes on."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    async def passed_on(self, asked: Asked, upstream: str) -> Answer:
        return pass_on(self._client, asked, upstream)

    async def resolve(self, url: str, options: Options, *, vouched: bool = False) -> Opened:
        raise NotImplementedError


class Hub:
    """A repository as a facade is offered it; the hub lets in whom the cookie names."""

    def __init__(self) -> None:
        entry = Entry(path="a", size=3, url="modelscope://o/n/a", identity="a")
        self.snapshot = Snapshot(source="modelscope://o/n", name="n", entries=(entry,))

    async def resolve(self, url: str, options: Options, *, vouched: bool = False) -> Opened:
        return self

    async def passed_on(self, asked: Asked, upstream: str) -> Answer:
        return Answer(status=200 if "ours" in asked.headers.get("cookie", "") else 404)


def test_a_yes_that_a_cookie_has_won_is_for_nobody_without_it() -> None:
    facade, hub = ModelScopeFacade({}), Hub()

    def status(**headers: str) -> int:
        path = "/api/v1/models/o/n/repo"
        asked = Asked(method="GET", path=path, query="FilePath=a", headers={"authorization": "Bearer x", **headers})
        return asyncio.run(facade.answer(asked, hub)).status

    assert [status(cookie="m_session_id=ours"), status(), status(cookie="m_session_id=theirs")] == [200, 404, 404]
