"""What operators see of a node daemon is what it keeps and does, and what they remove was nobody's."""

import contextlib
import json
import threading
import time

import httpx
import pytest

from dfly.config import Joining
from dfly.daemon.underway import Progress
from dfly.events import BytesArrived, Retrying, Stalled
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.values import Snapshot
from tests.daemon.conftest import FILES, MIB, Borrowing, some_bytes, tree, until
from tests.swarm_e2e.origin import Origin

DISTINCT = sum(map(len, set(FILES.values())))


@pytest.fixture
def not_lent(monkeypatch):
    """Whoever was lent something has copied it by now."""
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)


def get(running, path):
    answer = running.ask(f"/v1/operator/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(running, path, **body):
    return running.ask(f"/v1/operator/{path}", **body)


def rows(running, query=""):
    return get(running, f"snapshots{query}")["snapshots"]


def on_disk(data) -> set[str]:
    return {path.parent.name for path in (data / "blobs").glob("*/*/data")}


def test_a_snapshot_is_listed_with_its_source_size_and_age(start, fetch, backend, data):
    running, before = start(), time.time()
    fetch("memory://tiny", "out", recursive=True)
    (row,) = rows(running, "?blobs=1")
    (revision,) = backend.hub.revisions("tiny")
    assert (row["url"], row["revision"], row["asked"]) == (f"memory://tiny@{revision}", revision, ["memory://tiny"])
    assert (row["files"], row["bytes"]) == (len(FILES), sum(map(len, FILES.values())))
    assert row["complete"]
    assert before <= row["resolved"] <= row["used"] <= time.time()
    assert {blob["blob"] for blob in row["contents"]} <= on_disk(data)
    assert sorted(p for blob in row["contents"] for p in blob["files"]) == sorted(p for p in FILES if FILES[p])
    (model,) = (blob for blob in row["contents"] if "model.bin" in blob["files"])
    assert model["files"] == ["deep/copy.bin", "model.bin"]


def test_one_whose_blobs_were_given_up_is_not_called_complete(start, tmp_path, not_lent):
    hub = {"old": {"f": some_bytes(3 * MIB, 5)}, "new": {"f": some_bytes(3 * MIB, 6)}}
    running = start(plugins=Plugins(extra=[memory_backend(hub)]), cache_size=5 * MIB)
    fetch = Borrowing(Plugins(extra=[memory_backend(hub)]), running.where.socket)
    for name in hub:
        fetch(f"memory://{name}", tmp_path / name, recursive=True)
    found = {row["asked"][0]: (row["complete"], row["here"], row["blobs"]) for row in rows(running)}
    assert found == {"memory://old": (False, 0, 1), "memory://new": (True, 1, 1)}


def test_when_it_first_came_is_known_after_a_restart(start, fetch):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    (before,) = rows(running)
    running.stop()
    again = start()
    fetch("memory://tiny", "again", recursive=True)
    (after,) = rows(again)
    assert after["resolved"] == before["resolved"]
    assert after["used"] >= before["used"]


def test_removing_a_snapshot_frees_its_blobs_and_forgets_it(start, fetch, hub, data, here, not_lent):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    found = post(running, "remove", url="memory://tiny").json()
    assert [row["bytes"] for row in found["snapshots"]] == [sum(map(len, FILES.values()))]
    assert found["staying"] == []
    assert on_disk(data) == set()
    assert rows(running) == []
    assert list((data / "snapshots").iterdir()) == []
    assert tree(here / "out") == FILES
    hub.clear()
    fetch("memory://tiny", "again", recursive=True)
    assert hub.bytes == DISTINCT


def test_blobs_that_another_snapshot_needs_stay(start, fetch, backend, data, not_lent):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    (first,) = rows(running)
    backend.hub.commit("tiny", {**FILES, "config.json": b"[]"})
    fetch("memory://tiny", "next", recursive=True)
    gone = post(running, "remove", url=first["url"]).json()["removed"]
    (kept,) = rows(running, "?blobs=1")
    needed = {blob["blob"] for blob in kept["contents"]}
    assert len(gone) == 1
    assert kept["complete"]
    assert needed <= on_disk(data)


def test_a_pinned_one_is_removed_only_by_force(start, fetch, data, not_lent):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    post(running, "pins", url="memory://tiny")
    refused = post(running, "remove", url="memory://tiny")
    assert (refused.status_code, refused.json()["error"]) == (400, "UsageError")
    assert rows(running)[0]["complete"]
    assert post(running, "remove", url="memory://tiny", force=True).status_code == 200
    assert on_disk(data) == set()


def test_what_was_lent_a_moment_ago_is_removed_only_by_force(start, fetch, data, here):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    refused = post(running, "remove", url="memory://tiny")
    assert (refused.status_code, refused.json()["error"]) == (409, "SwarmError")
    assert "in use" in refused.json()["message"]
    assert rows(running)[0]["complete"]
    assert post(running, "remove", url="memory://tiny", force=True).json()["staying"] == []
    assert on_disk(data) == set()
    assert tree(here / "out") == FILES


def test_the_beginning_of_an_id_names_one_part_of_a_model(start, fetch):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    fetch("memory://tiny", "some", recursive=True, include=["*.json"])
    small = min(rows(running), key=lambda row: row["bytes"])["task"]
    found = post(running, "pins", url=small[:8]).json()["snapshots"]
    assert [row["task"] for row in found] == [row["task"] for row in rows(running) if row["pinned"]] == [small]


def test_what_is_not_here_is_said_so(start):
    running = start()
    for path in ("remove", "pins"):
        assert post(running, path, url="memory://other").status_code == 404
    assert running.ask("/v1/operator/peers?url=memory://other").status_code == 404


@contextlib.contextmanager
def held(start, tmp_path, at):
    """A daemon whose errand for `FILES` has stopped at byte `at` of model.bin; gives it, its origin, and the way to the end."""
    origin = Origin({path: data for path, data in FILES.items() if path != "deep/copy.bin"})
    origin.hold("model.bin", at)
    plugins = Plugins(extra=[origin.backend])
    running = start(plugins=plugins)
    fetch = Borrowing(plugins, running.where.socket)
    thread = threading.Thread(
        target=fetch.quietly, args=("memory://model", str(tmp_path / "out")), kwargs={"recursive": True}
    )
    thread.start()

    def end():
        origin.let_go()
        thread.join(60)
        assert not thread.is_alive()

    try:
        yield running, origin, end
    finally:
        end()


def test_status_tells_what_an_errand_has_and_waits_for(start, tmp_path):
    with held(start, tmp_path, 2 * MIB) as (running, origin, end):
        until(
            lambda: (t := get(running, "status")["tasks"]) and t[0]["arrived"] == DISTINCT - MIB, "it stood elsewhere"
        )
        (task,) = get(running, "status")["tasks"]
        assert task["received"] == {"hub": DISTINCT - MIB}
        assert origin.total == DISTINCT - MIB
        assert (task["files"], task["bytes"]) == (4, DISTINCT)
        assert task["url"] == f"memory://model@{origin.hub.revisions('model')[0]}"
        assert task["idle"] <= task["seconds"]
        (row,) = rows(running)
        assert (row["url"], row["files"], row["complete"]) == (task["url"], 4, False)
        end()
        (row,) = rows(running)
        assert row["complete"]
        said = get(running, "status")
        assert said["tasks"] == []
        assert said["cache"]["blobs"] == 4
        assert (said["role"], said["rings"], said["seed_peers"]) == ("node", 0, [])
        assert (said["received"], said["sent"]) == ({"hub": DISTINCT}, {"peer": 0, "dfget": DISTINCT})


def test_an_errands_rate_is_that_of_the_last_seconds_and_a_byte_ends_a_stall():
    now = [0.0]
    progress = Progress(task="t-seal", snapshot=Snapshot("hub://s", "s", ()), clock=lambda: now[0])
    told = []
    hear = progress.before(told.append)
    for second in range(1, 31):
        now[0] = float(second)
        hear(BytesArrived(path="f", bytes=1000, source="peer" if second % 2 else "seed-peer"))
    row = progress.row()
    assert row["task"] == "t"
    assert row["rate"] == pytest.approx(1000, rel=0.01)
    assert (row["arrived"], row["received"]) == (30_000, {"peer": 15_000, "seed-peer": 15_000})
    now[0] = 60.0
    hear(Stalled(path="f", seconds=30.0, cause="nobody sends"))
    row = progress.row()
    assert (row["idle"], row["seconds"], row["stalls"], row["waiting_for"]) == (30.0, 60.0, 1, "nobody sends")
    assert row["rate"] == pytest.approx(0, abs=1)
    hear(Retrying(path="f", cause="a broken link", after=1.0))
    assert progress.row()["waiting_for"] == "a broken link"
    hear(BytesArrived(path="f", bytes=1, source="hub"))
    assert progress.row()["waiting_for"] == ""
    assert len(told) == 33


def test_what_an_errand_needs_is_not_removed_even_by_force(start, tmp_path):
    with held(start, tmp_path, 2 * MIB) as (running, origin, end):
        until(lambda: origin.total > 2 * MIB, "nothing came")
        fetch = Borrowing(Plugins(extra=[origin.backend]), running.where.socket)
        fetch("memory://model/other.bin", tmp_path / "other.bin")
        assert "in use" in post(running, "remove", url="memory://model/other.bin").json()["message"]
        found = post(running, "remove", url="memory://model/other.bin", force=True).json()
        assert (found["removed"], len(found["staying"])) == ([], 1)
        end()
        assert origin.sent["other.bin"] == len(FILES["other.bin"])
    assert tree(tmp_path / "out") == {path: data for path, data in FILES.items() if path != "deep/copy.bin"}


def test_no_secret_is_among_the_settings(start):
    running = start(joining=Joining(interface="127.0.0.1", cluster_token="hunter2"), cache_size=1 << 30)
    said = get(running, "config")
    assert "hunter2" not in json.dumps(said)
    assert said["settings"]["joining"]["cluster_token"] == "set"
    assert said["settings"]["cache_size"] == 1 << 30


@pytest.mark.parametrize("path", ["status", "peers", "config", "snapshots"])
def test_the_port_that_everybody_reaches_tells_none_of_it(start, path):
    running = start(listen=("127.0.0.1", 0))
    assert httpx.get(f"{running.where.url}/v1/operator/{path}", trust_env=False, timeout=60).status_code == 403


def test_nobody_removes_anything_by_that_port(start):
    running = start(listen=("127.0.0.1", 0))
    where = f"{running.where.url}/v1/operator/remove"
    answer = httpx.post(where, json={"url": "memory://tiny"}, trust_env=False, timeout=60)
    assert answer.status_code == 403
