"""A hub for each test, and backends that talk to it through the core's own clients and range engine."""

import os

# read by huggingface_hub when it is imported; a daemon on a busy machine may need more than its usual 10 s
os.environ |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
os.environ |= {"HF_HUB_ETAG_TIMEOUT": "60", "HF_HUB_DOWNLOAD_TIMEOUT": "60"}

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfly.backend import Tools, build_options
from dfly.testing.lent import QUICK, Reader, lent_tools
from dfly_hf.backend import HfBackend
from dfly_hf.testing import FixtureHub


@pytest.fixture(autouse=True)
def _nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "DFLY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))


@pytest.fixture
def hub() -> Iterator[FixtureHub]:
    with FixtureHub() as running:
        yield running


@pytest.fixture
def tools() -> Iterator[Tools]:
    with lent_tools(patience=QUICK) as lent:
        yield lent


@pytest.fixture
def backend(hub: FixtureHub, tools: Tools) -> Callable[..., HfBackend]:
    """Make a backend from options as a user would give them; `endpoint` is the hub's unless given."""

    def make(**given: str) -> HfBackend:
        return HfBackend(build_options(HfBackend, {"endpoint": hub.url, **given}, {}), tools)

    return make


@pytest.fixture
def read() -> Reader:
    return Reader()
