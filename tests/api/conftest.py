"""An own folder and environment, the fixture hub, a hub in memory, and seed peers on loopback."""

import contextlib

import pytest

from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.testing.swarm import small_swarm
from dfly_hf.testing import FixtureHub

TINY = {"config.json": b"{}", "model.bin": b"0123456789abcdefthe end."}


@pytest.fixture(autouse=True)
def here(here):
    """Each test of this folder has one."""
    return here


@pytest.fixture
def hub(monkeypatch):
    """A Hugging Face Hub on loopback that says what it sent."""
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture
def backend():
    return memory_backend({"tiny": TINY})


@pytest.fixture
def plugins(backend) -> Plugins:
    return Plugins(extra=[backend])


@pytest.fixture
def swarm(tmp_path):
    """Start a seed peer for some plugins: `swarm()` for those that are installed."""
    with contextlib.ExitStack() as stack:
        yield lambda plugins=None, **given: stack.enter_context(
            small_swarm(tmp_path, plugins=plugins or Plugins(), **given)
        )
