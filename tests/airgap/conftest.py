"""A seed peer beside a hub, another one beside none, and what is carried from the one to the other."""

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from dfly.cli.dfctl import run
from dfly.plugins import Plugins
from dfly.testing.swarm import Swarm, small_swarm
from dfly_hf.testing import FixtureHub

REPO = "org/model"
WEIGHTS = random.Random("weights").randbytes(9 << 20)
FILES = {
    "config.json": b'{"model": 1}',
    "empty.txt": b"",
    "onnx/model.onnx": random.Random("onnx").randbytes(700_000),
    "onnx/notes.md": b"# notes",
    "weights.safetensors": WEIGHTS,
}
TOKEN = "hub-token-5d1e"


@pytest.fixture(autouse=True)
def here(here):
    """Each test of this folder has one."""
    return here


@contextlib.contextmanager
def filled():
    """A hub with one model, and some of what a hub has besides."""
    with FixtureHub() as running:
        running.token(TOKEN, grants=["org/private"])
        running.repo(REPO, FILES)
        running.repo("org/private", FILES, private=True)
        running.repo("org/other", FILES, kind="datasets")
        yield running


@pytest.fixture
def hub(monkeypatch):
    """One of one's own, where every seed peer looks for the model."""
    with filled() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@attrs.frozen
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def dfctl(capfd):
    """Run it in this process."""

    def call(*argv) -> Said:
        code = run([str(each) for each in argv], plugins=Plugins())
        sys.stdout.flush()
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def seed_peer(tmp_path):
    """Start one, with its data in a folder of its own."""
    with contextlib.ExitStack() as stack:

        def start(data="seed", **settings) -> Swarm:
            return stack.enter_context(small_swarm(tmp_path, plugins=Plugins(), data=data, **settings))

        yield start


@pytest.fixture
def carried(hub, seed_peer, dfctl, tmp_path):
    """Fetch URLs beside the hub and export them: the archive. `fetch` are the arguments of each node."""

    def carry(*sources, name="carried.tar", seed=None, **fetch) -> Path:
        beside = seed or seed_peer("beside")
        for number, source in enumerate(sources):
            beside.node(source, name=f"{name}-{number}", **fetch).done()
        said = dfctl("export", *sources, "-o", tmp_path / name, "--seed-peer", beside.url)
        assert said.code == 0, said.err
        return tmp_path / name

    return carry


@pytest.fixture
def closed(hub, seed_peer, dfctl, monkeypatch):
    """A seed peer into which archives were imported, and which reaches no hub: what a hub hears then is an error."""

    def start(*archives, data="closed", **settings) -> Swarm:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        hub.records.clear()
        swarm = seed_peer(data, **settings)
        for archive in archives:
            said = dfctl("import", archive, "--seed-peer", swarm.url)
            assert said.code == 0, said.err
        return swarm

    return start


@pytest.fixture
def shell():
    """Run commands as a user types them."""

    def call(line: str) -> subprocess.CompletedProcess[bytes]:
        bin_ = Path(sys.executable).parent
        return subprocess.run(
            ["/bin/sh", "-c", line],
            env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"},
            capture_output=True,
            timeout=60,
            check=False,
        )

    return call
