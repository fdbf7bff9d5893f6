"""A hub for each test, and backends that talk to it through the core's own clients and range engine."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfly import Entry
from dfly.backend import Tools, build_options
from dfly.config import Patience
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.testing.contract import lent_tools
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.testing import FixtureHub

QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)


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
def read() -> Callable[..., bytes]:
    """Read an entry as the core does: with retries, going on at the offset."""

    def whole(backend: ModelScopeBackend, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        patient = Patient(
            backend,
            patience=QUICK,
            pauses=Pauses(),
            on_retry=lambda *_: None,
            cancel=threading.Event(),
        )
        return b"".join(patient.read(entry, start, stop))

    return whole
