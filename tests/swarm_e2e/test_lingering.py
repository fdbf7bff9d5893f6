"""A node that is done serves until nobody needs it, says goodbye, and leaves no trace in the ring."""

from .files import MIB, size_of, some_bytes, tree

SEGMENT = 8 * MIB
FILES = {"big.bin": some_bytes(2 * SEGMENT), "a.json": b"a", "b.json": b"b"}


def test_when_all_are_done_the_ring_is_empty(origin, swarm):
    cluster = swarm(origin(FILES))
    for node in cluster.several(3, "memory://model"):
        node.done()
    assert cluster.members() == 0


def test_a_node_says_that_it_is_done_before_it_lingers(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    quick = cluster.node("memory://model", include=["*.bin"])
    quick.done()
    # a neighbour that cannot be done keeps the next one serving
    memory.hub.commit("model", FILES | {"c.bin": some_bytes(SEGMENT + 1, 3)})
    memory.hold("c.bin", SEGMENT)
    waiting = cluster.node("memory://model")
    waiting.until("segment.finished", 4)
    had = cluster.node("memory://model", joining={"seed_time": 0.0})
    had.until("segment.finished", 4)
    memory.let_go()
    waiting.done()
    had.done()
    assert tree(had.output) == tree(waiting.output)


def test_with_seed_time_0_a_node_does_not_wait_for_its_neighbours(origin, swarm):
    memory = origin(FILES)
    cluster = swarm(memory)
    cluster.node("memory://model").done()
    held = FILES | {"late.bin": some_bytes(SEGMENT + 5, 9)}
    memory.hub.commit("model", held)
    memory.hold("late.bin", SEGMENT)
    staying = cluster.node("memory://model")
    staying.until("segment.finished", 4)
    assert cluster.members() == 1
    memory.let_go()
    staying.done()
    assert tree(staying.output) == held
    assert cluster.members() == 0
    assert memory.total == size_of(held)
