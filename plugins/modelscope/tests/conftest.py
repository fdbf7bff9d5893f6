"""A hub for each test, and backends that talk to it through the core's own clients and range engine."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfly.backend import Tools, build_options
from dfly.testing.lent import QUICK, Reader, lent_tools
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.testing import FixtureHub


@pytest.fixture(autouse=True)
def _nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("MODELSCOPE_", "DFLY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def hub() -> Iterator[FixtureHub]:
    with FixtureHub() as running:
        yield running


@pytest.fixture
def tools() -> Iterator[Tools]:
    with lent_tools(patience=QUICK) as lent:
        yield lent


@pytest.fixture
def slept() -> list[float]:
    """The pauses between tries of a denied page, none of which is really made."""
    return []


@pytest.fixture
def backend(hub: FixtureHub, tools: Tools, slept: list[float]) -> Callable[..., ModelScopeBackend]:
    """Make a backend from options as a user would give them; `endpoint` is the hub's unless given."""

    def make(**given: str) -> ModelScopeBackend:
        options = build_options(ModelScopeBackend, {"endpoint": hub.url, **given}, {})
        return ModelScopeBackend(options, tools, sleep=slept.append)

    return make


@pytest.fixture
def read() -> Reader:
    return Reader()
