"""The same with twenty times as many examples, another seed each time: `make test-all`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("module", sorted(p.name for p in HERE.glob("test_*.py") if p.name != Path(__file__).name))
def test_more_of_the_same_finds_nothing(module):
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:xdist",
            "--timeout=900",
            str(HERE / module),
        ],
        env=os.environ | {"DFLY_FUZZ": "long"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:]
