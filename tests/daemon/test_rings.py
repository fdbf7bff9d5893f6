"""Daemons with a seed peer: each blob comes by the ring, stays, and is served to whoever comes later."""

import contextlib
import os
import threading

import httpx
import pytest

from dfly.backend import Secret
from dfly.config import Joining
from dfly.errors import OutputError, SwarmError
from dfly.layout import Layout
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.tasks import Tasks
from tests.daemon.conftest import FILES, QUICK, Borrowing, some_bytes, tree, until

DISTINCT = sum(map(len, set(FILES.values())))


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr("dfly.daemon.neighbours.LOOK", 0.1)


@pytest.fixture
def seed(plugins, tmp_path):
    """Starts seed peers of one cluster; each on a data directory of its own."""
    with contextlib.ExitStack() as stack:

        def make(name="seed", port=0):
            config = SeedPeerConfig(
                data_dir=str(tmp_path / name),
                listen=("127.0.0.1", port),
                cluster_secret=Secret("of the cluster"),
                patience=QUICK,
            )
            running = stack.enter_context(contextlib.ExitStack())
            url = running.enter_context(SeedPeer(config, plugins=plugins).running())
            return url, running.close

        yield make


@pytest.fixture
def node(start, tmp_path, plugins):
    """Starts a daemon and gives what borrows from it."""

    def make(name, url, *, cache_size=None, **settings):
        socket = str(tmp_path / f"run-{name}" / "dfly.sock")
        running = start(
            data_dir=tmp_path / f"data-{name}",
            socket=socket,
            cache_size=cache_size,
            joining=Joining(seed_peers=(url,), interface="127.0.0.1", settle=0.5, **settings),
        )
        borrowing = Borrowing(plugins, socket)
        borrowing.running = running
        return borrowing

    return make


def rings(borrowing) -> int:
    return borrowing.running.rings()


def test_a_task_comes_by_the_seed_peer(seed, node, here, hub):
    url, _ = seed()
    fetch = node("a", url)
    report = fetch("memory://tiny", "out", recursive=True)
    assert fetch.named("warning") == []
    assert tree(here / "out") == FILES
    assert report.sources == {"seed-peer": DISTINCT}
    assert hub.bytes == DISTINCT
    again = fetch("memory://tiny", "again", recursive=True)
    assert again.sources == {"cache": DISTINCT}


def test_a_proxy_that_the_environment_names_is_not_for_seed_peers(seed, node, here, hub, monkeypatch):
    url, _ = seed()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    report = node("a", url)("memory://tiny", "out", recursive=True)
    assert tree(here / "out") == FILES
    assert report.sources == {"seed-peer": DISTINCT}


def test_what_a_seed_peer_is_asked_is_no_request_to_a_hub(seed, node, here):
    url, _ = seed()
    fetch = node("a", url)
    fetch("memory://tiny", "out", recursive=True)
    told = fetch.running.ask("/metrics").text.splitlines()
    asked = [line for line in told if line.startswith("dfly_hub_request_duration_seconds_count{")]
    assert [line.split()[-1] for line in asked] == ["0.0", "0.0"]


def test_a_dry_run_and_what_is_in_place_make_no_seed_peer_fetch(seed, node, here, hub):
    url, _ = seed()
    fetch = node("a", url)
    fetch("memory://tiny", "out", recursive=True, lender=None)
    hub.clear()
    assert len(fetch("memory://tiny", "nowhere", recursive=True, dry_run=True).plan) == len(FILES)
    assert fetch("memory://tiny", "out", recursive=True).skipped == len(FILES)
    (here / "out/other.bin").unlink()
    assert fetch("memory://tiny", "out", recursive=True).sources == {"seed-peer": len(FILES["other.bin"])}
    assert set(hub.reads) == {"other.bin"}
    assert tree(here / "out") == FILES


SMALL_FILES = {f"{number}.txt": some_bytes(256 << 10, number) for number in range(8)}


@pytest.fixture
def lacking_one(seed, node, backend, here):
    """Gives what borrows from a daemon with a cache of so many bytes; "out" has all of memory://small but 0.txt."""
    backend.hub.commit("small", SMALL_FILES)
    url, _ = seed()

    def make(cache_size):
        fetch = node("a", url, cache_size=cache_size)
        fetch("memory://small", "out", recursive=True, lender=None)
        (here / "out/0.txt").unlink()
        return fetch

    return make


