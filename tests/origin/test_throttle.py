"""The speed limit holds for all takers together."""

import threading

import pytest

from dfly.errors import Cancelled
from dfly.origin.throttle import Throttle


class _Waits(threading.Event):
    """Records waits, and lets the clock run by as much."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def wait(self, timeout=None):
        self.now += timeout
        return self.is_set()


def test_takers_wait_for_what_they_took():
    event = _Waits()
    throttle = Throttle(1000, clock=lambda: event.now)
    for _ in range(10):
        throttle.take(500, event)
    assert event.now == pytest.approx(5.0, abs=0.1)


def test_an_idle_time_saves_up_a_tenth_of_a_second_and_no_more():
    event = _Waits()
    throttle = Throttle(1000, clock=lambda: event.now)
    event.now = 50.0
    throttle.take(1000, event)
    assert event.now == pytest.approx(50.9)


def test_a_wait_ends_when_it_is_cancelled():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        Throttle(1).take(100, cancel)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Throttle(0)
