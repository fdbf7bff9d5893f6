"""What is published works: wheels of core and one plugin, in an environment that has nothing else."""

import json
import re
import subprocess
import tomllib
import zipfile
from email.parser import Parser

import pytest

from .bare import ROOT, BareEnvironment, build_wheel

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


@pytest.fixture(scope="module")
def wheels(core_wheel, tmp_path_factory):
    return core_wheel, build_wheel(ROOT / "plugins" / "http", tmp_path_factory.mktemp("wheels"))


def test_the_wheels_hold_the_packages_their_types_and_nothing_of_the_tests(wheels):
    for wheel in wheels:
        names = zipfile.ZipFile(wheel).namelist()
        assert any(name.endswith("/py.typed") for name in names), wheel.name
        assert not [name for name in names if "/tests/" in name or "conftest" in name], wheel.name


def test_a_bare_environment_finds_the_plugin_by_its_entry_point(wheels, tmp_path):
    bare = BareEnvironment.create(tmp_path / "venv", *wheels)
    found = json.loads(bare.run("python", "-c", DISCOVER))
    assert found["found"] == [["http", "dfly-plugin-http"], ["https", "dfly-plugin-http"]]
    assert (found["class"], found["broken"]) == ("HttpBackend", [])
    assert str(tmp_path) in found["from"]
    told = subprocess.run(
        [bare.command("dfget"), "wais://host/file"], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True
    )
    assert told.returncode == 2
    assert "pip install dfly-plugin-wais" in told.stderr


@pytest.mark.parametrize("page", ["core", "meta", *(f"plugins/{path.name}" for path in ROOT.glob("plugins/*"))])
def test_a_package_page_links_to_nothing_that_is_only_in_the_repository(page):
    text = (ROOT / page / "README.md").read_text()
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith(("https://", "#"))] == []


def test_the_meta_distribution_has_no_code_and_brings_core_and_every_plugin(tmp_path):
    wheel = zipfile.ZipFile(build_wheel(ROOT / "meta", tmp_path))
    assert all(".dist-info/" in name for name in wheel.namelist()), wheel.namelist()
    (metadata,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("/METADATA"))
    told = Parser().parsestr(metadata)
    assert told["Name"] == "dfly"
    members = [ROOT / "core" / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    ours = {tomllib.loads(member.read_text())["project"]["name"] for member in members}
    assert {re.match(r"[\w-]+", needed)[0] for needed in told.get_all("Requires-Dist")} == ours
