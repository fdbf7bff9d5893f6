"""How many segments are asked for at once, and when one of them counts as stalled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.layout import GIB, Layout
from dfly.node.window import LONGEST_PAUSE, NARROWEST, WIDEST, Ongoing, Window

SIZE = Layout(4 * GIB).segment_length


def ongoing(**known):
    return Ongoing(**{"began": 0.0, "progressed": 0.0, "web_seed": False, **known})


def fed(window, *, every, latency, count=200):
    for n in range(1, count + 1):
        window.finished(n * every - latency, n * every, SIZE)
    return window


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(1, 1 << 30))))
def test_the_window_never_leaves_its_bounds(finished):
    window = Window()
    assert window.width == NARROWEST
    for began, now, size in finished:
        window.finished(began, now, size)
        assert NARROWEST <= window.width <= WIDEST


def test_it_follows_rate_times_latency():
    assert fed(Window(), every=1.0, latency=1.0).width == NARROWEST
    twice_what_flies = 2 * SIZE * 1.0 / 0.05
    assert fed(Window(), every=0.05, latency=1.0).width == pytest.approx(twice_what_flies, rel=0.1)
    assert fed(Window(), every=0.001, latency=1.0).width == WIDEST


def test_it_does_not_follow_a_latency_that_it_makes_itself():
    window, now = Window(), 0.0
    for _ in range(30):
        now += 0.1
        window.finished(now - 0.5, now, SIZE)
    before = window.width
    for _ in range(30):
        # a disk that takes one segment in 0.1 s however many wait for it: the more is asked for, the longer each takes
        now += 0.1
        window.finished(now - 0.1 * (window.width // SIZE), now, SIZE)
    assert window.width <= 2 * before


def test_who_always_waits_for_help_does_not_wait_longer_and_longer():
    window = fed(Window(), every=0.1, latency=0.5)
    began = 100.0
    patience = next(t for t in range(1, 1000) if window.stalled(ongoing(began=began, progressed=began), began + t / 10))
    for _ in range(200):
        window.finished(began, began + patience, SIZE, helped=True)
    assert window.stalled(ongoing(began=began, progressed=began), began + patience / 10)


def test_a_burst_is_no_higher_rate():
    window, now = Window(), 0.0
    for _ in range(30):
        now += 8.0
        for n in range(8):
            window.finished(now - 2.0, now + n * 1e-6, SIZE)
    assert window.width == NARROWEST


def test_a_segment_that_moves_is_not_stalled():
    window = Window(patience=3.0)
    assert not window.stalled(ongoing(progressed=10.0), 12.0)
    assert window.stalled(ongoing(progressed=10.0), 15.0)


def test_each_help_waits_as_long_again():
    window = Window(patience=3.0, latency=0.1)
    waits = []
    for help_had in range(4):
        segment = ongoing(help=help_had)
        waits.append(next(t for t in range(100) if window.stalled(segment, float(t))))
    assert waits == [4, 7, 10, 13]


def test_where_segments_take_long_patience_does_too():
    window = fed(Window(patience=3.0), every=1.0, latency=10.0)
    assert not window.stalled(ongoing(), 30.0)
    assert window.stalled(ongoing(), 50.0)


def test_a_web_seed_that_refuses_is_asked_at_once_and_then_less_and_less_often():
    segment, pauses = ongoing(web_seed=True), []
    for _ in range(7):
        segment.refused(100.0)
        assert not segment.web_seed
        assert segment.again_at is not None
        pauses.append(segment.again_at - 100.0)
    assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert max(pauses) == LONGEST_PAUSE
