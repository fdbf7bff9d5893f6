"""Nobody waits for a blob: segments go round while the origin still sends, and who comes late costs it nothing."""

from .files import MIB, SEGMENT, size_of, some_bytes, tree

FILES = {"big.bin": some_bytes(3 * SEGMENT - 5), "config.json": b"{}", "vocab.txt": b"a b c"}


def test_a_node_holds_a_segment_while_the_origin_has_not_sent_the_second(origin, swarm):
    held = origin(FILES)
    held.hold("big.bin", SEGMENT + MIB)
    nodes = swarm(held).several(2, "memory://model")
    for node in nodes:
        node.until("file.finished", 2)  # the small ones, which travel first
        node.until("segment.finished", 2)  # the pack's one, and the first of the blob
        assert not (node.output / "big.bin").exists()
    assert held.sent["big.bin"] <= SEGMENT + MIB
    held.let_go()
    for node in nodes:
        node.done()
        assert tree(node.output) == FILES
    assert held.total == size_of(FILES)


def test_two_that_join_in_the_middle_and_four_that_join_afterwards_cost_the_origin_nothing(origin, swarm):
    held = origin(FILES)
    held.hold("big.bin", 2 * SEGMENT)
    cluster = swarm(held)
    first = cluster.several(2, "memory://model")
    for node in first:
        node.until("segment.finished", 3)
    middle = cluster.several(2, "memory://model")
    for node in middle:
        node.until("segment.finished", 3)
    held.let_go()
    for node in (*first, *middle):
        node.done()
    assert held.total == size_of(FILES)
    for node in cluster.several(4, "memory://model"):
        assert node.done().sources.get("hub", 0) == 0
    assert held.total == size_of(FILES)
    for node in cluster.nodes:
        assert tree(node.output) == FILES


def test_a_large_blob_leaves_the_seed_peer_about_once(origin, swarm):
    files = {"big.bin": some_bytes(6 * SEGMENT)}
    memory = origin(files)
    memory.hold("big.bin", 0)
    cluster = swarm(memory)
    nodes = cluster.several(4, "memory://model")
    cluster.await_members(4)
    memory.let_go()
    for node in nodes:
        node.done()
    assert size_of(files) <= cluster.sent() <= 1.3 * size_of(files)
