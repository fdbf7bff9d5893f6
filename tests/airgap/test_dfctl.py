"""`dfctl export` and `import`, as they are typed."""

import contextlib
import io
import itertools
import json
import os
import tarfile
import threading

import httpx
import pytest

import dfly
from dfly.backend import Secret
from dfly.cli.ctl_archive import told
from dfly.cli.streams import silence
from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.events import FileFinished
from dfly.plugins import Plugins
from dfly.testing.swarm import small_swarm, tree

from .archives import repacked
from .conftest import FILES, REPO, TOKEN, WEIGHTS

MODEL = f"hf://{REPO}"
ALONE = {"back_to_source": False}


def test_two_seed_peers_export_the_same_bytes(carried, seed_peer):
    first = carried(MODEL, name="first.tar", seed=seed_peer("one"))
    second = carried(MODEL, name="second.tar", seed=seed_peer("two"))
    assert first.read_bytes() == second.read_bytes()


def test_what_was_imported_is_exported_again_as_the_same_bytes(carried, closed, dfctl, tmp_path):
    first = carried(MODEL)
    swarm = closed(first)
    said = dfctl("export", MODEL, "-o", tmp_path / "again.tar", "--seed-peer", swarm.url, "--json")
    assert json.loads(said.out.splitlines()[-1])["bytes"] == os.path.getsize(first)
    assert (tmp_path / "again.tar").read_bytes() == first.read_bytes()


def test_no_token_and_no_option_is_in_an_archive(carried, closed, hub):
    token = {"options": {"hf": {"token": TOKEN, "revision": "main"}}}
    archive = carried("hf://org/private", **token)
    data = archive.read_bytes()
    assert TOKEN.encode() not in data
    with tarfile.open(archive) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())
    (snapshot,) = manifest["snapshots"]
    assert snapshot["revisions"] == ["main"]
    hosts = {entry["identity"].partition("/models/")[0] for entry in snapshot["entries"]}
    assert hosts == {f"hf:{hub.url}"}
    rest = [{name: value for name, value in entry.items() if name != "identity"} for entry in snapshot["entries"]]
    assert "127.0.0.1" not in json.dumps([{**snapshot, "entries": rest}, manifest["blobs"]])


def test_what_was_private_is_for_everybody_whom_the_operator_serves(carried, closed, hub):
    archive = carried("hf://org/private", options={"hf": {"token": TOKEN}})
    node = closed(archive).node("hf://org/private", joining=ALONE)
    node.done()
    assert tree(node.output) == FILES
    assert hub.calls() == []


def test_an_archive_goes_through_a_pipe(carried, closed, seed_peer, shell, here):
    beside = seed_peer("beside")
    archive = carried(MODEL, seed=beside)
    swarm = closed()
    line = (
        f"dfctl export {MODEL} -o - --seed-peer {beside.url} | tee piped.tar | dfctl import - --seed-peer {swarm.url}"
    )
    done = shell(line)
    assert done.returncode == 0, done.stderr
    assert b"imported 4 blobs, 10.1 MB" in done.stdout
    assert (here / "piped.tar").read_bytes() == archive.read_bytes()
    node = swarm.node(MODEL, joining=ALONE)
    node.done()
    assert tree(node.output) == FILES


def test_several_snapshots_share_their_blobs(carried, closed, hub):
    both = carried(MODEL, "hf://datasets/org/other")
    # small files of two repositories are two blobs, as their hub gives no digest that says that they are one
    assert os.path.getsize(both) < len(WEIGHTS) * 1.2
    swarm = closed(both)
    for url in (MODEL, "hf://datasets/org/other@main"):
        node = swarm.node(url, joining=ALONE)
        node.done()
        assert tree(node.output) == FILES
    assert hub.calls() == []


def test_only_what_is_whole_is_exported(hub, seed_peer, dfctl, tmp_path):
    beside = seed_peer("beside")
    hub.limit_rate(1)
    node = beside.node(MODEL)
    node.until(FileFinished.name)
    partial = dfctl("export", MODEL, "-o", tmp_path / "it.tar", "--seed-peer", beside.url)
    unknown = dfctl("export", "hf://org/none", "-o", tmp_path / "it.tar", "--seed-peer", beside.url)
    assert partial.code == unknown.code == dfly.NotFound.exit_code
    assert "is not complete here: " in partial.err
    assert "hf://org/none is not known here" in unknown.err
    assert not list(tmp_path.glob("it.tar*"))


