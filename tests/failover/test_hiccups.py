"""A hub that has a bad day: everything comes later, nothing fails, and each cause is in the seed peer's log."""

import threading

from dfly.layout import Layout

from .conftest import REPO, SEGMENT, content

SIZE = 3 * SEGMENT
PIECE = Layout(SIZE).piece_length


def test_faults_of_the_hub_delay_and_are_named(hub, daemons, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data})
    hub.fault("api", status=502)
    hub.fault("resolve", "model.bin", status=429, headers={"Retry-After": "1"})
    hub.fault("cdn", cut=PIECE, times=3)
    hub.fault("cdn", status=503, times=2)
    hub.fault("cdn", status=429, headers={"Retry-After": "1"})
    hub.limit_rate(3 * SEGMENT)
    (seed_peer,) = daemons()
    each = node(seed_peer, seed_time=0)
    each.has(1)
    hub.expire_links()
    each.done()
    assert each.data("model.bin") == data
    causes = "".join(line for line in seed_peer.log.splitlines() if '"hub.waiting"' in line)
    for said in ("502", "429", "connection lost", "503"):
        assert said in causes
    assert hub.records.bytes_sent("model.bin") <= 1.05 * SIZE + 3 * PIECE


def test_while_the_hub_is_down_nodes_are_told_what_is_waited_for(hub, daemons, node):
    data = content(SEGMENT)
    hub.repo(REPO, {"model.bin": data})
    hub.fault("cdn", status=503, times=8)
    (seed_peer,) = daemons()
    each = node(seed_peer, seed_time=0)
    waits, beat = set(), threading.Event()
    while each.thread.is_alive() and not beat.wait(0.05):
        waits.add(seed_peer.stats()["waiting_for"])
    each.done()
    assert each.data("model.bin") == data
    assert any("503" in wait for wait in waits)
    assert seed_peer.stats()["waiting_for"] == ""
