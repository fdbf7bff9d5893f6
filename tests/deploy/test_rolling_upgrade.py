"""During a rolling upgrade nodes and seed peers of two releases that follow each other work together, either way round."""

import json

import pytest

from dfly import wire
from dfly.errors import SwarmError
from dfly.node.revival import revive
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.testing.swarm import small_swarm, tree
from tests.daemon.conftest import MIB, some_bytes

from .newer import Newer

FILES = {"model.bin": some_bytes(5 * MIB, 5), "config.json": b"{}", "deep/vocab.txt": some_bytes(5000, 6)}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def swarm(tmp_path):
    with small_swarm(tmp_path, plugins=Plugins(extra=[memory_backend({"tiny": FILES})])) as running:
        yield running


@pytest.mark.parametrize(
    ("node", "seed_peer"),
    [(False, True), (True, False), (True, True)],
    ids=["older nodes, newer seed peer", "newer nodes, older seed peer", "both newer than this release"],
)
def test_a_transfer_completes_across_one_version_of_the_wire(swarm, node, seed_peer):
    newer = Newer(swarm.url, node=node, seed_peer=seed_peer)
    with newer.running() as url:
        joining = {"seed_peers": (url,), "back_to_source": False}
        reports = [each.done() for each in swarm.several(2, "memory://tiny", joining=joining)]
    assert [tree(each.output) for each in swarm.nodes] == [FILES, FILES]
    assert swarm.stats()["hub_bytes"] == SIZE
    assert all(report.sources.keys() <= {"seed-peer", "peer"} for report in reports)
    wanted = {"field"} | ({"version"} if node else set()) | ({"message", "column"} if seed_peer else set())
    assert wanted <= newer.added.keys()
    assert newer.refused == []


def test_nodes_of_two_releases_are_in_one_ring(swarm):
    with Newer(swarm.url, node=True, seed_peer=False).running() as url:
        old = swarm.node("memory://tiny", joining={"back_to_source": False})
        new = swarm.node("memory://tiny", joining={"seed_peers": (url,), "back_to_source": False})
        old.done(), new.done()
    assert [tree(each.output) for each in swarm.nodes] == [FILES, FILES]
    assert len(swarm.stats()["tasks"]) == 1
    assert swarm.stats()["hub_bytes"] == SIZE


def test_a_kind_of_message_that_this_release_does_not_know_is_passed_over():
    assert wire.decode_message(b'{"t": "weather", "seq": 7}') is None


def test_an_error_that_this_release_does_not_know_is_an_error_of_the_swarm():
    told = revive("TooWarm", "it is too warm here", "open a window", {})
    assert isinstance(told, SwarmError)
    assert "too warm" in str(told)


def test_where_the_pieces_are_cut_otherwise_a_node_says_so_and_takes_nothing():
    resolved = json.loads(wire.Resolved(task="t", snapshot=_snapshot()).encode())
    resolved["snapshot"]["layout"] += 1
    with pytest.raises(wire.WireError, match="this dfly knows rule"):
        wire.Resolved.decode(json.dumps(resolved).encode())


def _snapshot():
    from dfly.values import Snapshot

    return Snapshot(source="memory://tiny", name="tiny", entries=[], revision=None, public=True)
