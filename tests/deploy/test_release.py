"""One command builds every wheel, of one version; they install where nothing else is, without a network, and work there."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from deploy.release import one_version, projects

from dfly.version import VERSION
from tests.plugins.bare import ROOT, UV, BareEnvironment


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    env = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, ROOT / "deploy/release.py", folder, f"v{VERSION}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_there_is_a_wheel_of_each_distribution_and_all_have_one_version(dist):
    made = {wheel.name.split("-")[0]: wheel.name.split("-")[1] for wheel in dist.glob("*.whl")}
    names = {"dfly", "dfly_core", *(f"dfly_plugin_{path.name}" for path in ROOT.glob("plugins/*"))}
    assert made == dict.fromkeys(names, VERSION)


@pytest.mark.skipif(not UV.is_dir(), reason="without make's uv there is no cache to install from")
def test_the_wheels_work_in_a_bare_environment_that_was_made_without_a_network(dist, tmp_path, monkeypatch):
    monkeypatch.setenv("UV_OFFLINE", "1")
    bare = BareEnvironment.create(tmp_path / "venv", *sorted(dist.glob("*.whl")))
    assert VERSION in bare.run("dfget", "--version")
    assert "--seed-peer" in bare.run("dfdaemon", "--help")
    found = json.loads(bare.run("dfctl", "plugins", "--json"))
    assert {plugin["distribution"] for plugin in found["plugins"]} == {
        f"dfly-plugin-{path.name}" for path in ROOT.glob("plugins/*")
    }
    assert found["broken"] == []


def test_the_same_files_make_the_same_bytes(dist, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT / "plugins/http", check=True, capture_output=True)
    (again,) = tmp_path.glob("*.whl")
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256((dist / again.name).read_bytes()).digest()


def test_a_version_that_differs_stops_the_release():
    folders = projects(ROOT)
    assert one_version(folders, tag=f"v{VERSION}") == VERSION
    with pytest.raises(ValueError, match=re.escape("the tag 99.0")):
        one_version(folders, tag="v99.0")
