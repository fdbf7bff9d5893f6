from hypothesis import given
from hypothesis import strategies as st

from dfly.seed.topology.holdings import Holdings, mask_of, segments_of
from dfly.seed.topology.ring import Ring


def ring_of(names, location=lambda name: ""):
    ring = Ring()
    for name in names:
        ring.add(name, location(name))
    return ring


def test_one_node_has_no_neighbour_and_two_have_each_other():
    ring = ring_of(["a"])
    assert ring.neighbours("a") == ()
    ring.add("b", "")
    assert ring.neighbours("a") == ("b",)
    assert ring.neighbours("b") == ("a",)


def test_a_rack_is_entered_and_left_once():
    ring = ring_of([f"n{i}" for i in range(60)], lambda name: f"zone/rack{int(name[1:]) % 3}")
    order = [f"zone/rack{int(name[1:]) % 3}" for name in ring]
    crossings = sum(order[i - 1] != order[i] for i in range(len(order)))
    assert crossings == 3


def test_a_node_that_moves_to_another_rack_is_seated_there():
    ring = ring_of(["a", "b", "c", "d"], {"a": "1", "b": "1", "c": "2", "d": "2"}.__getitem__)
    ring.add("a", "2")
    assert next(iter(ring)) == "b"
    assert len(ring) == 4


names = st.text(alphabet="abcdefgh", min_size=1, max_size=2)
steps = st.lists(st.tuples(st.sampled_from(["add", "remove", "part"]), names, names), max_size=60)


@given(steps)
def test_whoever_gets_other_neighbours_is_named_and_neighbourhood_is_mutual(steps):
    ring, present = Ring(), set()
    for step, one, other in steps:
        before = {node: set(ring.neighbours(node)) for node in present}
        if step == "add":
            concerned = ring.add(one, other)
            present.add(one)
        elif step == "remove":
            concerned = ring.remove(one)
            present.discard(one)
        elif one != other:
            concerned = ring.part(one, other)
        else:
            continue
        after = {node: set(ring.neighbours(node)) for node in present}
        assert {node for node in present if before.get(node) != after[node]} <= concerned
        assert all(node in after[neighbour] for node in present for neighbour in after[node])
        assert sorted(ring) == sorted(present)


def test_two_that_are_set_apart_are_not_neighbours_and_the_ring_stays_whole():
    ring = ring_of([f"n{i}" for i in range(12)])
    one = "n0"
    other = ring.neighbours(one)[0]
    ring.part(one, other)
    assert other not in ring.neighbours(one)
    assert all(len(ring.neighbours(node)) == 2 for node in ring)


def test_three_of_which_two_are_set_apart_are_a_path():
    ring = ring_of(["a", "b", "c"])
    ring.part("a", "b")
    assert ring.neighbours("a") == ring.neighbours("b") == ("c",)
    assert set(ring.neighbours("c")) == {"a", "b"}


def test_a_leaving_node_does_not_bring_together_two_that_are_set_apart():
    ring = ring_of([f"n{i}" for i in range(12)])
    left, right = ring.neighbours("n5")
    ring.part(left, right)
    ring.remove("n5")
    assert right not in ring.neighbours(left)
    assert all(len(ring.neighbours(node)) == 2 for node in ring)


@given(st.lists(st.sets(st.integers(0, 40)), max_size=20), st.data())
def test_a_segment_is_held_as_long_as_anybody_holds_it(members, data):
    holdings = Holdings()
    for held in members:
        holdings.add("b", mask_of(held))
    left = list(members)
    while left:
        gone = left.pop(data.draw(st.integers(0, len(left) - 1)))
        unheld = holdings.remove("b", mask_of(gone))
        still = set().union(*left) if left else set()
        assert set(segments_of(unheld)) == gone - still
        assert set(segments_of(holdings.held("b"))) == still
