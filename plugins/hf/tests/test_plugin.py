"""How the plugin is found, and what finding it costs."""

import subprocess
import sys

from dfly.plugins import Plugins


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
