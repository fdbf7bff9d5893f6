"""A node that is done serves until nobody needs it, says goodbye, and leaves no trace in the ring."""

from .files import MIB, some_bytes, tree

FILES = {"big.bin": some_bytes(2 * MIB), "a.json": b"a", "b.json": b"b"}
FOR_EVER = {"seed_time": 1e6}


def test_when_all_are_done_the_ring_is_empty(origin, swarm):
    cluster = swarm(origin(FILES))
    for node in cluster.several(3, "memory://model", joining=FOR_EVER):
        node.done()
    assert cluster.members() == 0


def test_a_node_stays_until_its_neighbours_are_done(origin, swarm):
    cluster = swarm(origin(FILES))
    with cluster.mute("memory://model") as say:
        node = cluster.node("memory://model", joining=FOR_EVER)
        node.until("task.finished")
        assert tree(node.output).keys() >= FILES.keys()
        assert cluster.members() == 2
        say(done=True)
        node.done()
        assert cluster.members() == 1
    assert tree(node.output) == FILES


def test_with_seed_time_0_a_node_does_not_wait_for_its_neighbours(origin, swarm):
    cluster = swarm(origin(FILES))
    with cluster.mute("memory://model"):
        node = cluster.node("memory://model", joining={"seed_time": 0.0})
        node.done()
        assert cluster.members() == 1
    assert tree(node.output) == FILES


def test_ctrl_c_while_a_node_lingers_ends_it_and_all_is_well(origin, swarm):
    cluster = swarm(origin(FILES))
    with cluster.mute("memory://model"):
        node = cluster.node("memory://model", joining=FOR_EVER)
        node.until("task.finished")
        node.cancel.set()
        assert node.done().files == len(FILES)
    assert tree(node.output) == FILES


def test_a_lone_node_does_not_linger(origin, swarm):
    cluster = swarm(origin(FILES))
    cluster.node("memory://model", joining=FOR_EVER).done()
    assert cluster.members() == 0
