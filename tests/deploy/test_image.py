"""The image is built of what is in the repository, runs as nobody in particular, and names no place on the network."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from dfly.version import VERSION

from .commands import BIN, ROOT

DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
#: With the lines that go on in the next joined.
TEXT = DOCKERFILE.read_text().replace("\\\n", " ")


def test_hadolint_has_nothing_to_say_against_it():
    done = subprocess.run([BIN / "hadolint", DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_it_holds_core_and_every_plugin():
    ours = {tomllib.loads(file.read_text())["project"]["name"] for file in ROOT.glob("plugins/*/pyproject.toml")}
    built = set(re.findall(r"\./plugins/(\w+)", TEXT))
    assert built == {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    assert set(re.findall(r"\bdfly-[\w-]+", TEXT.partition("--no-index")[2])) == ours | {"dfly-core"}


def test_what_it_copies_is_there_and_let_through_to_the_build():
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", TEXT, re.MULTILINE)
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_through


def test_everything_is_pinned_the_build_backend_too():
    assert "PIP_CONSTRAINT=/src/constraints.txt" in TEXT
    assert "PIP_BUILD_CONSTRAINT=/src/constraints.txt" in TEXT
    assert re.search(r"^hatchling==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert "--no-index" in TEXT


def test_it_runs_as_a_user_without_rights_that_is_named_by_number():
    assert re.findall(r"^USER (.+)$", TEXT, re.MULTILINE) == ["65532:65532"]
    last = TEXT.rpartition("\nFROM ")[2]
    assert last.index("USER ") > last.index("RUN ")
    assert set(re.findall(r'"(/[\w/]+)"', re.search(r"^VOLUME (.+)$", last, re.MULTILINE)[1])) == {
        "/var/lib/dfly",
        "/run/dfly",
    }


def test_the_architecture_is_nowhere_said():
    code = "\n".join(line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#"))
    assert not re.search(r"amd64|arm64|x86_64|aarch64|--platform", code)


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.relative_to(DEPLOY).as_posix())
def test_no_registry_is_named(file: Path):
    images = re.findall(
        r"^\s*(?:image|repository|FROM|ARG PYTHON)[:= ]+\s*\"?([\w./:-]+)", file.read_text(), re.MULTILINE
    )
    assert [image for image in images if "." in image.partition("/")[0] and "/" in image] == []


def test_every_place_that_names_a_version_names_this_one():
    chart = (DEPLOY / "helm/dfly/Chart.yaml").read_text()
    assert set(re.findall(r"^(?:appVersion|version): (.+)$", chart, re.MULTILINE)) == {VERSION}
    assert {tag for file in FILES for tag in re.findall(r"\bdfly:(\d[\w.]*)", file.read_text())} == {VERSION}
