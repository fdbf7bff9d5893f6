"""Nodes that are killed, stopped, slow or cut off cost the others nothing, and come back."""

from collections.abc import Callable

import pytest

from dfly.layout import MIB, Layout

from .conftest import Running

pytestmark = pytest.mark.netns
Build = Callable[..., Running]
SIZE = 24 * MIB
RATE = 6e6


def test_a_killed_node_delays_nobody_and_goes_on_where_it_was(running: Build) -> None:
    swarm = running(3, size=SIZE, rate=RATE)
    swarm.hold()
    for number in range(3):
        swarm.start(number)
    swarm.wait_held(1, 1)
    swarm.process(1).kill()
    swarm.process(1).wait(60)
    swarm.let_go()
    swarm.start(1)
    assert swarm.wait(1, lambda event: event["event"] == "file.started")["had"] >= Layout(SIZE).segment_length
    swarm.right(0, 1, 2)
    assert swarm.hub_bytes() == SIZE


def test_a_stopped_node_delays_nobody_and_catches_up(running: Build) -> None:
    swarm = running(3, size=SIZE, rate=RATE)
    swarm.hold()
    for number in range(3):
        swarm.start(number)
    swarm.wait_held(1, 1)
    swarm.process(1).pause()
    swarm.let_go()
    swarm.right(0, 2)
    assert not swarm.output(1).exists()
    swarm.process(1).resume()
    swarm.right(1)
    assert swarm.hub_bytes() == SIZE


def test_a_node_that_was_cut_off_catches_up_without_the_hub(running: Build) -> None:
    swarm = running(3, size=SIZE, rate=RATE)
    swarm.hold()
    for number in range(3):
        swarm.start(number)
    swarm.wait_held(1, 1)
    swarm.cluster.nodes[1].cut()
    swarm.let_go()
    swarm.right(0, 2)
    swarm.cluster.nodes[1].mend()
    swarm.right(1)
    assert swarm.hub_bytes() == SIZE


@pytest.mark.long
def test_a_slow_node_delays_nobody(running: Build) -> None:
    swarm = running(3, size=SIZE, rate=RATE, nic=12e6)
    swarm.cluster.nodes[1].set_rate(1.2e6)
    for number in range(3):
        swarm.start(number)
    swarm.right(0, 2)
    assert not swarm.output(1).exists()
    swarm.cluster.nodes[1].set_rate(12e6)
    swarm.right(1)
    assert swarm.hub_bytes() == SIZE
