"""What `dfctl status` and `peers` say is what the nodes say: the same bytes, from the same places, the same segments."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from dfly.cli.desk import at_desk
from dfly.config import Joining
from dfly.daemon.client import Daemon
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK

from .files import MIB, SEGMENT, some_bytes

FILES = {"model.bin": some_bytes(2 * SEGMENT + MIB), "config.json": b"{}", "tokenizer.json": b"[1]"}
SIZE = sum(map(len, FILES.values()))
URL = "memory://model"


BIN = Path(sys.executable).parent


def ask(path, *, at=None, **query):
    """What dfctl has to go by: of the seed peer `at` a URL, else of the daemon that the environment names."""
    with at_desk(at) as desk:
        return desk.get(path, **query)


def dfctl(*argv):
    """What it makes of that."""
    return json.loads(subprocess.run([BIN / "dfctl", *argv, "--json"], capture_output=True, check=True).stdout)


def until(holds, what):
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.05)
    return found


def moved(node) -> dict[str, int]:
    """What a node itself says: bytes by source."""
    found = Counter()
    for event in node.named("bytes.arrived"):
        found[event.source] += event.bytes
    return dict(found)


def received(row) -> dict[str, int]:
    return {source: count for source, count in row["received"].items() if count}


def alike(rows) -> list:
    return sorted(sorted(row.items()) for row in rows)


@contextlib.contextmanager
def daemon(cluster, plugins, folder):
    """A node daemon of this cluster; gives its socket."""
    config = NodeConfig(
        data_dir=str(folder / "data"),
        socket=str(folder / "run" / "dfly.sock"),
        joining=Joining(seed_peers=(cluster.url,), interface="127.0.0.1"),
        patience=QUICK,
    )
    with NodeDaemon(config, plugins=plugins).running() as where:
        yield where.socket


def borrowing(cluster, socket, name):
    """A dfget that has everything from that daemon, on its way."""
    return cluster.node(URL, name, joining={"seed_peers": ()}, lender=Daemon(socket))


def borrow(cluster, socket, name):
    """The same, to its end."""
    return borrowing(cluster, socket, name).done()


def agree(nodes, cluster, hub, *, segments):
    """Wait until the seed peer says of every node what the node says itself, all standing still; the ring then."""

    def standing():
        rows = [row for ring in ask("peers", at=cluster.url)["tasks"] for row in ring["nodes"]]
        there = len(rows) == len(nodes) and all(row["held"] == segments for row in rows)
        return rows if there and alike(map(received, rows)) == alike(map(moved, nodes)) else None

    rows = until(standing, "the seed peer and the nodes never agreed")
    assert [row["place"] for row in rows] == list(range(len(nodes)))
    assert [row["node"] for row in ask("peers", at=cluster.url, url=URL)["tasks"][0]["nodes"]] == [
        row["node"] for row in rows
    ]
    said = dfctl("status", "--seed-peer", cluster.url)
    (task,) = said["tasks"]
    assert received(task) == dict(sum((Counter(received(row)) for row in rows), Counter()))
    assert (task["nodes"], task["in_ring"], task["done"]) == (len(nodes), len(nodes), 0)
    assert said["moved"]["hub"] == hub.total
    assert said["moved"]["web seed"] >= task["received"]["seed-peer"]
    return task


def test_in_the_middle_of_a_run_every_nodes_bytes_are_what_it_says_itself(origin, swarm):
    hub = origin(FILES)
    hub.hold("model.bin", 2 * SEGMENT)
    cluster = swarm(hub)
    nodes = cluster.several(4, URL)
    task = agree(nodes, cluster, hub, segments=3)
    assert (task["published"], task["segments"], task["complete"]) == (3, 4, False)
    assert sum(task["received"].values()) == 4 * (2 * SEGMENT + 5)
    hub.let_go()
    for node in nodes:
        node.done()


@pytest.mark.long
def test_so_they_are_with_sixteen_nodes(origin, swarm):
    hub = origin(FILES)
    hub.hold("model.bin", 2 * SEGMENT)
    cluster = swarm(hub)
    nodes = cluster.several(16, URL)
    task = agree(nodes, cluster, hub, segments=3)
    assert sum(task["received"].values()) == 16 * (2 * SEGMENT + 5)
    hub.let_go()
    total = Counter()
    for node in nodes:
        total.update(node.done().sources)
    (task,) = dfctl("status", "--seed-peer", cluster.url)["tasks"]
    assert received(task) == dict(total)


def test_after_a_run_the_sums_are_those_of_all_nodes(origin, swarm):
    cluster = swarm(origin(FILES))
    total = Counter()
    for node in cluster.several(4, URL):
        total.update(node.done().sources)
    said = dfctl("status", "--seed-peer", cluster.url)
    (task,) = said["tasks"]
    assert received(task) == dict(total)
    assert total.total() == 4 * SIZE
    assert said["moved"]["hub"] == SIZE
    assert task["complete"]
    assert ask("peers", at=cluster.url)["tasks"][0]["nodes"] == []


def test_a_daemon_and_its_seed_peer_say_the_same_of_its_place(origin, swarm, tmp_path, monkeypatch):
    hub = origin(FILES)
    cluster = swarm(hub)
    plugins = Plugins(extra=[hub.backend])
    with contextlib.ExitStack() as stack:
        sockets, told = [], Counter()
        for name in ("a", "b"):
            socket = stack.enter_context(daemon(cluster, plugins, tmp_path / name))
            sockets.append(socket)
            told.update(borrow(cluster, socket, f"out-{name}").sources)

        def places():
            found = []
            for socket in sockets:
                monkeypatch.setenv("DFLY_SOCKET", socket)
                found += ask("peers")["tasks"]
            return found

        def agreed():
            mine = places()
            (ring,) = ask("peers", at=cluster.url)["tasks"]
            theirs = {node["node"]: node for node in ring["nodes"]}
            same = {place["node"] for place in mine} == set(theirs) and len(mine) == 2
            # a daemon takes its place when it has everything: how it came to that is to be known as well
            heard = sum((Counter(received(node)) for node in theirs.values()), Counter())
            whole = heard == told and all(node["held"] == 4 for node in theirs.values())
            return (mine, theirs) if same and whole else None

        mine, theirs = until(agreed, "a daemon is in a ring that the seed peer knows nothing of")
        for place in mine:
            assert place["url"] == ask("snapshots", at=cluster.url)["snapshots"][0]["url"]
            assert place["held"] == theirs[place["node"]]["segments"] == 4
            assert place["seed_peer"] == cluster.url
        (task,) = ask("status", at=cluster.url)["tasks"]
        assert received(task) == dict(told)
        assert told.total() == 2 * SIZE
        said = []
        for socket in sockets:
            monkeypatch.setenv("DFLY_SOCKET", socket)
            said.append(ask("status"))
        assert sum((Counter(each["received"]) for each in said), Counter()) == told
        assert sum(each["sent"]["dfget"] for each in said) == 2 * SIZE
        (row,) = dfctl("ls")["snapshots"]
        assert row["complete"]
        assert ask("status")["rings"] == 1


def test_a_daemon_says_that_it_is_in_the_ring_while_its_bytes_come(origin, swarm, tmp_path, monkeypatch):
    hub = origin(FILES)
    hub.hold("model.bin", 2 * SEGMENT)
    cluster = swarm(hub)
    plugins = Plugins(extra=[hub.backend])
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(daemon(cluster, plugins, tmp_path / name)) for name in ("a", "b")]
        nodes = [borrowing(cluster, socket, f"out-{number}") for number, socket in enumerate(sockets)]

        def agreed():
            mine = []
            for socket in sockets:
                monkeypatch.setenv("DFLY_SOCKET", socket)
                mine += ask("peers")["tasks"]
            theirs = [node for ring in ask("peers", at=cluster.url)["tasks"] for node in ring["nodes"]]
            same = {place["node"] for place in mine} == {node["node"] for node in theirs}
            met = len(mine) == 2 and all(place["neighbours"] for place in mine)
            return mine if same and met and all(row["held"] == 3 for row in (*mine, *theirs)) else None

        (task,) = ask("status", at=cluster.url)["tasks"]
        for place in until(agreed, "a daemon brings a task and says that it is in no ring"):
            assert (place["members"], place["seed_peer"], place["url"]) == (2, cluster.url, task["url"])
        assert ask("status")["rings"] == 1
        assert len(ask("peers", url=task["url"])["tasks"]) == 1
        (row,) = dfctl("ls")["snapshots"]
        assert (row["complete"], row["blobs"]) == (False, 3)
        hub.let_go()
        for node in nodes:
            node.done()
        (row,) = dfctl("ls")["snapshots"]
        assert row["complete"]


def test_what_is_removed_by_force_comes_back_from_a_daemon_and_not_from_the_hub(origin, swarm, tmp_path):
    hub = origin(FILES)
    cluster = swarm(hub)
    with daemon(cluster, Plugins(extra=[hub.backend]), tmp_path / "a") as socket, at_desk(cluster.url) as desk:
        borrow(cluster, socket, "out")
        until(lambda: ask("status", at=cluster.url)["tasks"][0]["done"] == 1, "the daemon took no place")
        desk.post("remove", {"url": URL, "force": True})
        until(lambda: any(row["complete"] for row in desk.get("snapshots")["snapshots"]), "it did not come back")
        assert hub.total == SIZE
