"""The web seed, as the client that it is made for uses it."""

import time

import libtorrent as lt

from dfly.layout import Layout
from dfly.packs import Freight
from dfly.swarm.metainfo import whole_info

from .conftest import FILES


def wait_for(session, kind):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        session.wait_for_alert(500)
        for alert in session.pop_alerts():
            assert not isinstance(alert, lt.url_seed_alert), alert.message()
            if isinstance(alert, kind):
                return
    raise AssertionError(f"no {kind.__name__}")


def test_libtorrent_takes_a_whole_blob_from_the_web_seed(start, tmp_path):
    peer = start(publish_all=True)
    resolved = peer.resolve()
    (blob,) = Freight.of(resolved.snapshot, task=resolved.task).blobs
    hashes = peer.client.get(f"/v1/snapshots/{resolved.task}/hashes/{blob}").content
    off = dict.fromkeys(("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp", "enable_outgoing_utp"), False)
    everything = int(lt.alert.category_t.all_categories)
    session = lt.session({"listen_interfaces": "127.0.0.1:0", "alert_mask": everything, **off})
    params = lt.add_torrent_params()
    layout = Layout(len(FILES["model.bin"]))
    info = whole_info(blob, layout, hashes[: 20 * layout.pieces])
    params.ti = lt.torrent_info({b"info": lt.bdecode(info)})
    params.save_path = str(tmp_path / "node")
    params.url_seeds = [f"{peer.url}/v1/blobs/{peer.grant(resolved.task)}/{blob}"]
    handle = session.add_torrent(params)
    wait_for(session, lt.torrent_finished_alert)
    session.pause()
    handle.flush_cache()  # the alert of the first flush may have come in one batch with the last one
    wait_for(session, lt.cache_flushed_alert)
    assert (tmp_path / "node" / blob).read_bytes() == FILES["model.bin"]
    assert peer.client.get("/v1/stats").json()["egress"]["web seed"] == len(FILES["model.bin"])
