"""A hub, a web server with faults, and dfget: as a process, and as `dfly.fetch` in this one."""

import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import dfly
from dfly.config import Patience
from dfly.testing.origin import FaultyOrigin
from dfly_hf.testing import FixtureHub

COMMAND = str(Path(sys.executable).parent / "dfget")
QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)
_OTHERS = ("HF_", "HUGGING", "TRANSFORMERS_", "DFLY_", "AWS_", "MODELSCOPE_")


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path) -> Path:
    """An empty current directory, and nobody's tokens, endpoints and proxies."""
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


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict]:
        """The lines of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    def named(self, name: str) -> list[dict]:
        return [event for event in self.events if event["event"] == name]


class Dfget:
    """Runs the installed command as its user does."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen] = []

    def __call__(self, *argv, stdin=None, **env) -> Outcome:
        process = self.start(*argv, **env)
        out, err = process.communicate(timeout=60)
        return Outcome(process.returncode, out.decode(), err.decode())

    def start(self, *argv, **env) -> subprocess.Popen:
        process = subprocess.Popen(
            [COMMAND, *map(str, argv)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "100", **env},
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def dfget():
    running = Dfget()
    yield running
    running.end()


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
