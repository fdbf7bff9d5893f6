"""The number of connections follows the rate."""

import pytest

from dfly.origin.concurrency import REST, WINDOW, Concurrency


class Line:
    """A line whose rate depends on the number of connections; plays windows."""

    def __init__(self, most, rate):
        self.now, self.total, self.rate = 0.0, 0.0, rate
        self.limit = Concurrency(most, clock=lambda: self.now)

    def play(self, windows, busy=None):
        allowed = []
        for _ in range(windows):
            self.now += WINDOW
            self.total += self.rate(self.limit.allowed) * WINDOW
            self.limit.observe(int(self.total), busy=self.limit.allowed if busy is None else busy)
            allowed.append(self.limit.allowed)
        return allowed


@pytest.mark.parametrize(("most", "start"), [(1, 1), (3, 3), (4, 4), (16, 4)])
def test_it_starts_with_four_or_fewer(most, start):
    assert Concurrency(most).allowed == start


def test_it_grows_while_each_connection_adds_its_share():
    line = Line(8, lambda n: 1e6 * n)
    assert max(line.play(20)) == line.limit.allowed == 8


def test_it_stops_where_one_more_adds_nothing():
    line = Line(32, lambda n: 1e6 * min(n, 6))
    allowed = line.play(int(60 / WINDOW))
    assert max(allowed) == 7
    assert allowed.count(6) > allowed.count(7) * 4


def test_it_steps_back_where_one_more_costs():
    line = Line(32, lambda n: 1e6 * (n if n <= 5 else 4))
    allowed = line.play(40)
    assert max(allowed) == 6
    assert line.limit.allowed in (5, 6)


def test_it_does_not_judge_while_there_is_too_little_to_do():
    line = Line(8, lambda n: 1e6)
    assert set(line.play(20, busy=1)) == {4}


def test_congestion_halves_it_once_however_many_workers_say_so():
    line = Line(8, lambda n: 1e6)
    line.play(3)
    before = line.limit.allowed
    for _ in range(8):
        line.limit.congested()
    assert line.limit.allowed == before // 2


def test_it_never_falls_below_one():
    line = Line(8, lambda n: 1e6)
    for _ in range(10):
        line.limit.congested()
        line.play(3)
    assert line.limit.allowed == 1


def test_it_recovers_from_congestion_after_a_rest():
    line = Line(4, lambda n: 1e6 * n)
    line.limit.congested()
    assert set(line.play(int(REST / WINDOW) - 1)) == {2}
    line.play(20)
    assert line.limit.allowed == 4


def test_less_than_one_connection_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Concurrency(0)
