"""Joining is a wait that its user can end."""

import threading

import pytest

from dfly.errors import Cancelled, NotFound
from dfly.node.seats import unless_stopped


def test_what_the_job_returns_or_raises_comes_out():
    stop = threading.Event()
    assert unless_stopped(lambda: 7, stop) == 7

    def fail():
        raise NotFound("nothing there")

    with pytest.raises(NotFound, match="nothing there"):
        unless_stopped(fail, stop)


def test_a_job_that_hangs_is_left_behind():
    stop, begun, over = threading.Event(), threading.Event(), threading.Event()

    def hang():
        begun.set()
        over.wait(20)

    threading.Thread(target=lambda: (begun.wait(20), stop.set())).start()
    with pytest.raises(Cancelled):
        unless_stopped(hang, stop)
    assert not over.is_set()
    over.set()
