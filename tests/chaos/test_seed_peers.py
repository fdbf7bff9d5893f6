"""A seed peer that dies is stood in for by the next; once it is back, everybody is with it again."""

from collections.abc import Callable

import pytest
from bench import commands

from dfly.layout import MIB
from dfly.node.control import in_order

from .conftest import Running

pytestmark = pytest.mark.netns
Build = Callable[..., Running]


@pytest.mark.long
def test_nodes_go_on_with_the_next_seed_peer_and_come_home_when_the_first_is_back(running: Build) -> None:
    swarm = running(2, size=48 * MIB, rate=4e6, seeds=2)
    urls = {f"http://{seed.address}:{commands.SEED_PORT}": seed for seed in swarm.cluster.seeds}
    first, second = in_order(list(urls), f"hf://{commands.REPO}/{commands.BLOB}")
    for number in range(2):
        swarm.start(number)
    swarm.wait_held(0, 1)
    swarm.started[urls[first].name].kill()
    for number in range(2):
        swarm.wait(number, lambda event: event["event"] == "warning" and f"going on with {second}" in event["message"])
    swarm.start_seed(urls[first])
    for number in range(2):
        swarm.wait(number, lambda event: event["event"] == "warning" and f"{first} is back" in event["message"])
    swarm.right(0, 1)
    log = swarm.started[urls[second].name].tail(50_000)
    assert "task.abandoned" in log
