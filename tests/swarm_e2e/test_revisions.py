"""What two revisions share is fetched once, small files too."""

from .files import MIB, SEGMENT, some_bytes, tree

OLD = {
    "big.bin": some_bytes(SEGMENT + MIB),
    "other.bin": some_bytes(MIB, 2),
    "a.json": b"a",
    "b.json": b"b",
    "c.json": b"c",
}
NEW = OLD | {"other.bin": some_bytes(MIB, 3), "b.json": b"new", "d.json": b"d"}


def test_another_revision_fetches_only_what_changed(origin, swarm):
    memory = origin(OLD)
    cluster = swarm(memory)
    cluster.node("memory://model").done()
    memory.sent.clear()
    memory.hub.commit("model", NEW)
    nodes = cluster.several(2, "memory://model")
    for node in nodes:
        node.done()
        assert tree(node.output) == NEW
    assert memory.sent == {"other.bin": MIB, "b.json": 3, "d.json": 1}


def test_over_the_old_revision_a_node_takes_only_what_changed(origin, swarm):
    memory = origin(OLD)
    cluster = swarm(memory)
    node = cluster.node("memory://model")
    node.done()
    memory.hub.commit("model", NEW)
    again = cluster.node("memory://model", output=node.output)
    report = again.done()
    assert tree(node.output) == NEW
    assert report.skipped == 3
    small = sum(len(data) for data in NEW.values() if len(data) < MIB)
    assert sum(report.sources.values()) == MIB + small  # the small ones travel together


def test_a_seed_peer_that_starts_again_has_what_it_had(origin, swarm, tmp_path):
    memory = origin(OLD)
    swarm(memory).node("memory://model").done()
    memory.sent.clear()
    # the first one holds its folder: this is another one, over a copy
    import shutil

    shutil.copytree(tmp_path / "seed", tmp_path / "again", ignore=shutil.ignore_patterns("lock"))
    node = swarm(memory, data="again").node("memory://model", name="later")
    node.done()
    assert tree(node.output) == OLD
    assert memory.total == 0
