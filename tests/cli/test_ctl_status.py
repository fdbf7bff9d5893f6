"""`dfctl status`, `peers` and `config`: what goes on, for people and for programs."""

import json

import pytest
from tests.cli.ctl import Desk, node, ran

TASK = {
    "task": "0" * 32,
    "url": "hub://o/r@abc",
    "bytes": 32_000_000,
    "segments": 4,
    "published": 3,
    "complete": False,
    "nodes": 2,
    "in_ring": 2,
    "done": 1,
    "stalled": 0,
    "received": {"hub": 0, "seed-peer": 8_000_000, "peer": 24_000_000},
    "blobs": [],
}
SEED_PEER = {
    "role": "seed-peer",
    "version": "0.1.0",
    "pid": 1,
    "time": 1.0,
    "seconds": 7260.0,
    "waiting_for": "",
    "moved": {"hub": 24_000_000, "web seed": 8_000_000, "control": 1500},
    "rates": {"hub": 5_000_000, "web seed": 0, "control": 0},
    "tasks": [TASK],
}
PEERS = {
    "role": "seed-peer",
    "tasks": [{"task": "0" * 32, "url": "hub://o/r@abc", "nodes": [node(), node(node="n2", place=1, location="z/1")]}],
}
NODE = {
    "role": "node",
    "version": "0.1.0",
    "pid": 1,
    "time": 1.0,
    "seconds": 3.0,
    "cache": {"blobs": 2, "bytes": 10_000_000, "limit": 1_000_000_000},
    "seed_peers": ["http://seed:65001"],
    "rings": 1,
    "tasks": [
        {
            "task": "0" * 32,
            "url": "hub://o/r@abc",
            "files": 3,
            "bytes": 32_000_000,
            "arrived": 9_000_000,
            "received": {"peer": 9_000_000},
            "rate": 3_000_000,
            "seconds": 4.0,
            "idle": 2.5,
            "stalls": 1,
            "waiting_for": "no peer has sent a byte",
        }
    ],
}
PLACES = {
    "role": "node",
    "tasks": [
        {
            "task": "0" * 32,
            "url": "hub://o/r@abc",
            "node": "me",
            "seed_peer": "http://seed:65001",
            "members": 5,
            "neighbours": ["10.0.0.2:6881", "[::1]:6882"],
            "held": 4,
            "offered": 2,
        }
    ],
}


@pytest.fixture
def desk():
    with Desk({"status": SEED_PEER, "peers": PEERS}).open() as running:
        yield running


def test_of_a_seed_peer_it_shows_flows_tasks_and_the_ring(desk, capsys):
    out = ran(capsys, "status", "--seed-peer", desk.url).out
    assert out.startswith(f"the seed peer {desk.url}: dfly 0.1.0, up 2 h 1 min\n")
    rows = [line.split() for line in out.splitlines()]
    assert ["from", "hubs", "24.0", "MB", "5.00", "MB/s"] in rows
    assert ["to", "nodes", "8.00", "MB", "0", "B/s"] in rows
    assert "3 of 4 segments published; 2 nodes, 1 done, 0 stalled segments" in out
    assert "nodes took 8.00 MB from seed-peer + 24.0 MB from peer\n" in out
    assert [row[:5] for row in rows[-2:]] == 2 * [["10.0.0.1:6881", "fetching", "1", "of", "4"]]
    assert max(map(len, out.splitlines())) <= 80
    assert "waiting" not in out


def test_it_says_what_a_seed_peer_waits_for(desk, capsys):
    desk.answers["status"] = {**SEED_PEER, "waiting_for": "hub answered 503, waiting 8 s"}
    assert "waiting: hub answered 503, waiting 8 s\n" in ran(capsys, "status", "--seed-peer", desk.url).out


def test_a_ring_of_a_thousand_is_cut_short(desk, capsys):
    many = [node(node=f"n{n}", place=n) for n in range(1000)]
    desk.answers["peers"] = {"role": "seed-peer", "tasks": [{**PEERS["tasks"][0], "nodes": many}]}
    out = ran(capsys, "status", "--seed-peer", desk.url).out
    assert out.endswith("  and 968 more nodes\n")
    assert len(ran(capsys, "peers", "--seed-peer", desk.url).out.splitlines()) == 1002


