import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from dfly.cli.dfget import run
from dfly.plugins import Plugins

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


def _load_toy():
    spec = importlib.util.spec_from_file_location("dfly_tests_toy", HERE / "toy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy():
    return _load_toy()


@attrs.frozen
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def dfget(toy, capfdbinary, monkeypatch):
    """Run dfget in this process against the toy hub; `dfget.calls` is what `fetch` was called with."""
    monkeypatch.setenv("COLUMNS", "100")
    stand_in = toy.StandIn()

    def call(*argv, plugins=None):
        code = run(argv, plugins=plugins or Plugins(extra=[toy.Toys, toy.Boats]), fetch=stand_in)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Outcome(code, out.decode(), err.decode())

    call.calls = stand_in.calls
    return call


@pytest.fixture
def toy_command():
    """The argv that runs dfget over the toy hub in a process of its own."""
    return [sys.executable, str(HERE / "toy.py")]


@pytest.fixture
def installed():
    """Run an installed command as its user does."""

    def call(*argv, **env):
        command = [str(BIN / argv[0]), *argv[1:]]
        environment = {**os.environ, "COLUMNS": "100", **env}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call
