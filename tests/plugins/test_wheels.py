"""What is published works: wheels of core and one plugin, in an environment that has nothing else."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DISCOVER = """
import json, sys
from dfly.plugins import Plugins
plugins = Plugins()
print(json.dumps({
    "found": [[claim.scheme, claim.distribution] for claim in plugins.found()],
    "class": plugins.backend_for("https://host/file").__name__,
    "broken": [claim.reason for claim in plugins.broken()],
    "from": __import__("dfly").__file__,
}))
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env["PYTHONPATH"] = str(ROOT / ".uv") if "uv" in command else ""
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for member in ("core", "plugins/http"):
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT / member)
    return folder


def test_the_wheels_hold_the_packages_their_types_and_nothing_of_the_tests(wheels):
    for wheel in wheels.glob("*.whl"):
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("/py.typed") for name in names), wheel.name
        assert not [name for name in names if "/tests/" in name or "conftest" in name], wheel.name


def test_a_bare_environment_finds_the_plugin_by_its_entry_point(wheels, tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    if (ROOT / ".uv").is_dir():  # as the Makefile leaves it; pip alone takes longer
        run(sys.executable, "-m", "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
        run(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python, *wheels.glob("*.whl"))
    else:
        run(sys.executable, "-m", "venv", tmp_path / "venv")
        run(python, "-m", "pip", "install", "--quiet", *wheels.glob("*.whl"))
    found = json.loads(run(python, "-c", DISCOVER, cwd=tmp_path))
    assert found["found"] == [["http", "dfly-plugin-http"], ["https", "dfly-plugin-http"]]
    assert (found["class"], found["broken"]) == ("HttpBackend", [])
    assert str(tmp_path) in found["from"]
    told = subprocess.run(
        [python.parent / "dfget", "wais://host/file"], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "pip install dfly-plugin-wais" in told.stderr
