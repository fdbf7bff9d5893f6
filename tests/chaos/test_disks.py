"""A disk that is full or read-only is named where it is, and nowhere else noticed."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.chaos_run import fill

from dfly.layout import MIB

from .conftest import Running

pytestmark = pytest.mark.netns
Build = Callable[..., Running]
SIZE = 24 * MIB
RATE = 6e6


def test_a_node_whose_disk_fills_up_fails_clearly_and_the_others_do_not(
    running: Build, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(SIZE + 4 * MIB)
    swarm = running(3, size=SIZE, rate=RATE)
    swarm.hold()
    for number in range(3):
        swarm.start(number, output=disk / "blob" if number == 1 else None)
    swarm.wait_held(1, 1)
    fill(disk / "filler")
    swarm.let_go()
    assert swarm.process(1).wait(60) == 11
    assert "free some space" in swarm.process(1).tail()
    assert not (disk / "blob").exists()
    swarm.right(0, 2)
    (disk / "filler").unlink()
    swarm.start(1, output=disk / "blob")
    assert swarm.process(1).wait(60) == 0
    assert (disk / "blob").read_bytes() == swarm.blob.read_bytes()
    assert swarm.hub_bytes() == SIZE


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to remount a disk")
def test_a_node_whose_disk_is_read_only_fails_clearly_before_the_first_byte(
    running: Build, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(SIZE)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    swarm = running(1, size=SIZE, rate=RATE)
    swarm.start(0, output=disk / "blob")
    assert swarm.process(0).wait(60) == 11
    assert "ead-only" in swarm.process(0).tail()


def test_a_seed_peer_whose_disk_is_full_says_so_in_its_log_and_to_its_nodes(
    running: Build, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(12 * MIB)
    swarm = running(1, size=SIZE, rate=20e6)
    (seed,) = swarm.cluster.seeds
    swarm.started[seed.name].kill()
    swarm.started[seed.name].wait(60)
    swarm.start_seed(seed, data=disk / "data")
    swarm.start(0, flags=("--no-back-to-source",))
    assert swarm.process(0).wait(60) not in (0, None)
    assert "space" in swarm.process(0).tail() or "full" in swarm.process(0).tail()
    assert "blob.failed" in swarm.started[seed.name].tail(20_000)
