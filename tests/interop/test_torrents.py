"""What dfctl writes: one torrent for each file, the same on every machine, and only for operators."""

import hashlib
import json

import httpx
import libtorrent as lt
import pytest

from dfly.backend import Secret
from dfly.cli.dfctl import run
from dfly.layout import Layout
from dfly.seed.keys import Keys
from dfly.seed.stock.passes import Pass
from dfly.swarm import info_hash, piece_hash, whole_info
from dfly.testing.memory import memory_backend
from tests.interop.conftest import FILES

TRAVEL = {path for path, data in FILES.items() if data}


def loaded(path):
    return lt.load_torrent_file(str(path))


def passed(site, torrent):
    keys = Keys.kept_in(str(site.folder / "seed"))
    return Pass.opened(loaded(torrent).trackers[0].rpartition("/")[2], keys, now=0)


def test_each_file_has_one_of_its_own_where_it_lies(site):
    here = site()
    here.node()()
    torrents = here.torrents()
    assert torrents.keys() == TRAVEL
    for path, torrent in torrents.items():
        params, data = loaded(torrent), FILES[path]
        layout = Layout(len(data))
        hashes = b"".join(piece_hash(data[slice(*layout.piece_range(piece))]) for piece in range(layout.pieces))
        name = path.rpartition("/")[2]
        own = info_hash(whole_info("sha256-" + hashlib.sha256(data).hexdigest(), layout, hashes, name=name))
        assert params.info_hashes.v1.to_bytes() == own
        assert params.ti.name() == name
        assert params.ti.total_size() == len(data)
        assert params.ti.priv()


def test_its_urls_have_neither_a_query_nor_a_slash_at_the_end(site):
    here = site()
    here.node()()
    params = loaded(here.torrents("--public-url", "https://seed.example:8443/")["model.bin"])
    assert params.trackers[0].startswith("https://seed.example:8443/announce/")
    assert params.url_seeds[0].startswith("https://seed.example:8443/v1/files/")
    assert params.url_seeds[0].endswith("/model.bin")
    assert not {"?", "#"} & set(params.trackers[0] + params.url_seeds[0])
    assert loaded(here.torrents("--no-web-seed")["model.bin"]).url_seeds == []


def test_a_name_of_any_letters_comes_through(site, backend):
    backend.hub.commit("odd", {"a/größe 100%#?.bin": b"x" * 99, "b": b"y" * 99})
    here = site()
    here.node("memory://odd")()
    params = loaded(here.torrents(url="memory://odd")["a/größe 100%#?.bin"])
    assert params.ti.name() == "größe 100%#?.bin"
    assert httpx.get(params.url_seeds[0], trust_env=False).content == b"x" * 99


def test_it_is_found_by_its_url_its_pinned_url_and_its_id(site, capsys):
    here = site()
    here.node()()
    assert (
        run(["torrent", "memory://tiny", "--seed-peer", here.url, "-o", str(here.folder), "--json"], plugins=None) == 0
    )
    # the seed peer, in this process, logs there too
    (said,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {row["path"] for row in said["files"]} == TRAVEL
    task = passed(here, said["files"][0]["torrent"]).task
    for name in (said["source"], task):
        assert here.torrents(url=name, folder="again").keys() == TRAVEL
    assert passed(here, here.torrents("--days", "2")["model.bin"]).expires < said["expires"] - 4 * 86400


def test_there_are_none_of_what_is_not_here_and_whole(site, capsys):
    here = site()
    here.node()()
    argv = ["torrent", "memory://other", "--seed-peer", here.url, "-o", str(here.folder / "none")]
    assert run(argv, plugins=None) == 4
    kept = max((here.folder / "seed/blobs").rglob("data"), key=lambda path: path.stat().st_size)
    (kept.parent / "meta").unlink()
    argv[1] = "memory://tiny"
    assert run(argv, plugins=None) != 0
    assert "1 of 3 files are not whole" in capsys.readouterr().err
    assert not (here.folder / "none").exists()


def test_a_daemon_has_no_tracker(capsys):
    assert run(["torrent", "memory://tiny"], plugins=None) == 2
    assert "--seed-peer" in capsys.readouterr().err


class TestPrivate:
    """A source that is not open to everybody."""

    @pytest.fixture
    def backend(self):
        return memory_backend({"tiny": FILES}, token="mine")

    def test_what_opens_its_stream_is_not_in_the_torrent(self, site, monkeypatch):
        here = site(operator_token=Secret("of operators"))
        here.node(options={"memory": {"token": "mine"}})
        query = {"url": "memory://tiny"}
        assert httpx.get(f"{here.url}/v1/operator/torrents", params=query, trust_env=False).status_code == 401
        monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "of operators")
        torrent = here.torrents()["model.bin"]
        here.await_nodes(torrent)
        found = passed(here, torrent)
        assert len(found.task) == 32
        assert "-" not in found.task
        stream = f"{here.url}/v1/snapshots/{found.task}/events?node=n&port=7000"
        assert httpx.get(stream, trust_env=False).status_code == 404
