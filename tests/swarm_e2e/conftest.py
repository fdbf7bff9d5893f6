"""A real seed peer, real nodes in threads and in processes, and hubs that count."""

import contextlib
import os

import pytest

from dfly.plugins import Plugins
from dfly.testing.swarm import Swarm, Telling, small_swarm
from dfly_hf.testing import FixtureHub

from .origin import Origin


@pytest.fixture(autouse=True)
def here(here):
    """Each test of this folder has one."""
    return here


@pytest.fixture
def hub(monkeypatch):
    """A Hugging Face Hub on loopback, for this process and those it starts."""
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def swarm(tmp_path):
    """Start a seed peer: `swarm()` for the plugins that are installed, `swarm(origin)` for an origin in memory."""
    with contextlib.ExitStack() as stack:

        def start(origin=None, *, data="seed", **settings) -> Swarm:
            plugins = Plugins(extra=[origin.backend]) if origin else Plugins()
            running = stack.enter_context(small_swarm(tmp_path, plugins=plugins, data=data, **settings))
            if origin:
                stack.callback(origin.let_go)
            return running

        yield start


@pytest.fixture
def origin():
    """Make an origin in memory; see `Origin`."""
    return Origin


@pytest.fixture
def start():
    """Start processes, which are killed at the end of the test: `start("dfget", …)`."""
    started = []

    def begin(command, *argv, **env) -> Telling:
        started.append(Telling(command, *argv, env={**os.environ, **env}))
        return started[-1]

    yield begin
    for process in started:
        process.end()


@pytest.fixture
def seed_process(start, tmp_path):
    """A seed peer as a process of its own; gives the process and its URL."""

    def begin(*argv, data="seed-process", listen="127.0.0.1:0") -> tuple[Telling, str]:
        process = start("dfdaemon", "--seed-peer", "--listen", listen, "--data-dir", tmp_path / data, *argv)
        line = process.lines_until(lambda line: "seed peer at" in line)[-1]
        return process, line.split()[-1]

    return begin
