"""What an announce opens, and what it cannot bring about."""

import time
from urllib.parse import urlsplit

import httpx
import libtorrent as lt
import pytest

from dfly.backend import Secret
from dfly.errors import UsageError
from dfly.seed.grants import Grant
from dfly.seed.keys import Keys
from dfly.seed.stock.passes import Pass
from dfly.seed.stock.tracker import Announce
from tests.interop.conftest import FILES, announce, peers, until

ELSEWHERE = "10.9.8.7"


def refusal(answer):
    return answer[b"failure reason"].decode()


def sealed(site, torrent, *, keys=None, **changes):
    """The tracker URL of a .torrent with another pass in it."""
    url = lt.load_torrent_file(str(torrent)).trackers[0]
    base, _, text = url.rpartition("/")
    keys = keys or Keys.kept_in(str(site.folder / "seed"))
    fields = {name: getattr(Pass.opened(text, keys, now=0), name) for name in Pass.__slots__ if name != "__weakref__"}
    return f"{base}/{Pass(**{**fields, **changes}).sealed(keys)}"


@pytest.fixture
def here(site):
    """A seed peer that has everything, and nobody in the ring."""
    found = site()
    found.node()()
    return found


def test_a_node_is_named_where_it_listens_once_it_has_let_the_client_in(site):
    here = site()
    here.node()
    torrent = here.torrents()["model.bin"]
    until(lambda: peers(announce(torrent)))
    answer = announce(torrent)
    ((host, port),) = peers(answer)
    assert (host, answer[b"complete"]) == ("127.0.0.1", 1)
    assert port >= 1024
    # nodes are not named where nobody lacks anything
    assert peers(announce(torrent, port=7000, left=0)) == [("127.0.0.1", 6881)]


def test_a_torrent_that_has_expired_opens_nothing(here):
    torrent = here.torrents()["model.bin"]
    late = sealed(here, torrent, expires=int(time.time()) - 1)
    assert "expired" in refusal(announce(torrent, at=late))
    file = lt.load_torrent_file(str(torrent)).url_seeds[0]
    path = urlsplit(late).path.replace("/announce/", "/v1/files/") + "/model.bin"
    assert httpx.get(f"{here.url}{path}").status_code == 403
    assert httpx.get(file).content == FILES["model.bin"]


def test_one_that_was_changed_or_sealed_by_others_opens_nothing(here):
    torrent = here.torrents()["model.bin"]
    url = lt.load_torrent_file(str(torrent)).trackers[0]
    assert b"failure reason" not in announce(torrent)
    start = url.index("/announce/") + len("/announce/")
    for at in (start, start + 20, len(url) - 2):
        changed = url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :]
        assert "opens nothing" in refusal(announce(torrent, at=changed))
    for text in ("x", "%00", "AAAA", "ä"):
        assert "opens nothing" in refusal(announce(torrent, at=f"{here.url}/announce/{text}"))
    foreign = Pass(task="t", blob="b", name="n", torrent="00" * 20, expires=1 << 40).sealed(Keys.passing())
    assert "not from here" in refusal(announce(torrent, at=f"{here.url}/announce/{foreign}"))
    assert httpx.get(f"{here.url}/v1/files/{foreign}/n").status_code == 403


def test_one_of_another_blob_opens_nothing(here):
    torrents = here.torrents()
    other = lt.load_torrent_file(str(torrents["tokenizer.json"])).trackers[0]
    assert "another torrent" in refusal(announce(torrents["model.bin"], at=other))
    assert "another torrent" in refusal(announce(torrents["model.bin"], info_hash=b"\0" * 20))
    files = lt.load_torrent_file(str(torrents["tokenizer.json"])).url_seeds[0]
    assert httpx.get(files.replace("tokenizer.json", "model.bin")).status_code == 404


