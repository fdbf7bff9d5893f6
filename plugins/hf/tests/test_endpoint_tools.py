"""`hf download` and a client with hf_xet work against a daemon's endpoint as they do against the hub, unchanged."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dfly.testing.swarm import tree
from dfly_hf.testing import File, FixtureHub

from .daemons import daemon

FILES = {"config.json": b"{}" * 99, "sub/model.safetensors": bytes(range(256)) * 4_000, "notes.md": b"# Notes"}
XET = File.of(b"xet" * 999, lfs=True, xet="ab" * 32)


@pytest.fixture
def endpoint(hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hub.repo("owner/name", {**FILES, "xet.bin": XET})
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with daemon(tmp_path / "node") as url:
        yield url


def run(*argv: str, endpoint: str, home: Path, **env: str) -> str:
    # it would ask the package index whether there is a newer one
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1"}
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), **quiet, **env}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("xet", ["", "1"], ids=["with xet", "without xet"])
def test_the_hubs_own_command_downloads_through_it(hub: FixtureHub, endpoint: str, tmp_path: Path, xet: str) -> None:
    hf = str(Path(sys.executable).parent / "hf")
    out = tmp_path / "out"
    run(
        hf,
        "download",
        "owner/name",
        "--exclude",
        "*.md",
        "--local-dir",
        str(out),
        endpoint=endpoint,
        home=tmp_path / "h",
        HF_HUB_DISABLE_XET=xet,
    )
    got = {name: data for name, data in tree(out).items() if not name.startswith(".cache")}
    assert got == {**{n: d for n, d in FILES.items() if not n.endswith(".md")}, "xet.bin": b"xet" * 999}
    # nobody went past the daemon, by Xet or otherwise
    assert {call.user_agent.partition("/")[0] for call in hub.calls("resolve", "cdn")} == {"dfly"}
