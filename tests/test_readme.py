"""The README is true: its commands run as written, its tables agree with the code, its links lead somewhere."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import dfly
from dfly.cli import dfget
from dfly.cli.manual import EXIT_CODES
from dfly.plugins import Plugins
from dfly_hf.testing import FixtureHub

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/plugins.md", "docs/reference.md")
]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def hub():
    with FixtureHub() as running:
        model = {"config.json": b"{}", "model.safetensors": b"weights", "figures/a.json": b"[]"}
        running.repo("deepseek-ai/DeepSeek-R1", model).tag("v2.0")
        running.repo("datasets/huggingface/squad", {"train.json": b"{}"})
        running.repo("owner/private-model", {"weights.bin": b"private"}, private=True)
        running.token("hf_x", grants=["owner/private-model"])
        yield running


def run(command: list[str], hub: FixtureHub, cwd: Path) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "HF_ENDPOINT": hub.url, "HF_HOME": str(cwd / "hf-home")}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_work_as_written(hub, tmp_path):
    first, lines = blocks("sh")
    run(["bash", "-euo", "pipefail", "-c", first], hub, tmp_path)
    out = run(["bash", "-euxo", "pipefail", "-c", lines], hub, tmp_path)
    assert "the rest is there" in out or "(already there)" in out
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "models/DeepSeek-R1/config.json",
        "models/DeepSeek-R1/model.safetensors",
        "models/DeepSeek-R1/figures/a.json",
        "models/model.safetensors",
        "models/R1-v2/config.json",
        "data/train.json",
        "weights.bin",
    }


def test_the_python_works_as_written(hub, tmp_path):
    (code,) = blocks("python")
    out = run([sys.executable, "-c", code], hub, tmp_path)
    assert out.startswith("3 11 {'hub': 11}")


def test_what_pip_is_told_to_install_is_there():
    """That it is enough takes a while to see; tests/deploy/test_release.py installs the same wheels with uv."""
    venv, install, version = blocks("sh pip")[0].splitlines()
    assert (venv, version) == ("python3 -m venv env", "env/bin/dfget --version")
    constraints, *folders = install.removeprefix("env/bin/pip install -c ").split()
    assert (ROOT / constraints).is_file()
    assert [(ROOT / folder / "pyproject.toml").is_file() for folder in folders] == [True] * 3


@pytest.mark.long
def test_pip_alone_is_enough(hub, tmp_path):
    (lines,) = blocks("sh pip")
    for name in ("constraints.txt", "core", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    lines = lines.replace("python3 -m venv", f"{sys.executable} -m venv")
    assert "dfly 0.1" in run(["bash", "-euo", "pipefail", "-c", lines], hub, tmp_path)
    run([str(tmp_path / "env/bin/dfget"), "hf://deepseek-ai/DeepSeek-R1/config.json"], hub, tmp_path)
    assert (tmp_path / "config.json").read_bytes() == b"{}"


def test_make_has_the_targets_that_are_named():
    named = set(re.findall(r"^\$ make (\w+)", "".join(blocks("console")), re.MULTILINE))
    assert named == {"demo", "test"}
    assert named <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_exit_codes_are_all_there():
    section = README.partition("## When it fails")[2].partition("\n## ")[0]
    cells = re.findall(r"\| (\d+) \| ([^|]+?) (?=\|)", section)
    assert {int(code): what.replace("`", "") for code, what in cells} == EXIT_CODES


def test_every_value_in_the_table_of_flags_is_one_that_its_flag_takes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = [cells.split("|") for cells in re.findall(r"^\| (`--.*) \|$", README, re.MULTILINE)]
    given = [
        (flag, value)
        for flags, said in rows
        for flag, usual in re.findall(r"`(--[\w-]+)(?: ([^`]+))?`", flags)
        for value in (usual, *re.findall(r"`(\d[^`]*)`", said))
        if value and not value.isupper()
    ]
    assert ("--seed-time", "0s") in given
    for flag, value in given:
        calls = []
        fetch = partial(_called, calls)
        assert dfget.run(["https://h/f", flag, value], plugins=Plugins(), fetch=fetch) == 1, (flag, value)
        assert calls, (flag, value)


def _called(calls, *_, **given):
    calls.append(given)
    raise Calm


class Calm(dfly.DflyError):
    """Far enough."""

    def __init__(self) -> None:
        super().__init__("as far as it should come")


def anchors(page: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), target
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target
