"""A seed peer that is killed: the next one goes on with what nodes hold, or it comes back and goes on by itself."""

import hashlib
import threading

import httpx
import pytest

from dfly.events import FileFinished
from dfly.node.listening import EventStream
from dfly.testing.torrents import watched_torrents
from dfly.wire import Blob, Ring, decode_message

from .conftest import LONG_ENOUGH, REPO, SEGMENT, content

SIZE = 6 * SEGMENT
#: What the hub sends before a seed peer is killed: two segments, and half of one that nobody has then.
SENT = 5 * SEGMENT // 2


def test_the_second_seed_peer_takes_over_and_the_hub_sends_only_what_nobody_held(hub, daemons, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"}, private=True)
    hub.token("mine", grants=[REPO])
    hub.hold("model.bin", SENT)
    first, second = daemons(2)
    nodes = [node(first, second, token="mine") for _ in range(3)]
    for each in nodes:
        each.has(2)
    first.kill()
    # what the nodes carry over says it all: the hub is needed for content only
    hub.fault("api", status=503, times=None)
    hub.let_go()
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
        assert any("is gone" in warning for warning in each.warnings())
    assert 0 < second.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT + 2
    assert hub.records.bytes_sent("model.bin") <= 1.05 * SIZE + 2 * SEGMENT


def test_of_a_public_file_even_one_that_shares_no_secret_takes_over(hub, daemons, node):
    data, url = content(SIZE), f"hf://{REPO}/model.bin"
    hub.repo(REPO, {"model.bin": data})
    hub.hold("model.bin", SENT)
    first, second = daemons(2, url=url, secret="")
    nodes = [node(first, second, url=url) for _ in range(2)]
    for each in nodes:
        each.has(2)
    first.kill()
    hub.let_go()
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
        assert any(f"going on with {second.url}" in warning for warning in each.warnings())
    # it believes no node what the first has published, for want of a secret, but nobody else asks the hub
    assert second.stats()["hub_bytes"] <= SIZE
    assert hub.records.bytes_sent("model.bin") <= 2 * SIZE


def test_a_seed_peer_that_is_killed_and_restarted_fetches_no_published_byte_again(hub, daemons, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"})
    hub.hold("model.bin", SENT)
    (seed_peer,) = daemons()
    nodes = [node(seed_peer, settle=10) for _ in range(2)]
    for each in nodes:
        each.has(2)
    seed_peer.kill()
    before = len(hub.calls())
    hub.fault("api", status=503, times=None)
    hub.let_go()
    seed_peer.start()
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
    asked = [int(call.range[6:].split("-")[0]) for call in hub.calls()[before:] if call.range]
    assert asked
    assert min(asked) >= 2 * SEGMENT
    assert seed_peer.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT
    assert "snapshot.carried" in seed_peer.log


def test_what_a_node_has_in_place_no_successor_fetches_either(hub, daemons, node, tmp_path):
    data, other = content(SIZE), content(2 * SEGMENT, salt=1)
    hub.repo(REPO, {"model.bin": data, "other.bin": other})
    hub.hold("model.bin", SENT)
    first, second = daemons(2)
    (tmp_path / "node0").mkdir()
    (tmp_path / "node0/other.bin").write_bytes(other)
    only = node(first, second)
    only.has(2)
    first.kill()
    hub.let_go()
    assert only.done().skipped == 1
    assert only.data("model.bin") == data
    assert 0 < second.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT
    assert hub.records.bytes_sent("other.bin") == 0


def test_a_successor_takes_from_nodes_what_they_hold_so_that_late_ones_get_it_too(hub, daemons, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data})
    hub.hold("model.bin", SENT)
    first, second = daemons(2)
    early = node(first, second, seed_time=20)
    early.has(2)
    first.kill()
    hub.let_go()
    early.until(lambda n: any("is gone" in warning for warning in n.warnings()))
    task = second.stats()["tasks"][0]["task"]
    # one that is never done: the early node stays for it
    events = f"{second.url}/v1/snapshots/{task}/events?node=slow&port=1"
    with httpx.stream("GET", events, trust_env=False, timeout=20) as stream:
        for line in stream.iter_lines():
            message = decode_message(line.encode())
            if isinstance(message, Blob) and message.state == "complete":
                break
    late = node(second, seed_time=0)
    for each in (late, early):
        each.done()
        assert each.data("model.bin") == data
    assert second.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT


def test_what_nodes_had_let_go_of_a_successor_and_late_ones_get_from_them(hub, daemons, node):
    early, rest = content(SIZE), content(SIZE, salt=1)
    blob = f"sha256-{hashlib.sha256(early).hexdigest()}"
    hub.repo(REPO, {"a.bin": early, "b.bin": rest})
    hub.hold("b.bin", SEGMENT // 2)
    first, second = daemons(2)
    with watched_torrents() as torrents:
        nodes = [node(first, second) for _ in range(2)]
        for each in nodes:
            each.until(lambda n: any(isinstance(event, FileFinished) for event in n.events))
        torrents.until(lambda: torrents.of(blob) == 0)
        before = torrents.added
        first.kill()
        torrents.until(lambda: torrents.added >= before + 2)
        late = node(second)
        hub.let_go()
        for each in (*nodes, late):
            each.done()
            assert each.data("a.bin") == early
            assert each.data("b.bin") == rest
    assert second.stats()["hub_bytes"] <= SIZE
    assert hub.records.bytes_sent("a.bin") <= 1.05 * SIZE


@pytest.fixture
def await_stand_ins(monkeypatch):
    """Wait until so many nodes have been told that each of them may stand in."""
    known, changed, note = {}, threading.Condition(), EventStream._note

    def noted(stream, message):
        note(stream, message)
        if isinstance(message, Ring):
            with changed:
                known[stream.me.node] = message.stand_ins
                changed.notify_all()

    def wait(count):
        with changed:
            assert changed.wait_for(lambda: [*map(len, known.values())] == [count] * count, LONG_ENOUGH), known

    monkeypatch.setattr(EventStream, "_note", noted)
    return wait


def test_with_no_seed_peer_left_a_node_stands_in_and_the_hub_is_asked_for_the_rest_once(
    hub, daemons, node, await_stand_ins
):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"})
    hub.hold("model.bin", SENT)
    (seed_peer,) = daemons()
    # time for all of them to find out that it is gone, and to meet at one of them
    nodes = [node(seed_peer, back_to_source=True, settle=2.0) for _ in range(3)]
    for each in nodes:
        each.has(2)
    await_stand_ins(3)
    seed_peer.kill()
    hub.let_go()
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
        assert "hub" not in each.report.sources, [one.warnings() for one in nodes]
    assert hub.records.bytes_sent("model.bin") <= 1.05 * SIZE + 2 * SEGMENT
