"""A seed peer that is killed: the next one goes on with what nodes hold, or it comes back and goes on by itself."""

from dfly.node.control import in_order

from .conftest import MIB, REPO, SEGMENT, content

SIZE = 6 * SEGMENT


def in_turn(*daemons):
    """Seed peers in the order in which nodes use them."""
    order = in_order([daemon.url for daemon in daemons], f"hf://{REPO}")
    return sorted(daemons, key=lambda daemon: order.index(daemon.url))


def started(each, count):
    """Until a node has some segments of the model."""
    each.until(lambda n: sum(e.path == "model.bin" for e in n.segments()) >= count)


def test_the_second_seed_peer_takes_over_and_the_hub_sends_only_what_nobody_held(hub, daemon, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"})
    hub.limit_rate(16 * MIB)
    first, second = in_turn(*(daemon(name, DFLY_CLUSTER_SECRET="of seed peers") for name in "ab"))
    nodes = [node(first, second) for _ in range(3)]
    for each in nodes:
        started(each, 2)
    first.kill()
    hub.limit_rate(None)
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
        assert any("is gone" in warning for warning in each.warnings())
    assert 0 < second.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT
    assert hub.records.bytes_sent("model.bin") <= 1.05 * SIZE + 2 * SEGMENT


def test_a_seed_peer_that_is_killed_and_restarted_fetches_no_published_byte_again(hub, daemon, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"})
    hub.limit_rate(16 * MIB)
    seed_peer = daemon("a")
    nodes = [node(seed_peer, settle=10) for _ in range(2)]
    for each in nodes:
        started(each, 2)
    hub.limit_rate(1)
    seed_peer.kill()
    before = len(hub.calls())
    hub.fault("api", status=500, times=None)
    hub.limit_rate(None)
    seed_peer.start()
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
    again = {call.range for call in hub.calls("cdn")[0:] if call in hub.calls()[before:]}
    assert not again & {f"bytes={at}-{at + 2 * MIB - 1}" for at in range(0, 2 * SEGMENT, 2 * MIB)}
    assert seed_peer.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT
    assert "snapshot.carried" in seed_peer.log
    assert "snapshot.resolved" not in seed_peer.log.rpartition('"event": "listening"')[2]


def test_of_a_private_repository_too_with_the_hubs_api_down(hub, daemon, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data}, private=True)
    hub.token("mine", grants=[REPO])
    hub.limit_rate(16 * MIB)
    first, second = in_turn(*(daemon(name, DFLY_CLUSTER_SECRET="of seed peers") for name in "ab"))
    each = node(first, second, token="mine")
    started(each, 2)
    first.kill()
    hub.fault("api", status=503, times=None)
    hub.limit_rate(None)
    each.done()
    assert each.data("model.bin") == data
    assert 0 < second.stats()["hub_bytes"] <= SIZE - 2 * SEGMENT


def test_with_no_seed_peer_left_a_node_stands_in_and_the_hub_is_asked_for_the_rest_once(hub, daemon, node):
    data = content(SIZE)
    hub.repo(REPO, {"model.bin": data, "config.json": b"{}"})
    hub.limit_rate(16 * MIB)
    seed_peer = daemon("a")
    nodes = [node(seed_peer, back_to_source=True) for _ in range(3)]
    for each in nodes:
        started(each, 2)
    seed_peer.kill()
    hub.limit_rate(None)
    for each in nodes:
        each.done()
        assert each.data("model.bin") == data
    assert hub.records.bytes_sent("model.bin") <= 1.2 * SIZE + 2 * SEGMENT
    assert sum(each.report.sources.get("hub", 0) for each in nodes) <= SEGMENT
