"""The swarm on links of a chosen speed: every process in a network of its own."""

import json
import sys
import time
from pathlib import Path

import pytest

from dfly.testing.cluster import Cluster
from dfly_hf.testing import FixtureHub

from .files import KIB, MIB, some_bytes, tree

pytestmark = pytest.mark.netns
BIN = Path(sys.executable).parent
FILES = {"model.safetensors": some_bytes(10 * MIB), "config.json": b"{}", "odd name #1.txt": b"?"}


@pytest.fixture
def cluster(tmp_path):
    """Four nodes on links of 8 MiB/s, with their seed peer and a hub that has the model."""
    model = tmp_path / "model"
    model.mkdir()
    for name, data in FILES.items():
        (model / name).write_bytes(data)
    with Cluster(4, nic=8 * MIB, root=tmp_path / "cluster") as built:
        seed, hub = built.seeds[0], FixtureHub(host=built.hub.address, port=8000)
        # its thread and its sockets belong to the namespace of the thread that opens it
        built.hub.call(hub.__enter__)
        hub.repo("owner/model", model)
        built.model = hub
        address = f"{seed.address}:65001"
        daemon = [str(BIN / "dfdaemon"), "--seed-peer", "--listen", address, "--data-dir", str(seed.directory / "data")]
        process = seed.popen([*daemon, "--insecure"], env={"HF_ENDPOINT": hub.url})
        seed.wait_until_listening(65001, process=process)
        built.seed_url = f"http://{address}"
        yield built
        hub.__exit__(None, None, None)


def dfget(cluster, node):
    argv = [str(BIN / "dfget"), "hf://owner/model", "-O", str(node.directory / "model"), "-r", "--json"]
    env = {"HF_ENDPOINT": cluster.model.url, "HF_HOME": str(node.directory / "hf")}
    return node.popen([*argv, "--seed-peer", cluster.seed_url], env=env, out=node.directory / "events")


def finished(process) -> dict:
    assert process.wait(60) == 0, process.tail()
    return json.loads(process.out.read_text().splitlines()[-1])


def test_four_nodes_on_slow_links_take_the_model_from_the_hub_once(cluster):
    size, seed = sum(map(len, FILES.values())), cluster.seeds[0]
    cluster.model.hold("model.safetensors", 0)
    nodes = [dfget(cluster, node) for node in cluster.nodes]
    deadline = time.monotonic() + 60
    while len(seed.clients(65001)) < len(nodes):  # on a busy machine the first would be done before the last has begun
        assert time.monotonic() < deadline, [process.tail() for process in nodes]
        time.sleep(0.05)
    cluster.model.let_go()
    sources = [finished(process)["sources"] for process in nodes]
    for node in cluster.nodes:
        assert tree(node.directory / "model") == FILES
    assert cluster.model.records.bytes_sent() == size
    assert all(sum(each.values()) == size for each in sources)
    assert sum(each.get("peer", 0) for each in sources) > size
    # what left the seed peer's link: the model about once, and the control plane
    assert seed.bytes_out() < 1.5 * size + 512 * KIB


@pytest.mark.long
def test_a_node_whose_cable_is_pulled_goes_on_when_it_is_back(cluster):
    first, *others = cluster.nodes
    cut = dfget(cluster, first)
    while "segment.finished" not in (cut.out.read_text() if cut.out.exists() else ""):
        assert cut.returncode is None, cut.tail()
    first.cut()
    for process in [dfget(cluster, node) for node in others]:
        assert finished(process)["event"] == "task.finished"
    first.mend()
    assert finished(cut)["event"] == "task.finished"
    assert tree(first.directory / "model") == FILES
    assert cluster.model.records.bytes_sent() == sum(map(len, FILES.values()))