def test_of_a_daemon_it_shows_errands_and_what_they_wait_for(desk, capsys):
    desk.answers["status"] = NODE
    out = ran(capsys, "status", "--seed-peer", desk.url).out
    assert "cache: 2 blobs, 10.0 MB of 1.00 GB; in 1 ring\n" in out
    assert "9.00 MB of 32.0 MB in 3 files, 3.00 MB/s, 4.0 s so far\n  9.00 MB from peer\n" in out
    assert "received" not in out
    desk.answers["status"] = {**NODE, "received": {"seed-peer": 5, "hub": 0, "peer": 9_000_000}, "sent": {"peer": 7}}
    out = ran(capsys, "status", "--seed-peer", desk.url).out
    assert "\nreceived: 9.00 MB from peer, 5 B from seed-peer\nsent: 7 B to peer\n" in out
    assert "last byte 2.5 s ago, 1 stall, waiting: no peer has sent a byte\n" in out


def test_an_idle_daemon_says_so(desk, capsys):
    desk.answers["status"] = {**NODE, "tasks": [], "cache": {"blobs": 0, "bytes": 0, "limit": None}, "seed_peers": []}
    out = ran(capsys, "status", "--seed-peer", desk.url).out
    assert out.endswith("cache: 0 blobs, 0 B; in 1 ring\nseed peers: none\nnothing is being fetched\n")


def test_json_is_the_answer_itself(desk, capsys):
    assert json.loads(ran(capsys, "status", "--json", "--seed-peer", desk.url).out) == SEED_PEER
    assert json.loads(ran(capsys, "peers", "--json", "--seed-peer", desk.url).out) == PEERS


def test_watching_looks_again_until_ctrl_c(desk, capsys, monkeypatch):
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("dfly.cli.ctl_status.time.sleep", sleep)
    shown = ran(capsys, "status", "--watch", "--json", "--seed-peer", desk.url)
    assert shown.code == 0
    assert [json.loads(line) for line in shown.out.splitlines()] == [SEED_PEER] * 3
    looks.clear()
    assert "\x1b" not in ran(capsys, "status", "--watch", "--seed-peer", desk.url).out


def test_peers_shows_each_node_with_its_progress_and_sources(desk, capsys):
    expelled = node(node="bad", place=None, state="expelled", addresses=["10.0.0.9:1", "[::9]:1"])
    desk.answers["peers"] = {"role": "seed-peer", "tasks": [{**PEERS["tasks"][0], "nodes": [node(), expelled]}]}
    out = ran(capsys, "peers", "--seed-peer", desk.url).out.splitlines()
    assert out[0] == "hub://o/r@abc"
    cells = out[2].split()
    assert cells[:8] == ["0", "n1", "10.0.0.1:6881", "-", "fetching", "1", "of", "4"]
    assert cells[8:] == ["8.00", "MB", "1.00", "MB", "0", "B", "2.00", "MB/s", "0", "0.4", "s", "ago"]
    assert out[3].split()[:6] == ["-", "bad", "10.0.0.9:1", "[::9]:1", "-", "expelled"]


def test_peers_of_one_source_asks_for_that_one(desk, capsys):
    ran(capsys, "peers", "hub://o/r", "--seed-peer", desk.url)
    ran(capsys, "peers", "--seed-peer", desk.url)
    assert [asked.query for asked in desk.asked] == [{"url": "hub://o/r"}, {}]


def test_of_a_daemon_peers_shows_its_places(desk, capsys):
    desk.answers["peers"] = PLACES
    heading, row = (line.split() for line in ran(capsys, "peers", "--seed-peer", desk.url).out.splitlines())
    assert heading == ["NODE", "MEMBERS", "NEIGHBOURS", "HELD", "OFFERED", "SEED", "PEER", "SOURCE"]
    assert row == ["me", "5", "10.0.0.2:6881", "[::1]:6882", "4", "2", "http://seed:65001", "hub://o/r@abc"]
    desk.answers["peers"] = {"role": "node", "tasks": []}
    assert ran(capsys, "peers", "--seed-peer", desk.url).out == "in no ring\n"


def test_config_is_one_setting_a_line(desk, capsys):
    settings = {
        "data_dir": "/d",
        "fetch": {"concurrency": 8, "limit_rate": None},
        "listen": ["127.0.0.1", 65001],
        "metrics_listen": ["::", 65003],
        "users": [0, 7],
        "advertise": [],
        "insecure": False,
    }
    desk.answers["config"] = {"role": "node", "version": "0.1.0", "settings": {**settings, "cluster_token": "set"}}
    rows = [line.split(maxsplit=1) for line in ran(capsys, "config", "--seed-peer", desk.url).out.splitlines()]
    assert rows == [
        ["SETTING", "VALUE"],
        ["data_dir", "/d"],
        ["fetch.concurrency", "8"],
        ["fetch.limit_rate", "-"],
        ["listen", "127.0.0.1:65001"],
        ["metrics_listen", "[::]:65003"],
        ["users", "0 7"],
        ["advertise", "none"],
        ["insecure", "no"],
        ["cluster_token", "set"],
    ]