def test_a_part_answers_for_itself_and_never_for_the_whole(carried, closed, hub):
    archive = carried(MODEL, include=["*.json", "onnx/"])
    swarm = closed(archive)
    part = swarm.node(f"{MODEL}@main", include=["*.json", "onnx/"], joining=ALONE)
    file = swarm.node(f"{MODEL}/onnx/notes.md", recursive=False, joining=ALONE)
    part.done()
    file.done()
    assert sorted(tree(part.output)) == ["config.json", "onnx/model.onnx", "onnx/notes.md"]
    assert file.output.read_bytes() == FILES["onnx/notes.md"]
    for fetch in ({}, {"include": ["*.json"]}):
        assert isinstance(swarm.node(MODEL, joining=ALONE, **fetch).error(), dfly.OriginUnavailable)


def test_another_revision_is_not_answered(carried, closed, hub):
    old = hub.site.repos["models", REPO].commit({"old.bin": b"old"}, branch="old")
    swarm = closed(carried(MODEL))
    for url in (f"{MODEL}@old", f"{MODEL}@{old}", "hf://org/private"):
        assert isinstance(swarm.node(url, joining=ALONE).error(), dfly.OriginUnavailable)
    node = swarm.node(MODEL, joining=ALONE, options={"hf": {"revision": "old"}})
    assert isinstance(node.error(), dfly.OriginUnavailable)


def test_another_hub_that_a_node_names_is_not_answered_for(carried, closed, hub):
    swarm = closed(carried(MODEL))
    same = swarm.node(MODEL, joining=ALONE, options={"hf": {"endpoint": hub.url}})
    same.done()
    assert tree(same.output) == FILES
    for endpoint in ("http://127.0.0.1:10", hub.url[:-1]):
        other = swarm.node(MODEL, joining=ALONE, options={"hf": {"endpoint": endpoint}})
        assert isinstance(other.error(), dfly.OriginUnavailable)
    assert hub.calls() == []


def test_the_latest_import_is_the_branch_until_it_is_removed(carried, closed, seed_peer, hub, dfctl, monkeypatch):
    beside, repo = hub.url, hub.site.repos["models", REPO]
    first = repo.refs["refs/heads/main"]
    archives = [carried(MODEL, name="first.tar")]
    repo.commit({"config.json": b"{2}"})
    swarm = closed(archives[0])
    assert isinstance(swarm.node(f"{MODEL}@{repo.refs['refs/heads/main']}", joining=ALONE).error(), dfly.DflyError)
    monkeypatch.setenv("HF_ENDPOINT", beside)
    archives.append(carried(MODEL, name="second.tar", seed=seed_peer("beside-2")))
    assert dfctl("import", archives[1], "--seed-peer", swarm.url).code == 0
    hub.records.clear()
    new = swarm.node(MODEL, joining=ALONE)
    old = swarm.node(f"{MODEL}@{first}", joining=ALONE)
    new.done()
    old.done()
    assert tree(new.output) == {"config.json": b"{2}"}
    assert tree(old.output) == FILES
    assert hub.calls() == []


def test_an_older_revision_does_not_take_the_branch_s_name_along(hub, seed_peer, closed, dfctl, tmp_path):
    beside, repo = seed_peer("beside"), hub.site.repos["models", REPO]
    first = repo.refs["refs/heads/main"]
    named = {"options": {"hf": {"revision": "main"}}}
    for turn, url, fetch in ((0, MODEL, {}), (1, f"{MODEL}@main", {}), (2, MODEL, named)):
        beside.node(url, f"old-{turn}", **fetch).done()
    repo.commit({"config.json": b"{2}"})
    for turn, url, fetch in ((0, MODEL, {}), (1, f"{MODEL}@main", {}), (2, MODEL, named)):
        beside.node(url, f"new-{turn}", **fetch).done()
    old, new = tmp_path / "old.tar", tmp_path / "new.tar"
    assert dfctl("export", f"{MODEL}@{first}", "-o", old, "--seed-peer", beside.url).code == 0
    assert dfctl("export", f"{MODEL}@main", "-o", new, "--seed-peer", beside.url).code == 0
    swarm = closed(new, old)
    for url, files in ((f"{MODEL}@main", {"config.json": b"{2}"}), (f"{MODEL}@{first}", FILES)):
        node = swarm.node(url, joining=ALONE)
        node.done()
        assert tree(node.output) == files


def test_a_url_that_meant_it_by_an_option_only_does_not_mean_it_elsewhere(hub, seed_peer, closed, dfctl, tmp_path):
    beside, repo = seed_peer("beside"), hub.site.repos["models", REPO]
    repo.commit({"config.json": b"{dev}"}, branch="dev")
    beside.node(MODEL, "dev", options={"hf": {"revision": "dev"}}).done()
    assert dfctl("export", f"{MODEL}@dev", "-o", tmp_path / "dev.tar", "--seed-peer", beside.url).code == 0
    swarm = closed(tmp_path / "dev.tar")
    assert isinstance(swarm.node(MODEL, joining=ALONE).error(), dfly.OriginUnavailable)
    node = swarm.node(f"{MODEL}@dev", joining=ALONE)
    node.done()
    assert tree(node.output) == {"config.json": b"{dev}"}


