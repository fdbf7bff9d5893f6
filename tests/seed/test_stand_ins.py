"""Who may take the seed peer's place: told to every node alike, and told again when it changes."""

from dfly.seed.joining import Join
from dfly.seed.topology.scheduler import Scheduler
from dfly.wire import Report, Ring

from .clocks import Clock


def ring_of(outbox, node):
    return next((m for m in reversed(outbox.get(node, ())) if isinstance(m, Ring)), None)


def scheduler(*nodes, task="t"):
    clock = Clock()
    made = Scheduler(task=task, blobs=("b",), clock=clock)
    for number, node in enumerate(nodes):
        made.join(node, [(f"10.0.0.{number}", 6881)], control=(f"10.0.0.{number}", 7000))
    return made, clock


def named(made, node="n0"):
    """The stand-ins that a node is told of when it comes again."""
    return ring_of(made.join(node, made.member(node).addresses, control=made.member(node).control), node).stand_ins


def test_all_nodes_hear_of_the_same_three():
    made, _ = scheduler(*(f"n{n}" for n in range(9)))
    told = made.tick()
    lists = {ring_of(told, f"n{n}").stand_ins for n in range(9)}
    assert len(lists) == 1
    (three,) = lists
    assert len(set(three)) == 3
    assert {port for _, port in three} == {7000}
    assert made.tick() == {}


def test_which_three_depends_on_the_task_and_not_on_who_came_first():
    nodes = [f"n{n}" for n in range(9)]
    by_task = set()
    for task in ("t", "u", "v", "w"):
        one, other = Scheduler(task=task, blobs=(), clock=Clock()), Scheduler(task=task, blobs=(), clock=Clock())
        for made, order in ((one, nodes), (other, nodes[::-1])):
            for node in order:
                made.join(node, [(f"10.0.0.{node[1]}", 1)], control=(f"10.0.0.{node[1]}", 7000))
            made.tick()
        assert named(one) == named(other)
        by_task.add(named(one))
    assert len(by_task) > 1


def test_a_node_without_a_control_port_is_none():
    made, _ = scheduler("n0")
    made.join("n1", [("10.0.0.1", 6881)])
    told = made.tick()
    assert ring_of(told, "n1").stand_ins == (("10.0.0.0", 7000),)


def test_when_one_goes_all_hear_of_the_next():
    made, _ = scheduler(*(f"n{n}" for n in range(5)))
    before = ring_of(made.tick(), "n0").stand_ins
    gone = f"n{before[0][0][-1]}"
    made.report(gone, Report(node=gone, goodbye=True))
    told = made.tick()
    left = [node for node in (f"n{n}" for n in range(5)) if node != gone]
    assert all(ring_of(told, node).stand_ins[:2] == before[1:] for node in left)


def test_a_node_that_falls_silent_is_replaced():
    made, clock = scheduler(*(f"n{n}" for n in range(5)))
    before = ring_of(made.tick(), "n0").stand_ins
    silent = f"n{before[0][0][-1]}"
    awake = [node for node in (f"n{n}" for n in range(5)) if node != silent]
    clock.now += 6
    for node in awake:
        made.report(node, Report(node=node))
    told = made.tick()
    assert before[0] not in ring_of(told, awake[0]).stand_ins


def test_the_control_port_is_read_with_the_address_that_the_node_is_seen_at():
    query = {"node": "n", "port": "0", "control": "7000"}
    assert Join.read(query, remote="::ffff:10.0.0.1").control == ("10.0.0.1", 7000)
    assert Join.read({**query, "control": "0"}, remote="10.0.0.1").control is None
    assert Join.read({"node": "n"}, remote="10.0.0.1").control is None
