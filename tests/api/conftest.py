"""An own folder and environment, the fixture hub, a hub in memory, and seed peers on loopback."""

import contextlib
import os

import pytest

from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.testing.swarm import small_swarm
from dfly_hf.testing import FixtureHub

_OTHERS = ("HF_", "HUGGING", "TRANSFORMERS_", "DFLY_", "AWS_", "MODELSCOPE_")
TINY = {"config.json": b"{}", "model.bin": b"0123456789abcdefthe end."}


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """An own current directory, and nobody's tokens, endpoints and proxies."""
    for name in list(os.environ):
        if name.startswith(_OTHERS) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


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