def test_what_is_no_archive_is_refused_though_more_of_it_is_to_come(closed, dfctl, tmp_path):
    with open(tmp_path / "junk.tar", "wb") as file:
        file.write(b"junk" * 256)
        file.truncate(64 << 20)
    said = dfctl("import", tmp_path / "junk.tar", "--seed-peer", closed().url)
    assert said.code == dfly.UsageError.exit_code
    assert "the archive is refused: something that is no tar is where manifest.json should be" in said.err


def test_a_hostile_archive_leaves_nothing_that_is_asked_for(carried, closed, dfctl, tmp_path):
    data = carried(MODEL).read_bytes()
    swarm = closed()
    (tmp_path / "hostile.tar").write_bytes(repacked(data, lambda members: [*members, members[-1]]))
    said = dfctl("import", tmp_path / "hostile.tar", "--seed-peer", swarm.url)
    assert said.code == dfly.UsageError.exit_code
    assert "more in it than its manifest says" in said.err
    assert isinstance(swarm.node(MODEL, joining=ALONE).error(), dfly.OriginUnavailable)


def test_how_far_it_is_is_said_now_and_then():
    seconds, said = itertools.count(), io.StringIO()
    chunks = told(iter([bytes(1_000_000)] * 5), size=5_000_000, stream=said, every=2.0, clock=lambda: next(seconds))
    assert sum(map(len, chunks)) == 5_000_000
    assert said.getvalue() == "2.00 MB of 5.00 MB, 1.00 MB/s\n4.00 MB of 5.00 MB, 1.00 MB/s\n"


def test_an_archive_goes_on_though_how_far_it_is_cannot_be_said():
    with open("/dev/full", "w", buffering=1) as full:
        seconds = itertools.count()
        assert len(list(told(iter([b"x"] * 5), size=5, stream=full, every=2.0, clock=lambda: next(seconds)))) == 5
        silence(full)


def test_it_is_brought_into_every_seed_peer_of_a_cluster(carried, closed, hub, dfctl):
    archive = carried(MODEL)
    both = [closed(), closed(data="another")]
    into = [word for swarm in both for word in ("--seed-peer", swarm.url)]
    said = dfctl("import", archive, *into, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out.splitlines()[-1])
    assert found["seed_peers"] == [
        {"seed_peer": swarm.url, "blobs": 4, "bytes": found["bytes"] // 2, "here": 0, "error": None} for swarm in both
    ]
    for swarm in both:
        node = swarm.node(MODEL, joining=ALONE)
        node.done()
        assert tree(node.output) == FILES
    assert hub.calls() == []
    again = dfctl("import", archive, *into).out
    assert again.endswith(
        "".join(f"{swarm.url}: imported 0 blobs, 0 B; 4 blobs were there\n" for swarm in both)
        + f"  {found['snapshots'][0]}\n"
    )


def test_a_seed_peer_that_cannot_take_it_keeps_it_from_no_other(carried, closed, dfctl):
    archive = carried(MODEL)
    swarm = closed()
    said = dfctl("import", archive, "--seed-peer", "http://127.0.0.1:9", "--seed-peer", swarm.url)
    assert said.code == dfly.UsageError.exit_code
    assert f"{swarm.url}: imported 4 blobs, " in said.out
    assert "not every seed peer has it:\n  http://127.0.0.1:9: " in said.err
    node = swarm.node(MODEL, joining=ALONE)
    node.done()


def test_a_pipe_goes_into_one_seed_peer(dfctl):
    said = dfctl("import", "-", "--seed-peer", "http://127.0.0.1:9", "--seed-peer", "http://127.0.0.1:10")
    assert (said.code, "import a file" in said.err) == (dfly.UsageError.exit_code, True)


def test_operators_only(carried, closed, dfctl, tmp_path, monkeypatch):
    archive = carried(MODEL)
    swarm = closed(operator_token=Secret("of operators"))
    for argv in (("import", archive), ("export", MODEL, "-o", tmp_path / "x.tar")):
        said = dfctl(*argv, "--seed-peer", swarm.url)
        assert said.code == dfly.AccessDenied.exit_code
    monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "of operators")
    assert dfctl("import", archive, "--seed-peer", swarm.url).code == 0


