"""A hub, a web server with faults, and `dfly.fetch`."""

import ssl
from pathlib import Path

import pytest

import dfly
from dfly.config import Patience
from dfly.testing.origin import FaultyOrigin
from dfly_hf.testing import FixtureHub

QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)


@pytest.fixture(autouse=True)
def here(here: Path) -> Path:
    """Each test of this folder has one."""
    return here


@pytest.fixture
def hub(monkeypatch):
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running
        assert running.records.leaks() == []


@pytest.fixture
def web():
    with FaultyOrigin() as running:
        yield running


@pytest.fixture
def secure_web():
    """An https server whose certificate only `authority` makes good."""
    certificate = Path(__file__).parents[1] / "origin" / "loopback.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with FaultyOrigin(tls=context) as running:
        running.authority = certificate
        yield running


class Fetch:
    """`dfly.fetch` with little patience; `events` are those of the last call."""

    def __init__(self) -> None:
        self.events: list = []

    def __call__(self, url, output=None, **given) -> dfly.Report:
        self.events = []
        given = {"patience": QUICK, "on_event": self.events.append, **given}
        return dfly.fetch(url, output if output is None else str(output), **given)

    def named(self, name: str) -> list:
        return [event for event in self.events if event.name == name]

    def arrived(self, path: str | None = None) -> int:
        return sum(event.bytes for event in self.named("bytes.arrived") if path in (None, event.path))


@pytest.fixture
def fetch() -> Fetch:
    return Fetch()
