"""`make demo` does what it says: a real model, through one seed peer, to four nodes, from the hub once."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import demo

ROOT = Path(demo.__file__).resolve().parents[1]


def why_not() -> str:
    """Why the demo cannot run here, "" where it can."""
    if (demo.HERE / "model").is_dir():
        return ""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    try:
        urllib.request.urlopen(f"{index}/{demo.MODEL}/", timeout=5).close()
    except (OSError, urllib.error.URLError) as error:
        return f"the model is not here, and the package index does not answer: {error}"
    return ""


@pytest.mark.timeout(240)
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
