"""How the plugin is found, and what finding it costs."""

import re
import subprocess
import sys
from pathlib import Path

from dfly.backend import option_fields
from dfly.plugins import Plugins
from dfly_hf.backend import HfBackend


def test_links_of_the_hub_and_its_scheme_lead_here() -> None:
    plugins = Plugins()
    for url in ("hf://owner/repo", "https://huggingface.co/owner/repo", "https://hf.co/owner/repo"):
        assert plugins.backend_for(url).__module__ == "dfly_hf.backend"


def test_importing_the_plugin_brings_neither_httpx_nor_aiohttp() -> None:
    code = "import sys, dfly_hf; print(sorted({'httpx', 'aiohttp', 'dfly_hf.backend'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_backend_does_not_need_the_fixture_hub() -> None:
    code = "import sys, dfly_hf.backend; print(sorted({'aiohttp', 'dfly_hf.testing'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_code_of_the_readme_runs() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("http://127.0.0.1:")


def test_the_readme_tells_of_every_option() -> None:
    text = (Path(__file__).parent.parent / "README.md").read_text()
    for spec in option_fields(HfBackend):
        assert all(f"`{name}`" in text for name in (spec.flag, *spec.env[:-1]))
