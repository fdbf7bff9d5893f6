"""Stock clients have a blob from the nodes alone, from the seed peer alone, and from both, byte for byte.

libtorrent takes four seconds to give up on uTP, which our nodes do not speak, and both clients look around once a second.
"""

import contextlib

import httpx
import pytest

from dfly.backend import Secret
from dfly.testing.swarm import Swarm
from dfly.wire import Ask, Report, Resolved
from tests.interop.clients import LONG_ENOUGH, aria2c, libtorrent, transmission
from tests.interop.conftest import FILES

MODEL = FILES["model.bin"]


def from_nodes_alone(here, client, folder):
    here.node()
    torrent = here.torrents("--no-web-seed")["model.bin"]
    here.await_nodes(torrent)
    before = here.egress()
    client(torrent, folder)
    assert (folder / "model.bin").read_bytes() == MODEL
    after = here.egress()
    assert after.get("files", 0) == 0
    assert after["web seed"] == before["web seed"]


@pytest.mark.parametrize("client", [aria2c, libtorrent], ids=lambda client: client.__name__)
def test_from_nodes_alone_where_the_torrent_names_no_web_seed(site, client, tmp_path):
    from_nodes_alone(site(), client, tmp_path / "down")


@pytest.mark.netns
def test_from_nodes_alone_with_a_client_that_dials_no_loopback_address(site, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "of operators")
    monkeypatch.setenv("DFLY_INSECURE", "1")
    settings = {"listen": (elsewhere.address, 0), "operator_token": Secret("of operators")}
    elsewhere(lambda: from_nodes_alone(site(**settings), transmission, tmp_path / "down"))


@pytest.mark.parametrize("client", [aria2c, libtorrent, transmission], ids=lambda client: client.__name__)
def test_from_the_seed_peer_alone_where_no_node_is_there(site, client, tmp_path):
    here = site()
    here.node()()
    client(here.torrents()["model.bin"], tmp_path / "down")
    assert (tmp_path / "down/model.bin").read_bytes() == MODEL
    assert here.egress()["files"] >= len(MODEL)


def test_with_nodes_and_the_web_seed_both_at_hand(site, tmp_path):
    here = site()
    here.node()
    torrent = here.torrents()["model.bin"]
    here.await_nodes(torrent)
    aria2c(torrent, tmp_path / "down")
    assert (tmp_path / "down/model.bin").read_bytes() == MODEL


def test_a_client_that_insists_on_encryption_has_the_web_seed(site, tmp_path):
    here = site()
    here.node()
    torrent = here.torrents()["model.bin"]
    here.await_nodes(torrent)
    aria2c(torrent, tmp_path / "down", "--bt-require-crypto=true", "--bt-min-crypto-level=arc4")
    assert (tmp_path / "down/model.bin").read_bytes() == MODEL
    assert here.egress()["files"] >= len(MODEL)


def test_a_small_file_that_travelled_in_a_pack_comes_from_nodes_by_itself(site, tmp_path):
    here = site()
    here.node()
    torrent = here.torrents("--no-web-seed")["deep/config.json"]
    here.await_nodes(torrent)
    aria2c(torrent, tmp_path / "down")
    assert (tmp_path / "down/config.json").read_bytes() == FILES["deep/config.json"]
    assert here.egress().get("files", 0) == 0


def test_a_node_whose_blob_was_damaged_since_does_a_client_no_harm(site, tmp_path):
    here = site()
    here.node()
    torrent = here.torrents()["model.bin"]
    here.await_nodes(torrent)
    kept = max((tmp_path / "node0/blobs").rglob("data"), key=lambda path: path.stat().st_size)
    kept.chmod(0o600)
    with kept.open("r+b") as file:
        file.seek(2 << 20)
        file.write(b"wrong")
    aria2c(torrent, tmp_path / "down")
    assert (tmp_path / "down/model.bin").read_bytes() == MODEL


@contextlib.contextmanager
def a_node_that_lacks_everything(here, source):
    """Somebody for whom a neighbour in the ring serves on; gives what ends that."""
    with httpx.Client(base_url=here.url, trust_env=False, timeout=LONG_ENOUGH) as client:
        task = Resolved.decode(
            client.post("/v1/snapshots", content=Ask(url=source, recursive=True).encode()).content
        ).task
        query = {"node": "poor", "port": "1"}
        with client.stream("GET", f"/v1/snapshots/{task}/events", params=query) as stream:
            lines = stream.iter_lines()
            next(lines)

            def report(**told):
                said = Report(node="poor", **told).encode()
                client.post(f"/v1/snapshots/{task}/report", content=said).raise_for_status()

            report()
            yield lambda: report(done=True)
            lines.close()


def test_a_dfget_that_serves_on_lets_clients_in_too(site, tmp_path):
    here = site()
    with a_node_that_lacks_everything(here, "memory://tiny") as satisfied:
        swarm = Swarm(url=here.url, plugins=here.plugins, folder=tmp_path)
        node = swarm.node("memory://tiny", joining={"seed_time": 600.0, "interface": "127.0.0.1"})
        node.until("task.finished")
        torrent = here.torrents("--no-web-seed")["model.bin"]
        here.await_nodes(torrent)
        aria2c(torrent, tmp_path / "down")
        satisfied()
        node.done()
    assert (tmp_path / "down/model.bin").read_bytes() == MODEL
    assert (node.output / "model.bin").read_bytes() == MODEL
