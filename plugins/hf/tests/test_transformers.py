"""The real transformers, with a real model: through the endpoints of four daemons at once, and from a cache that dfget filled.

It needs a Python that has transformers and torch, which are too large for `make test`:

    python -m venv DIR && DIR/bin/pip install torch transformers safetensors
    DFLY_TRANSFORMERS=DIR/bin/python pytest -m real plugins/hf/tests/test_transformers.py
"""

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import dfly
from dfly.plugins import Plugins
from dfly.testing.lent import QUICK
from dfly.testing.swarm import small_swarm
from dfly_hf.testing import FixtureHub

from .daemons import daemon

PYTHON = os.environ.get("DFLY_TRANSFORMERS", "")
MODEL = Path(__file__).parents[3] / "bench" / ".cache" / "model"
REPO = "sentence-transformers/all-MiniLM-L6-v2"
LONG = 600

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(LONG),
    pytest.mark.skipif(not PYTHON, reason="DFLY_TRANSFORMERS names no Python that has transformers"),
    pytest.mark.skipif(not (MODEL / "config.json").is_file(), reason="`python -m bench.single_node` fetches the model"),
]

LOAD = """
import hashlib, json, sys
import torch
from transformers import AutoModel, AutoTokenizer

torch.manual_seed(0)
tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), AutoModel.from_pretrained(sys.argv[1]).eval()
asked = tokenizer(["The weights come from the neighbours.", "Once."], padding=True, return_tensors="pt")
with torch.no_grad():
    answer = model(**asked).last_hidden_state
weights = hashlib.sha256()
for name, tensor in sorted(model.state_dict().items()):
    weights.update(name.encode() + tensor.contiguous().numpy().tobytes())
print(json.dumps([asked["input_ids"].tolist(), weights.hexdigest(), answer.flatten()[:8].tolist()]))
"""


def load(what: str, home: Path, **env: str) -> "subprocess.Popen[str]":
    """A process that loads the tokenizer and the weights, and says what they are and what they make of a sentence."""
    quiet = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [PYTHON, "-c", LOAD, what],
        env={**os.environ, **quiet, "HF_HOME": str(home), "HOME": str(home), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> Any:
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def right(tmp_path: Path) -> Any:
    """What is said of the files as they lie on the disk."""
    return said(load(str(MODEL), tmp_path / "direct", HF_HUB_OFFLINE="1"))


def test_four_nodes_load_a_model_that_leaves_the_hub_once(
    hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: Any
) -> None:
    hub.repo(REPO, MODEL)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    with small_swarm(tmp_path, plugins=Plugins()) as swarm, contextlib.ExitStack() as stack:
        urls = [stack.enter_context(daemon(tmp_path / f"node{n}", seed_peers=(swarm.url,))) for n in range(4)]
        loading = [load(REPO, tmp_path / f"home{n}", HF_ENDPOINT=url) for n, url in enumerate(urls)]
        for process in loading:
            stack.callback(process.kill)
        assert [said(process) for process in loading] == [right] * 4
    sizes = {path.relative_to(MODEL).as_posix(): path.stat().st_size for path in MODEL.rglob("*") if path.is_file()}
    assert hub.records.bytes_sent("model.safetensors") == sizes["model.safetensors"]
    assert all(hub.records.bytes_sent(name) <= size for name, size in sizes.items())
    assert hub.records.leaks() == []


def test_a_cache_that_dfget_filled_is_loaded_without_any_network(
    hub: FixtureHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: Any
) -> None:
    hub.repo(REPO, MODEL)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    dfly.fetch(f"hf://{REPO}", recursive=True, cache=tmp_path / "home" / "hub", patience=QUICK)
    hub.records.clear()
    assert said(load(REPO, tmp_path / "home", HF_HUB_OFFLINE="1", HF_ENDPOINT=hub.url)) == right
    assert hub.calls() == []