def test_a_pass_is_no_grant_and_a_grant_no_pass(here):
    keys = Keys.kept_in(str(here.folder / "seed"))
    torrent = here.torrents()["model.bin"]
    text = lt.load_torrent_file(str(torrent)).trackers[0].rpartition("/")[2]
    blob = Pass.opened(text, keys, now=0).blob
    assert httpx.get(f"{here.url}/v1/blobs/{text}/{blob}", headers={"Range": "bytes=0-0"}).status_code == 403
    grant = Grant(task="t", node="n", expires=1 << 40).sealed(keys)
    assert "opens nothing" in refusal(announce(torrent, at=f"{here.url}/announce/{grant}"))


def test_a_client_on_a_port_of_the_systems_is_refused(here):
    torrent = here.torrents()["model.bin"]
    for port in (0, 22, 1023, 65536, "six", ""):
        assert "port" in refusal(announce(torrent, port=port))
    assert peers(announce(torrent, port=7000)) == []


def test_only_the_address_of_the_connection_counts(here):
    torrent = here.torrents()["model.bin"]
    announce(torrent, port=7001, ip=ELSEWHERE, ipv4=f"{ELSEWHERE}:7001", ipv6="::1")
    assert peers(announce(torrent, port=7000, ip=ELSEWHERE)) == [("127.0.0.1", 7001)]


def test_clients_hear_of_each_other_until_they_stop(here):
    torrent, other = here.torrents()["model.bin"], here.torrents()["tokenizer.json"]
    assert peers(announce(torrent, port=7001)) == []
    assert peers(announce(torrent, port=7002)) == [("127.0.0.1", 7001)]
    assert peers(announce(other, port=7003)) == []
    announce(torrent, port=7001, event="stopped")
    assert peers(announce(torrent, port=7004)) == [("127.0.0.1", 7002)]
    assert peers(announce(torrent, port=7005, numwant=1)) == [("127.0.0.1", 7002)]


def test_a_host_with_many_ports_is_named_with_a_few(here):
    torrent = here.torrents()["model.bin"]
    for port in range(7001, 7020):
        announce(torrent, port=port)
    assert len(peers(announce(torrent, port=7020))) == 3


def test_no_token_is_needed_for_it_but_the_operators_to_have_one_written(site, monkeypatch):
    here = site(cluster_token=Secret("of nodes"), operator_token=Secret("of operators"))
    asked = httpx.get(f"{here.url}/v1/operator/torrents", params={"url": "memory://tiny"})
    assert asked.status_code == 401
    bearer = {"Authorization": "Bearer of nodes"}
    asked = httpx.get(f"{here.url}/v1/operator/torrents", params={"url": "memory://tiny"}, headers=bearer)
    assert asked.status_code == 401
    monkeypatch.setenv("DFLY_CLUSTER_TOKEN", "of nodes")
    here.node(cluster_token="of nodes")()
    monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "of operators")
    torrent = here.torrents()["model.bin"]
    assert b"failure reason" not in announce(torrent)
    assert httpx.get(lt.load_torrent_file(str(torrent)).url_seeds[0]).content == FILES["model.bin"]
    assert httpx.get(f"{here.url}/v1/stats").status_code == 401


def test_a_snapshot_that_is_not_open_at_present_has_no_peers_but_its_web_seed(site):
    """After a restart, until a node is back."""
    here = site()
    here.node()()
    torrent = here.torrents()["model.bin"]
    port = urlsplit(here.url).port
    here.stop()
    again = site(listen=("127.0.0.1", port))
    assert again.url == here.url
    assert peers(announce(torrent)) == []
    assert httpx.get(lt.load_torrent_file(str(torrent)).url_seeds[0]).content == FILES["model.bin"]


def test_an_announce_of_any_length_is_read_or_refused():
    said = Announce.read("info_hash=%00%ff%2B&port=7000&left=5&numwant=900&event=started&event")
    assert said == Announce(torrent="00ff2b", port=7000, left=5, event="")
    assert Announce.read("port=7000&numwant=-1&left=x") == Announce(torrent="", port=7000)
    with pytest.raises(UsageError):
        Announce.read("port=7000&x=" + "y" * 5000)
    with pytest.raises(UsageError):
        Announce.read("")
