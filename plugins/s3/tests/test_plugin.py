"""How the plugin is found, what finding it costs, and that its page tells all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dfly.backend import option_fields
from dfly.plugins import Plugins
from dfly_s3.backend import S3Backend

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_its_scheme_leads_here() -> None:
    assert Plugins().backend("s3").__module__ == "dfly_s3.backend"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import dfly_s3", {"httpx", "botocore", "dfly_s3.backend"}),
        ("import dfly_s3.backend, dfly.backend as b; b.build_options(dfly_s3.backend.S3Backend, {})", {"botocore"}),
        ("import dfly_s3.backend", {"boto3", "awscrt", "dfly_s3.testing"}),
    ],
)
def test_importing_it_and_its_options_brings_nothing_heavy(code: str, heavy: set[str]) -> None:
    code = f"import sys; {code}; print(sorted({heavy!r} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.usefixtures("server")
def test_the_code_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("http://127.0.0.1:")


def test_the_readme_tells_of_every_option() -> None:
    for spec in option_fields(S3Backend):
        assert all(f"`{name}`" in README for name in (spec.flag, *spec.env[:-1]))
