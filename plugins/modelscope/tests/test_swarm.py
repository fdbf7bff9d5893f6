"""A model of the hub goes through a seed peer to four nodes, and leaves the hub once."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import dfly
from dfly.plugins import Plugins
from dfly.testing.models import a_model
from dfly.testing.swarm import Swarm, small_swarm, tree
from dfly_modelscope.testing import FixtureHub

CHECKOUT = Path(__file__).parents[3]
REPO = "sentence-transformers/all-MiniLM-L6-v2"
URL = f"modelscope://{REPO}"
SMALL = {"config.json": b"{}", "model.safetensors": os.urandom(3 << 20), "figures/a b+c.txt": b"odd", "empty": b""}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_model(CHECKOUT, tmp_path_factory.mktemp("model"))


@pytest.fixture
def swarm(hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Swarm]:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    with small_swarm(tmp_path, plugins=Plugins()) as running:
        yield running


def test_a_real_model_reaches_four_nodes_and_leaves_the_hub_once(hub: FixtureHub, swarm: Swarm, model: Path) -> None:
    hub.repo(REPO, model)
    files = tree(model)
    for node in swarm.several(4, URL):
        report = node.done()
        assert tree(node.output) == files
        assert report.sources.get("hub", 0) == 0
    size = sum(map(len, files.values()))
    assert hub.records.bytes_sent() == swarm.stats()["hub_bytes"] == size
    assert hub.records.leaks() == []


def test_a_data_set_and_one_file_of_it(hub: FixtureHub, swarm: Swarm, tmp_path: Path) -> None:
    files = {f"part/{n:03}.json": b"%d" % n for n in range(250)} | {"train.json": b"[1]"}
    hub.repo("datasets/damo/squad-zh", files)
    node = swarm.node("modelscope://datasets/damo/squad-zh/part")
    one = swarm.node("modelscope://datasets/damo/squad-zh/train.json", output=tmp_path / "train.json", recursive=False)
    one.done(), node.done()
    assert tree(node.output) == {
        name.removeprefix("part/"): data for name, data in files.items() if name != "train.json"
    }
    assert one.output.read_bytes() == b"[1]"


def test_globs_choose_what_leaves_the_hub(hub: FixtureHub, swarm: Swarm) -> None:
    hub.repo("o/r", SMALL)
    for node in swarm.several(2, "modelscope://o/r", include=["*.json", "figures/"], exclude=["empty"]):
        node.done()
        assert set(tree(node.output)) == {"config.json", "figures/a b+c.txt"}
    assert hub.records.bytes_sent() == len(b"{}odd")


def test_a_revision_is_pinned_while_its_branch_moves(hub: FixtureHub, swarm: Swarm) -> None:
    repo = hub.repo("o/r", SMALL)
    repo.tag("v2.0")
    first = swarm.node("modelscope://o/r", options={"ms": {"revision": "v2.0"}})
    first.done()
    repo.commit({**SMALL, "config.json": b"{'new': 1}"})
    hub.records.clear()
    again, newest = swarm.node("modelscope://o/r@v2.0"), swarm.node("modelscope://o/r")
    again.done(), newest.done()
    assert tree(first.output) == tree(again.output) == SMALL
    assert tree(newest.output)["config.json"] == b"{'new': 1}"
    # what the revisions share is there already
    assert hub.records.bytes_sent() == len(b"{'new': 1}")


def test_a_private_model_opens_to_each_nodes_own_token(hub: FixtureHub, swarm: Swarm) -> None:
    hub.repo("o/r", SMALL, private=True)
    hub.token("right", grants=["o/r"])
    hub.token("other")
    for node in swarm.several(2, "modelscope://o/r", options={"ms": {"token": "right"}}):
        node.done()
        assert tree(node.output) == SMALL
    for options in ({}, {"ms": {"token": "other"}}):
        node = swarm.node("modelscope://o/r", options=options)
        assert isinstance(node.error(), dfly.AccessDenied)
        assert not node.output.exists()
    assert hub.records.leaks() == []


def test_a_nodes_token_goes_along_and_the_seed_peers_own_is_never_lent(
    hub: FixtureHub, swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo("o/r", SMALL, private=True)
    hub.token("of-the-seed-peer", grants=["o/r"])
    hub.token("of-the-node", grants=["o/r"])
    # the seed peer is this process, and a node another one
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "of-the-seed-peer")
    refused = swarm.process("modelscope://o/r", tmp_path / "none", MODELSCOPE_API_TOKEN="")
    assert refused.wait() == 5
    let_in = swarm.process("modelscope://o/r", tmp_path / "out", MODELSCOPE_API_TOKEN="of-the-node")
    told = let_in.rest()
    assert let_in.wait() == 0, let_in.stderr and let_in.stderr.read()
    assert tree(tmp_path / "out") == SMALL
    assert "of-the-node" not in str(told)


def test_a_node_that_was_killed_goes_on_and_the_hub_sends_nothing_twice(
    hub: FixtureHub, swarm: Swarm, tmp_path: Path, model: Path
) -> None:
    hub.repo(REPO, model)
    hub.hold("model.safetensors", 20 << 20)
    killed = swarm.process(URL, tmp_path / "out")
    killed.until("segment.finished", path="model.safetensors")
    killed.kill()
    assert killed.wait() < 0
    hub.let_go()
    again = swarm.process(URL, tmp_path / "out")
    told = again.rest()
    assert again.wait() == 0, again.stderr and again.stderr.read()
    files = tree(model)
    assert tree(tmp_path / "out") == files
    assert hub.records.bytes_sent() == sum(map(len, files.values()))
    assert max(event["had"] for event in told if event["event"] == "file.started") > 0