def test_what_the_disk_has_spoiled_is_not_carried_on(hub, seed_peer, dfctl, tmp_path):
    beside = seed_peer("beside")
    beside.node(MODEL).done()
    (large,) = [file for file in (tmp_path / "beside").rglob("data") if file.stat().st_size == len(WEIGHTS)]
    large.chmod(0o600)
    with open(large, "r+b") as file:
        file.seek(len(WEIGHTS) - 1)
        file.write(b"x" if WEIGHTS[-1:] != b"x" else b"y")
    said = dfctl("export", MODEL, "-o", tmp_path / "it.tar", "--seed-peer", beside.url)
    assert said.code == dfly.SwarmError.exit_code
    assert "the archive broke off after " in said.err
    assert not list(tmp_path.glob("it.tar*"))


@pytest.mark.parametrize("argv", [("import", "x.tar"), ("export", "-o", "-", "--json", MODEL)], ids=["where", "json"])
def test_what_cannot_be_is_said(dfctl, argv):
    assert dfctl(*argv).code == dfly.UsageError.exit_code


def test_a_node_daemon_exports_what_it_has(hub, seed_peer, carried, dfctl, tmp_path, monkeypatch):
    beside = seed_peer("beside")
    config = NodeConfig(
        data_dir=str(tmp_path / "daemon"), socket=str(tmp_path / "s"), joining=Joining(seed_peers=(beside.url,))
    )
    monkeypatch.setenv("DFLY_SOCKET", str(tmp_path / "s"))
    with NodeDaemon(config, plugins=Plugins()).running():
        lender = Daemon(str(tmp_path / "s"))
        dfly.fetch(MODEL, str(tmp_path / "out"), recursive=True, lender=lender)
        said = dfctl("export", MODEL, "-o", tmp_path / "node.tar")
        assert said.code == 0, said.err
    assert (tmp_path / "node.tar").read_bytes() == carried(MODEL, seed=beside).read_bytes()


def test_a_node_daemon_behind_a_closed_seed_peer_needs_no_hub_either(
    carried, closed, hub, dfctl, tmp_path, monkeypatch
):
    swarm = closed(carried(MODEL))
    joining = Joining(seed_peers=(swarm.url,), back_to_source=False)
    config = NodeConfig(data_dir=str(tmp_path / "daemon"), socket=str(tmp_path / "s"), joining=joining)
    with NodeDaemon(config, plugins=Plugins()).running():
        for name in ("cold", "warm"):
            lender = Daemon(str(tmp_path / "s"))
            dfly.fetch(f"{MODEL}@main", str(tmp_path / name), recursive=True, lender=lender, joining=joining)
            assert tree(tmp_path / name) == FILES
        monkeypatch.setenv("DFLY_SOCKET", str(tmp_path / "s"))
        assert " (main)  hf://" in dfctl("ls").out
    assert hub.calls() == []


def test_an_import_outlives_a_restart_and_is_gone_once_removed(carried, hub, dfctl, tmp_path, monkeypatch):
    archive = carried(MODEL)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub.records.clear()
    with small_swarm(tmp_path, plugins=Plugins(), data="lasting") as swarm:
        assert dfctl("import", archive, "--seed-peer", swarm.url).code == 0
    with small_swarm(tmp_path, plugins=Plugins(), data="lasting") as swarm:
        node = swarm.node(MODEL, "before", joining=ALONE)
        node.done()
        assert tree(node.output) == FILES
        assert hub.calls() == []
        said = dfctl("rm", MODEL, "--force", "--seed-peer", swarm.url)
        assert said.code == 0, said.err
        assert isinstance(swarm.node(MODEL, "after", joining=ALONE).error(), dfly.OriginUnavailable)


def test_a_seed_peer_that_stops_does_not_wait_for_the_rest_of_an_archive(carried, dfctl, tmp_path):
    archive = carried(MODEL)
    data, sent, stopped = archive.read_bytes(), threading.Event(), threading.Event()

    def half():
        yield data[: len(data) // 2]
        sent.set()
        stopped.wait(30)

    def post(url):
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{url}/v1/operator/import", content=half(), trust_env=False, timeout=30)

    with small_swarm(tmp_path, plugins=Plugins(), data="stopping") as swarm:
        poster = threading.Thread(target=post, args=(swarm.url,))
        poster.start()
        assert sent.wait(30)
    stopped.set()
    poster.join(30)
    assert not poster.is_alive()
    with small_swarm(tmp_path, plugins=Plugins(), data="stopping") as swarm:
        assert dfctl("import", archive, "--seed-peer", swarm.url).code == 0
        node = swarm.node(MODEL, "after-restart", joining=ALONE)
        node.done()
        assert tree(node.output) == FILES
