"""What operators see of a seed peer is what is on its disk, and what they remove is gone, and nothing else."""

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from dfly.backend import Secret
from dfly.config import Network
from dfly.plugins import Plugins
from dfly.seed.operators.effective import effective
from dfly.seed.operators.inventory import Inventory
from dfly.seed.operators.shown import node_rows
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.topology.members import Member
from dfly.testing.swarm import small_swarm
from dfly.wire import Ask, Hello, Report, Resolved, decode_message
from tests.swarm_e2e.files import MIB, some_bytes
from tests.swarm_e2e.origin import Origin

FILES = {"model.bin": some_bytes(3 * MIB), "a.json": b"{}", "b.json": b"[1]", "empty": b""}
URL = "memory://model"


class Desk:
    """An operator at the seed peer of `swarm`, and a node that only listens."""

    def __init__(self, swarm, origin, folder: Path) -> None:
        self.swarm, self.origin, self.folder = swarm, origin, folder
        self.client = httpx.Client(base_url=swarm.url, trust_env=False, timeout=60)

    def get(self, path, **query):
        answer = self.client.get(f"/v1/operator/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path, **body):
        return self.client.post(f"/v1/operator/{path}", json=body)

    def done(self, path, **body):
        answers = []

        def answered() -> bool:
            answers.append(self.post(path, **body))
            return "still being fetched" not in answers[-1].text

        self.until(answered, "it is fetched for ever")  # nodes may be done with a blob a moment before its mirror is
        assert answers[-1].status_code == 200, answers[-1].text
        return answers[-1].json()

    def fetch(self, url=URL, **given):
        return self.swarm.node(url, **given).done()

    def resolve(self, url=URL, **more) -> Resolved:
        ask = Ask(url=url, recursive=True, **more)
        answer = self.client.post("/v1/snapshots", content=ask.encode())
        assert answer.status_code == 200, answer.text
        return Resolved.decode(answer.content)

    @contextlib.contextmanager
    def listening(self, task, node="n1", location="", port=1):
        """A member of the ring for as long as the block lasts."""
        query = {"node": node, "port": str(port), "location": location}
        with self.client.stream("GET", f"/v1/snapshots/{task}/events", params=query) as stream:
            lines = stream.iter_lines()
            assert isinstance(decode_message(next(lines).encode()), Hello)
            yield lines

    def report(self, task, node="n1", **told):
        self.client.post(f"/v1/snapshots/{task}/report", content=Report(node=node, **told).encode()).raise_for_status()

    def row(self, **query):
        (row,) = self.get("snapshots", **query)["snapshots"]
        return row

    def until(self, holds, what):
        """Ask until it is so: what the mirror does is told to nobody here."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, what
            threading.Event().wait(0.02)

    def data(self, blob) -> Path:
        return self.folder / "seed" / "blobs" / blob.rpartition("-")[2][:2] / blob / "data"

    def on_disk(self) -> set[str]:
        return {path.parent.name for path in (self.folder / "seed" / "blobs").glob("*/*/data")}


@pytest.fixture
def origin():
    return Origin(FILES)


@pytest.fixture
def open_desk(tmp_path, origin):
    with contextlib.ExitStack() as stack:

        def begin(**settings):
            running = stack.enter_context(contextlib.ExitStack())
            plugins = Plugins(extra=[origin.backend])
            swarm = running.enter_context(small_swarm(tmp_path, plugins=plugins, **settings))
            desk = Desk(swarm, origin, tmp_path)
            running.callback(desk.client.close)
            running.callback(origin.let_go)
            desk.close = running.close
            return desk

        yield begin


@pytest.fixture
def desk(open_desk):
    return open_desk()


def test_a_snapshot_is_listed_with_its_source_size_and_names(desk, origin):
    before = time.time()
    desk.fetch()
    row = desk.row()
    (revision,) = origin.hub.revisions("model")
    assert row["url"] == f"memory://model@{revision}"
    assert row["revision"] == revision
    assert (row["files"], row["bytes"]) == (4, sum(map(len, FILES.values())))
    assert row["asked"] == [URL]
    assert row["complete"]
    assert not row["pinned"]
    assert before <= row["resolved"] <= row["used"] <= time.time()


def test_with_blobs_every_content_is_named_with_its_files(desk):
    desk.fetch()
    contents = desk.row(blobs="1")["contents"]
    assert sorted(path for blob in contents for path in blob["files"]) == ["a.json", "b.json", "model.bin"]
    assert all(blob["here"] for blob in contents)
    assert {blob["blob"] for blob in contents} <= desk.on_disk()


def test_what_has_not_come_yet_is_not_called_complete(desk, origin):
    origin.hold("model.bin", 0)
    desk.resolve()
    row = desk.row()
    assert not row["complete"]
    assert row["here"] < row["blobs"]
    origin.let_go()
    desk.until(lambda: desk.row()["complete"], "it never came")


def test_a_restart_changes_nothing_of_what_is_listed(desk, open_desk):
    desk.fetch()
    desk.done("pins", url=URL)
    before = desk.row()
    desk.close()
    after = open_desk().row()
    assert {**after, "used": 0} == {**before, "used": 0}
    assert after["pinned"]


def test_a_private_one_is_listed_without_what_opens_it(open_desk, tmp_path):
    origin = Origin(FILES, token="hunter2")
    with small_swarm(tmp_path / "private", plugins=Plugins(extra=[origin.backend])) as swarm:
        desk = Desk(swarm, origin, tmp_path / "private")
        answer = desk.client.post(
            "/v1/snapshots",
            content=Ask(url=URL, recursive=True).encode(),
            headers={"X-Dfly-Option-memory-token": "hunter2"},
        )
        task = Resolved.decode(answer.content).task
        seal = task.partition("-")[2]
        row = desk.row()
        assert not row["public"]
        shown = json.dumps([row, desk.get("status"), desk.get("peers"), desk.get("config")])
        assert seal
        assert seal not in shown
        assert "hunter2" not in shown
        kept = b"".join(file.read_bytes() for file in (tmp_path / "private" / "seed" / "snapshots").iterdir())
        assert b"hunter2" not in kept
        desk.client.close()


def test_removing_a_snapshot_frees_its_blobs_and_forgets_it(desk, origin):
    desk.fetch()
    blobs = {blob["blob"] for blob in desk.row(blobs="1")["contents"]}
    found = desk.done("remove", url=URL)
    assert blobs <= set(found["removed"])
    assert found["staying"] == []
    assert desk.on_disk() == set()
    assert desk.get("snapshots")["snapshots"] == []
    assert desk.get("status")["tasks"] == []
    assert list((desk.folder / "seed" / "snapshots").iterdir()) == []


def test_what_was_removed_can_be_fetched_again(desk, origin):
    desk.fetch()
    desk.done("remove", url=URL)
    origin.sent.clear()
    desk.fetch()
    assert origin.total == sum(map(len, FILES.values()))
    assert desk.row()["complete"]


def test_blobs_that_another_snapshot_needs_stay(desk, origin):
    desk.fetch()
    first = desk.row()["url"]
    origin.hub.commit("model", {**FILES, "b.json": b"[2]"})
    desk.fetch()
    rows = desk.get("snapshots", blobs="1")["snapshots"]
    (kept,) = (row for row in rows if row["url"] != first)
    gone = desk.done("remove", url=first)["removed"]
    needed = {blob["blob"] for blob in kept["contents"]}
    assert gone
    assert needed.isdisjoint(gone)
    assert needed <= desk.on_disk()
    assert desk.row()["complete"]


def test_a_snapshot_of_an_earlier_run_can_be_removed(desk, open_desk):
    desk.fetch()
    desk.close()
    again = open_desk()
    assert again.done("remove", url=URL)["staying"] == []
    assert again.on_disk() == set()


def test_a_pinned_one_is_removed_only_by_force(desk):
    desk.fetch()
    desk.done("pins", url=URL)
    refused = desk.post("remove", url=URL)
    assert (refused.status_code, refused.json()["error"]) == (400, "UsageError")
    assert "pinned" in refused.json()["message"]
    assert desk.row()["complete"]
    desk.done("pins", url=URL, pinned=False)
    desk.done("remove", url=URL)
    desk.fetch()
    desk.done("pins", url=URL)
    desk.done("remove", url=URL, force=True)
    assert desk.on_disk() == set()


def test_one_that_nodes_are_fetching_is_removed_only_by_force(desk):
    desk.fetch()
    task = desk.resolve().task
    with desk.listening(task) as lines:
        refused = desk.post("remove", url=URL)
        assert refused.status_code == 409
        assert "1 node in its ring" in refused.json()["message"]
        assert desk.row()["complete"]
        desk.done("remove", url=URL, force=True)
        assert desk.on_disk() == set()
        for _ in lines:
            """The stream comes to an end, else this waits until the client gives up."""
    assert desk.client.get(f"/v1/snapshots/{task}/events", params={"node": "n1", "port": "1"}).status_code == 404


def test_one_that_is_still_arriving_is_not_removed(desk, origin):
    origin.hold("model.bin", 0)
    desk.resolve()
    refused = desk.post("remove", url=URL, force=True)
    assert refused.status_code == 409
    assert "still being fetched" in refused.json()["message"]
    origin.let_go()
    desk.until(lambda: desk.row()["complete"], "it never came")
    desk.until(lambda: desk.post("remove", url=URL).status_code == 200, "it never went")


def test_what_is_not_here_is_said_so(desk):
    for path in ("remove", "pins"):
        answer = desk.post(path, url="memory://other")
        assert (answer.status_code, answer.json()["hint"]) == (404, "dfctl ls shows what is")
    assert desk.client.get("/v1/operator/peers", params={"url": "memory://other"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("remove", {}),
        ("remove", {"url": 1}),
        ("remove", {"url": "x", "force": 1}),
        ("pins", []),
        ("verify", {"blobs": 1}),
    ],
    ids=range(5),
)
def test_a_request_that_makes_no_sense_is_refused_in_words(desk, path, body):
    answer = desk.client.post(f"/v1/operator/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "UsageError")


def test_the_beginning_of_an_id_names_one_part_of_a_model(desk):
    desk.fetch()
    desk.resolve(include=("*.json",))
    rows = desk.get("snapshots")["snapshots"]
    assert len({row["url"] for row in rows}) == 1
    small = min(rows, key=lambda row: row["bytes"])["task"]
    assert [row["task"] for row in desk.done("pins", url=small[:8])["snapshots"]] == [small]
    assert [row["task"] for row in desk.get("snapshots")["snapshots"] if row["pinned"]] == [small]


def test_verifying_finds_everything_right(desk):
    desk.fetch()
    found = desk.done("verify")
    assert found == {"right": len(desk.on_disk()), "mended": [], "lost": []}
    assert desk.done("verify", blobs=[min(desk.on_disk())]) == {"right": 1, "mended": [], "lost": []}


@pytest.mark.parametrize("blob", ["sha256-" + "0" * 64, "../../x"])
def test_a_blob_that_is_not_here_is_not_called_right(desk, blob):
    desk.fetch()
    refused = desk.post("verify", blobs=[*sorted(desk.on_disk()), blob])
    assert (refused.status_code, refused.json()["error"]) == (404, "NotFound")
    assert blob in refused.json()["message"]


def test_a_damaged_blob_is_mended_with_the_damaged_piece_only(desk, origin):
    desk.fetch()
    (blob,) = (b["blob"] for b in desk.row(blobs="1")["contents"] if b["files"] == ["model.bin"])
    _spoil(desk.data(blob))
    origin.sent.clear()
    found = desk.done("verify", blobs=[blob])
    assert found == {"right": 0, "mended": [blob], "lost": []}
    assert desk.data(blob).read_bytes() == FILES["model.bin"]
    assert 0 < origin.total < len(FILES["model.bin"])


def test_a_damaged_pack_is_packed_anew(desk, origin):
    desk.fetch()
    (pack,) = (blob for blob in desk.on_disk() if blob.startswith("pack-"))
    before = desk.data(pack).read_bytes()
    _spoil(desk.data(pack))
    origin.sent.clear()
    assert desk.done("verify", blobs=[pack]) == {"right": 0, "mended": [pack], "lost": []}
    assert desk.data(pack).read_bytes() == before
    assert origin.total == 0


def test_a_blob_that_nobody_wants_now_and_is_damaged_is_lost_until_somebody_does(desk, open_desk, origin):
    desk.fetch()
    (blob,) = (b["blob"] for b in desk.row(blobs="1")["contents"] if b["files"] == ["model.bin"])
    desk.close()
    _spoil(desk.data(blob))
    again = open_desk()
    assert again.done("verify")["lost"] == [blob]
    assert not again.row()["complete"]
    again.fetch(name="again")
    assert again.row()["complete"]


def test_status_counts_what_is_published(desk, origin):
    origin.hold("model.bin", MIB)
    desk.resolve()
    desk.until(lambda: desk.get("status")["moved"]["hub"] >= MIB, "nothing came")
    (task,) = desk.get("status")["tasks"]
    assert not task["complete"]
    assert task["published"] < task["segments"]
    origin.let_go()
    desk.until(lambda: desk.get("status")["tasks"][0]["complete"], "it never came")
    said = desk.get("status")
    (task,) = said["tasks"]
    assert task["published"] == task["segments"] == sum(blob["segments"] for blob in task["blobs"])
    assert task["bytes"] == sum(blob["bytes"] for blob in task["blobs"]) == said["moved"]["hub"]
    assert said["role"] == "seed-peer"
    assert set(said["rates"]) == set(said["moved"])


def test_rates_are_those_of_the_last_seconds():
    mirror, egress = SimpleNamespace(hub_bytes=0), Counter()
    tasks = SimpleNamespace(mirror=mirror, all=list, waiting_for="")
    inventory = Inventory(tasks=tasks, memory=None, egress=egress, config=None)

    def rates():
        return json.loads(asyncio.run(inventory.status(None)).body)["rates"]

    assert rates() == {"hub": 0, "web seed": 0, "control": 0}
    for second in range(30):
        mirror.hub_bytes += 1000
        egress["web seed"] += 50
        inventory.look(float(second))
    assert rates() == {"hub": pytest.approx(1000, rel=0.01), "web seed": pytest.approx(50, rel=0.02), "control": 0}
    for second in range(30, 60):
        inventory.look(float(second))
    assert rates() == {"hub": 0, "web seed": 0, "control": 0}


def test_peers_are_shown_in_the_order_of_the_ring_with_what_they_told(desk):
    desk.fetch()
    task = desk.resolve().task
    with desk.listening(task, "n1", "b"), desk.listening(task, "n2", "a"):
        blobs = {blob["blob"]: blob["segments"] for blob in desk.get("status")["tasks"][0]["blobs"]}
        desk.report(task, "n1", held={blob: tuple(range(count)) for blob, count in blobs.items()}, done=True)
        desk.report(task, "n2", sources={"peer": 7, "made up": 9}, stalled=((next(iter(blobs)), 0),))
        (ring,) = desk.get("peers", url=URL)["tasks"]
        first, second = ring["nodes"]
        assert [(node["node"], node["place"], node["location"]) for node in (first, second)] == [
            ("n2", 0, "a"),
            ("n1", 1, "b"),
        ]
        assert second["held"] == second["segments"] == sum(blobs.values())
        assert (first["held"], first["state"], second["state"]) == (0, "fetching", "done")
        assert first["received"]["peer"] == 7
        assert "made up" not in first["received"]
        assert (first["stalled"], second["stalled"]) == (1, 0)
        assert first["neighbours"] == ["n1"]
        (row,) = desk.get("status")["tasks"]
        assert (row["nodes"], row["in_ring"], row["done"], row["stalled"]) == (2, 2, 1, 1)
        assert row["received"]["peer"] == 7


@pytest.mark.parametrize("done", [False, True])
def test_a_node_that_has_everything_takes_nothing_any_more(done):
    # it says something every eight seconds only, and what it took until then is no rate of now
    member = Member(node="n1", addresses=(), location="", last_seen=5.0, done=done)
    for second in range(6):
        member.flow.seen(1000 * second, float(second))
    scheduler = SimpleNamespace(clock=lambda: 7.0, members=["n1"], known=lambda: [member], neighbours=lambda _: ())
    (row,) = node_rows(SimpleNamespace(scheduler=scheduler), sizes={})
    assert (row["rate"] > 0) is not done


def test_a_node_that_two_others_found_silent_is_shown_on_the_bench(desk):
    desk.fetch()
    task = desk.resolve().task
    with contextlib.ExitStack() as stack:
        for port, node in enumerate(("n1", "n2", "mute"), start=1001):
            stack.enter_context(desk.listening(task, node, port=port))
        for node in ("n1", "n2"):
            desk.report(task, node, silent_peers=(("127.0.0.1", 1003),))
        nodes = {node["node"]: node for node in desk.get("peers")["tasks"][0]["nodes"]}
        assert nodes["mute"]["addresses"] == ["127.0.0.1:1003"]
        assert (nodes["mute"]["state"], nodes["mute"]["place"]) == ("benched", None)
        assert nodes["mute"]["benched"] > 0
        assert {nodes["n1"]["state"], nodes["n2"]["state"]} == {"fetching"}


def test_no_secret_is_among_the_settings():
    config = SeedPeerConfig(
        data_dir="/d",
        cluster_token=Secret("hunter2"),
        network=Network(proxy="http://me:hunter2@proxy:3128", key="/k.pem"),
    )
    shown = effective(config)
    assert "hunter2" not in json.dumps(shown)
    assert shown["cluster_token"] == "set"
    assert shown["operator_token"] == "not set"
    assert shown["network"]["proxy"] == "http://***@proxy:3128"
    assert shown["network"]["key"] == "/k.pem"
    assert shown["listen"] == ["127.0.0.1", 65001]


def test_a_seed_peer_tells_the_settings_it_runs_with(open_desk):
    settings = open_desk(revision_ttl=7.5).get("config")["settings"]
    assert settings["revision_ttl"] == 7.5
    assert settings["cluster_token"] == "not set"


def _spoil(path: Path) -> None:
    """One flipped bit."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
