"""Two networks that never meet: a hub and a seed peer in the one, a seed peer and four nodes in the other, and a file between."""

import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from dfly.testing.cluster import Cluster, Host
from dfly.testing.swarm import tree

from .conftest import FILES, REPO

BIN = Path(sys.executable).parent
MODEL = f"hf://{REPO}"
PATIENCE = 90.0


def seed_peer(host: Host, **env: str) -> None:
    argv = [BIN / "dfdaemon", "--seed-peer", "--listen", "0.0.0.0:65001", "--data-dir", "data", "--insecure"]
    host.popen([str(each) for each in argv], env=env)
    host.wait_until_listening(65001)


def command(host: Host, *argv: object, **env: str) -> str:
    process = host.popen([str(BIN / str(argv[0])), *map(str, argv[1:])], env=env)
    assert process.wait(PATIENCE) == 0, process.tail()
    return process.log.read_text()


@pytest.mark.netns
@pytest.mark.timeout(300)
def test_four_nodes_without_a_route_to_the_hub_have_what_was_carried_to_their_seed_peer(tmp_path):
    model = tmp_path / "model"
    for path, data in FILES.items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(data)
    archive = tmp_path / "model.tar"
    with Cluster(0, root=tmp_path / "outside") as outside:
        argv = [sys.executable, "-m", "dfly_hf.testing", "--host", outside.hub.address, "--port", "8000"]
        outside.hub.popen([*argv, "--repo", f"{REPO}={model}"])
        outside.hub.wait_until_listening(8000)
        (beside,) = outside.seeds
        seed_peer(beside, HF_ENDPOINT=f"http://{outside.hub.address}:8000")
        command(beside, "dfget", MODEL, "-r", "-O", "out", "--seed-peer", "http://127.0.0.1:65001")
        command(beside, "dfctl", "export", MODEL, "-o", archive, "--seed-peer", "http://127.0.0.1:65001")

    with ExitStack() as stack:
        inside = stack.enter_context(Cluster(4, root=tmp_path / "inside"))
        (closed,) = inside.seeds
        # where the hub would be there is somebody who only listens: whoever looks for it is found out
        trap = inside.hub.call(partial(socket.create_server, (inside.hub.address, 8000)))
        stack.callback(trap.close)
        endpoint = f"http://{inside.hub.address}:8000"
        seed_peer(closed, HF_ENDPOINT=endpoint)
        assert "imported" in command(closed, "dfctl", "import", archive, "--seed-peer", "http://127.0.0.1:65001")
        names = (MODEL, f"{MODEL}@main", MODEL, MODEL)
        more = ((), (), ("--hf-token", "token", "--insecure"), ("--hf-revision", "main", "--hf-endpoint", endpoint))
        nodes = [
            node.popen(
                [
                    *(str(BIN / "dfget"), name, "-r", "-O", "out", *flags),
                    *("--seed-peer", f"http://{closed.address}:65001", "--no-back-to-source", "--no-daemon"),
                ]
            )
            for node, name, flags in zip(inside.nodes, names, more, strict=True)
        ]
        for node in nodes:
            assert node.wait(PATIENCE) == 0, node.tail()
        assert [tree(node.directory / "out") for node in inside.nodes] == [FILES] * 4
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()
