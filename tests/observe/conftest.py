"""A real seed peer with real nodes, over an origin in memory that a test can hold."""

import contextlib

import httpx
import pytest

from dfly.plugins import Plugins
from dfly.testing.swarm import Swarm, small_swarm
from tests.swarm_e2e.origin import Origin


@pytest.fixture(autouse=True)
def here(here):
    """Each test of this folder has one."""
    return here


@pytest.fixture
def swarm(tmp_path):
    """Start a seed peer: `swarm(origin)`."""
    with contextlib.ExitStack() as stack:

        def start(origin: Origin, *, data="seed", **settings) -> Swarm:
            plugins = Plugins(extra=[origin.backend])
            running = stack.enter_context(small_swarm(tmp_path, plugins=plugins, data=data, **settings))
            stack.callback(origin.let_go)
            return running

        yield start


@pytest.fixture
def web():
    """Opens clients of a seed peer: `web(url, token=…)`."""
    with contextlib.ExitStack() as stack:

        def client(url, *, token="", **more) -> httpx.Client:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            return stack.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60, **more))

        yield client
