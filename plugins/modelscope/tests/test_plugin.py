"""How the plugin is found, and what finding it costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dfly.backend import option_fields
from dfly.plugins import Plugins
from dfly_modelscope.backend import ModelScopeBackend

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize("host", ["modelscope.cn", "www.modelscope.cn", "modelscope.ai", "www.modelscope.ai"])
def test_the_scheme_and_links_of_the_hub_lead_here(host: str) -> None:
    plugins = Plugins()
    for url in ("modelscope://owner/repo", f"https://{host}/models/owner/repo"):
        assert plugins.backend_for(url).__module__ == "dfly_modelscope.backend"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("dfly_modelscope", ("httpx", "aiohttp", "dfly_modelscope.backend")),
        ("dfly_modelscope.backend", ("aiohttp", "dfly_modelscope.testing", "modelscope_hub")),
    ],
)
def test_an_import_brings_no_more_than_it_needs(module: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print(sorted(set({heavy!r}) & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_code_of_the_readme_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("http://127.0.0.1:")


def test_the_readme_tells_of_every_option() -> None:
    text = README.read_text()
    for spec in option_fields(ModelScopeBackend):
        assert all(f"`{name}`" in text for name in (spec.flag, *spec.env[:-1]))
