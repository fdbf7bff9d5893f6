"""How much of a seed peer's line is taken for what can wait, by a clock that the test moves."""

import attrs
import pytest

from dfly.seed.leftover import STEP, Leftover

from .clocks import Clock

MB = 1_000_000
ORIGIN, SEGMENT = 6 * MB, 2 * MB


@attrs.define
class Line:
    """A seed peer's link of `width` bytes a second: what is pulled goes at full rate, the origin has what is left of it.

    Nodes send at most `holders` bytes a second, one segment after the other.
    """

    width: float
    origin: float = ORIGIN
    holders: float | None = None
    clock: Clock = attrs.field(factory=Clock)
    arrived: float = 0.0
    pulled: float = 0.0
    coming: float = 0.0
    leftover: Leftover = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.leftover = Leftover(clock=self.clock)
        self.leftover.look(asking=True, arrived=0)

    def run(self, seconds):
        """Pull what may be pulled; how much of it came, and how much from the origin."""
        before = self.pulled, self.arrived
        for _ in range(int(seconds * 4)):
            taken = self.taken()
            self.pulled += taken
            self.arrived += max(0.0, min(self.origin / 4, self.width / 4 - taken))
            self.clock.now += 0.25
            self.leftover.look(asking=True, arrived=int(self.arrived))
        return self.pulled - before[0], self.arrived - before[1]

    def taken(self):
        """What comes from nodes in a quarter of a second."""
        if self.holders is None:
            return SEGMENT * sum(iter(lambda: self.leftover.take(SEGMENT), False))
        if not self.coming and self.leftover.take(SEGMENT):
            self.coming = SEGMENT
        now = min(self.coming, self.holders / 4)
        self.coming -= now
        return now


def test_where_no_origin_is_asked_everything_may_be_taken():
    leftover = Leftover(clock=Clock())
    leftover.look(asking=False, arrived=0)
    assert leftover.share is None
    assert all(leftover.take(SEGMENT) for _ in range(100))


def test_nothing_is_taken_before_it_is_known_how_fast_the_origin_is():
    line = Line(width=100 * MB)
    assert line.run(STEP) == (0, STEP * ORIGIN)
    assert line.leftover.take(SEGMENT)


def test_on_a_wide_line_more_is_taken_from_look_to_look_and_the_origin_loses_nothing():
    line = Line(width=100 * MB)
    line.run(STEP)
    taken = [line.run(STEP * 2)[0] for _ in range(3)]
    assert taken == sorted(set(taken))
    assert line.arrived == pytest.approx(line.clock.now * ORIGIN - 1000 * ORIGIN)


def test_an_origin_that_could_fill_the_line_keeps_most_of_it():
    line = Line(width=ORIGIN)
    line.run(10)
    pulled, arrived = line.run(100)
    assert 0 < pulled < 0.1 * ORIGIN * 100
    assert arrived > 0.9 * ORIGIN * 100


def test_it_goes_on_keeping_most_of_it_however_long_that_lasts():
    line = Line(width=ORIGIN, holders=0.9 * ORIGIN)
    line.run(10)
    for _ in range(10):
        _, arrived = line.run(60)
        assert arrived > 0.85 * ORIGIN * 60


def test_what_slow_nodes_did_not_send_is_not_made_up_for_when_they_are_fast():
    line = Line(width=ORIGIN, holders=0.05 * ORIGIN)
    line.run(120)
    line.holders = 0.5 * ORIGIN
    for _ in range(5):
        _, arrived = line.run(60)
        assert arrived > 0.85 * ORIGIN * 60


def test_an_origin_that_sends_nothing_is_not_waited_for():
    line = Line(width=100 * MB, origin=0)
    pulled, _ = line.run(10 * STEP)
    assert pulled == 9 * SEGMENT


def test_when_the_origin_has_sent_all_the_rest_is_taken_at_once():
    line = Line(width=100 * MB)
    line.run(STEP)
    while line.leftover.take(SEGMENT):
        pass
    line.leftover.look(asking=False, arrived=int(line.arrived))
    assert all(line.leftover.take(SEGMENT) for _ in range(100))
