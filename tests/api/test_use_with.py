"""The guide is true: what can run here runs, and what cannot is at least a program."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dfly.config import Joining
from dfly.daemon.process import NodeDaemon
from dfly.daemon.settings import NodeConfig
from dfly.testing.lent import QUICK
from tests.swarm_e2e.files import some_bytes

GUIDE = (Path(__file__).parents[2] / "docs/use-with.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
RUN = [text for text in PYTHON if text.startswith("# run by a test\n")]
SHELL = [text for language, text in BLOCKS if language == "sh"]
FILES = {"config.json": b"{}", "model.safetensors": some_bytes(2 << 20)}


@pytest.fixture
def published(hub):
    hub.repo("owner/model", FILES)
    hub.repo("owner/table", {"rows.csv": b"name,size\n"}, kind="datasets")
    return hub


@pytest.fixture
def daemon(published, tmp_path, monkeypatch):
    config = NodeConfig(
        data_dir=str(tmp_path / "node"),
        socket=str(tmp_path / "node.sock"),
        listen=("127.0.0.1", 0),
        patience=QUICK,
        joining=Joining(interface="127.0.0.1"),
    )
    with NodeDaemon(config).running() as started:
        monkeypatch.setenv("HF_ENDPOINT", f"{started.url}/hf")
        yield started


def run(text: str) -> None:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_there_are_examples_to_run():
    assert len(RUN) >= 4
    assert len(SHELL) >= 5


@pytest.mark.parametrize("number", range(len(RUN)))
def test_an_example_runs_through_a_daemon(daemon, number):
    run(RUN[number])


@pytest.mark.parametrize("number", [n for n, text in enumerate(RUN) if "huggingface_hub" not in text])
def test_an_example_runs_without_a_daemon(published, number):
    run(RUN[number])


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_every_python_example_is_python(number):
    ast.parse(PYTHON[number])


@pytest.mark.parametrize("number", range(len(SHELL)))
def test_every_command_line_is_one_and_has_flags_that_exist(number):
    subprocess.run(["bash", "-n"], input=SHELL[number], text=True, check=True)
    reference = (Path(__file__).parents[2] / "docs/reference.md").read_text(encoding="utf-8")
    commands = re.findall(r"\b(?:dfget|dfdaemon) [^\n&|]*", SHELL[number])
    flags = {flag for command in commands for flag in re.findall(r"(?<= )--[a-z-]+", command)}
    assert not [flag for flag in flags if f"`{flag}`" not in reference]


@pytest.mark.parametrize("number", [n for n, (language, _) in enumerate(BLOCKS) if language == "yaml"])
def test_every_manifest_is_yaml(number):
    assert yaml.safe_load(BLOCKS[number][1])


@pytest.mark.parametrize(
    "what", ["transformers", "vLLM", "SGLang", "KServe", "Ray", "datasets", "Slurm", "CI", "huggingface_hub", "Python"]
)
def test_the_guide_tells_of_it(what):
    assert f"\n## {what}\n" in GUIDE
