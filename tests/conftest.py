"""Every test's machine: nobody's settings, a folder of its own where it wants one, and namespaces if there are any."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from dfly.testing import netns
from tests.commands import Dfget

# a distribution of its own, whose tests run where its wheel is installed (tests/plugins/test_example.py)
collect_ignore = ["example_plugin"]

#: Beginnings of the variables that dfly, its plugins and the tools beside them go by. uv's cache stays where it is.
_SETTINGS = (
    *("AWS_", "DFLY_", "HF_", "HUGGING", "KUBERNETES_", "MODELSCOPE_", "OTEL_", "TRACEPARENT", "TRANSFORMERS_"),
    *("XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"),
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("netns") and (reason := netns.requires_namespaces()):
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No tokens, endpoints and proxies of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(_SETTINGS) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("hf-home")))
        yield


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty current directory, and caches that nobody has used before."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    return place


@pytest.fixture
def dfget(capfd: pytest.CaptureFixture[str]) -> Iterator[Dfget]:
    running = Dfget(capfd)
    yield running
    running.end()


@attrs.frozen
class Elsewhere:
    """A machine of one address, which is no loopback address: `elsewhere(function)` runs there, and what it starts."""

    name: str
    address: str = "10.66.0.1"

    def __call__(self, function: Callable[[], Any]) -> Any:
        return netns.call(self.name, function)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """For tests that are marked `netns`."""
    place = Elsewhere(netns.new_prefix() + "elsewhere")
    netns.batch("ip", [f"netns add {place.name}"])
    try:
        netns.batch("ip", ["link set dev lo up", f"address add {place.address}/32 dev lo"], netns=place.name)
        yield place
    finally:
        netns.remove([place.name])
