"""Where the hub's endpoint is a node daemon's, `dfly.open` reads through it: by its cache, its swarm and its rights."""

import pytest

import dfly
from dfly.config import Joining
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.layout import MIB
from dfly.testing.lent import QUICK
from tests.swarm_e2e.files import some_bytes

BIG = some_bytes(3 * MIB + 5)


@pytest.fixture
def daemon(hub, tmp_path, monkeypatch):
    hub.repo("owner/name", {"model.safetensors": BIG, "config.json": b"{}"})
    config = NodeConfig(
        data_dir=str(tmp_path / "node"),
        socket=str(tmp_path / "node.sock"),
        listen=("127.0.0.1", 0),
        patience=QUICK,
        joining=Joining(interface="127.0.0.1"),
    )
    with NodeDaemon(config).running() as started:
        monkeypatch.setenv("HF_ENDPOINT", f"{started.url}/hf")
        yield started


def test_it_reads_through_the_daemon_that_the_environment_names(hub, daemon):
    for _ in range(2):
        with dfly.open("hf://owner/name/model.safetensors") as file:
            assert file.way == "daemon"
            file.seek(-8, 2)
            assert file.read() == BIG[-8:]
            file.seek(0)
            assert file.read() == BIG
    assert hub.records.bytes_sent() < 2 * len(BIG)


def test_seed_peers_are_the_daemons_business_then(daemon):
    with dfly.open("hf://owner/name/config.json", seed_peers=["http://127.0.0.1:9"]) as file:
        assert (file.way, file.read()) == ("daemon", b"{}")


def test_a_snapshot_is_of_the_same_revision(daemon):
    found = dfly.snapshot("hf://owner/name")
    assert [entry.path for entry in found.entries] == ["config.json", "model.safetensors"]
    assert found.revision