def test_a_small_file_comes_with_its_pack_where_there_is_room_for_all_of_that(lacking_one, here):
    fetch = lacking_one(5 << 20)
    assert fetch("memory://small", "out", recursive=True).sources == {"seed-peer": 2 << 20}
    assert fetch.named("warning") == []
    assert tree(here / "out") == SMALL_FILES
    assert fetch("memory://small", "again", recursive=True).sources == {"cache": 2 << 20}
    assert fetch.running.ask("/v1/status").json()["bytes"] <= 5 << 20


def test_a_small_file_whose_pack_has_no_room_comes_alone_from_the_source(lacking_one, here):
    fetch = lacking_one(1 << 20)
    assert fetch("memory://small", "out", recursive=True).sources == {"hub": 256 << 10}
    assert "one by one, from the source" in fetch.named("warning")[0].message
    assert tree(here / "out") == SMALL_FILES
    assert fetch.running.ask("/v1/status").json()["bytes"] <= 1 << 20


@pytest.mark.parametrize("wrong", [False, True], ids=["right", "wrong"])
def test_a_small_file_that_was_given_up_is_cut_out_of_its_pack_if_that_is_right(
    seed, node, backend, here, tmp_path, wrong
):
    backend.hub.commit("small", SMALL_FILES)
    url, _ = seed()
    fetch = node("a", url, back_to_source=False)
    fetch("memory://small", "out", recursive=True)
    files = {path.read_bytes(): path for path in (tmp_path / "data-a/blobs").rglob("data")}
    pack, given_up = files[b"".join(SMALL_FILES.values())], files[SMALL_FILES["3.txt"]]
    for each in given_up.parent.iterdir():
        # the daemon may just be writing down when the blob was used
        each.unlink(missing_ok=True)
    if wrong:
        before = pack.stat()
        pack.chmod(0o600)
        pack.write_bytes(bytes(before.st_size))
        os.utime(pack, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = fetch("memory://small", "again", recursive=True)
    assert set(report.sources) == ({"cache", "seed-peer"} if wrong else {"cache"})
    assert tree(here / "again") == SMALL_FILES


def test_large_files_come_by_the_ring_though_there_is_no_room_for_the_pack(seed, node, backend, here):
    files = {**SMALL_FILES, "large": some_bytes(1 << 20, 9)}
    backend.hub.commit("mixed", files)
    url, _ = seed()
    fetch = node("a", url, cache_size=4 << 20)
    assert fetch("memory://mixed", "out", recursive=True).sources == {"seed-peer": 1 << 20, "hub": 2 << 20}
    assert tree(here / "out") == files
    assert fetch.running.ask("/v1/status").json()["bytes"] <= 4 << 20


def test_without_going_back_to_the_source_no_room_for_a_pack_is_an_error(seed, node, backend):
    backend.hub.commit("small", SMALL_FILES)
    url, _ = seed()
    fetch = node("a", url, cache_size=3 << 20, back_to_source=False)
    with pytest.raises(OutputError, match="is full"):
        fetch("memory://small", "out", recursive=True)


def test_a_cold_node_beside_a_warm_one_takes_nothing_from_the_hub(seed, node, here, hub):
    url, _ = seed()
    node("warm", url)("memory://tiny", "out", recursive=True)
    hub.clear()
    report = node("cold", url)("memory://tiny", "cold", recursive=True)
    assert tree(here / "cold") == FILES
    assert hub.bytes == 0
    assert report.sources["peer"] > 0


def test_not_even_where_the_seed_peer_has_lost_everything(seed, node, here, hub, monkeypatch):
    # it leaves the hub alone until a node has told what it holds
    monkeypatch.setitem(Tasks.__init__.__kwdefaults__, "held_back", 3600.0)
    url, stop = seed()
    warm = node("warm", url)
    warm("memory://tiny", "out", recursive=True)
    stop()
    hub.clear()
    again, _ = seed("empty", port=int(url.rpartition(":")[2]))
    assert again == url
    until(lambda: any(task["members"] for task in httpx.get(f"{url}/v1/stats", timeout=60).json()["tasks"]))
    cold = node("cold", url)("memory://tiny", "cold", recursive=True)
    assert tree(here / "cold") == FILES
    assert hub.bytes == 0
    assert cold.sources.get("hub", 0) == 0


def test_a_restarted_node_serves_again_at_once(seed, node, here, hub, tmp_path):
    url, _ = seed()
    warm = node("warm", url)
    warm("memory://tiny", "out", recursive=True)
    warm.running.stop()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data-warm").rglob("data")}
    warm = node("warm", url)
    until(lambda: rings(warm) == 1)
    hub.clear()
    report = node("cold", url)("memory://tiny", "cold", recursive=True)
    assert tree(here / "cold") == FILES
    assert hub.bytes == 0
    assert report.sources["peer"] > 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data-warm").rglob("data")} == before


def test_three_nodes_at_once_and_the_hub_is_asked_once(seed, node, here, hub):
    url, _ = seed()
    nodes = [node(name, url) for name in "abc"]
    threads = [
        threading.Thread(target=fetch, args=("memory://tiny", name), kwargs={"recursive": True})
        for name, fetch in zip("abc", nodes, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tree(here / name) for name in "abc"] == [FILES] * 3
    assert hub.bytes == DISTINCT


def test_without_the_seed_peer_it_goes_back_to_the_source(seed, node, here, hub):
    url, stop = seed()
    stop()
    report = node("a", url)("memory://tiny", "out", recursive=True)
    assert tree(here / "out") == FILES
    assert report.sources == {"hub": DISTINCT}


def test_of_the_next_revisions_small_files_only_the_changed_pieces_travel(seed, node, here, hub, backend):
    url, _ = seed()
    fetch = node("a", url)
    small = {f"f{n:02}.txt": some_bytes(200_000, n) for n in range(40)}
    backend.hub.commit("small", small)
    fetch("memory://small", "out", recursive=True)
    changed = {**small, "f03.txt": some_bytes(200_000, 99)}
    backend.hub.commit("small", changed)
    report = fetch(f"memory://small@{backend.hub.revisions('small')[-1]}", "new", recursive=True)
    assert tree(here / "new") == changed
    assert report.sources["cache"] == 39 * 200_000
    assert 200_000 <= report.sources["seed-peer"] <= 3 * Layout(8_000_000).piece_length


def test_what_every_small_file_of_is_here_needs_no_pack(seed, node, here, hub, backend):
    url, _ = seed()
    fetch = node("a", url)
    small = {f"f{n:02}.txt": some_bytes(9_000, n) for n in range(10)}
    backend.hub.commit("small", small)
    fetch("memory://small", "out", recursive=True)
    backend.hub.commit("fewer", dict(list(small.items())[:5]))
    assert fetch("memory://fewer", "new", recursive=True).sources == {"cache": 45_000}


def largest(tmp_path, name):
    return max((tmp_path / f"data-{name}/blobs").rglob("data"), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("damage", ["a flipped bit", "deleted"])
def test_a_damaged_blob_is_served_to_nobody_and_mended(seed, node, here, hub, backend, tmp_path, damage):
    segment = Layout(1).segment_length
    content = some_bytes(5 * segment // 2, 31)
    backend.hub.commit("big", {"model.bin": content})
    url, _ = seed()
    warm = node("warm", url)
    warm("memory://big", "out", recursive=True)
    path = largest(tmp_path, "warm")
    if damage == "deleted":
        path.unlink()
    else:
        before = path.stat()
        os.chmod(path, 0o600)
        with path.open("r+b") as file:
            file.seek(9 * segment // 8)
            file.write(b"wrong")
        os.chmod(path, 0o444)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    hub.clear()
    node("cold", url)("memory://big", "cold", recursive=True)
    assert tree(here / "cold") == {"model.bin": content}
    until(lambda: path.exists() and path.stat().st_size == len(content) and path.read_bytes() == content)
    until(lambda: rings(warm) == 1)
    assert hub.bytes == 0


def test_a_daemon_that_may_ask_nobody_lets_the_caller_go_by_itself(start, fetch, here, hub):
    start(joining=Joining(interface="127.0.0.1", back_to_source=False))
    assert fetch("memory://tiny", "out", recursive=True).sources == {"hub": DISTINCT}
    assert tree(here / "out") == FILES
    hub.clear()
    with pytest.raises(SwarmError, match="no seed peer to ask"):
        fetch("memory://tiny", "other", recursive=True, joining=Joining(back_to_source=False))
    assert hub.bytes == 0
