"""What the installed plugins add to `dfget --help`: their flags, and nothing that takes long to import."""

import json
import os
import subprocess
import sys

HELP = """
import json, sys
from dfly.cli.dfget import run
from dfly.plugins import Plugins
plugins = Plugins()
code = run(["--help"], plugins=plugins)
heavy = {"httpx", "aiohttp", "asyncio", "libtorrent", "structlog", "botocore", "rich", "dfly.node"}
print(json.dumps([code, sorted(heavy & sys.modules.keys()), sorted(plugins.load_all())]), file=sys.stderr)
"""


def test_help_shows_every_plugin_and_imports_nothing_that_takes_long():
    wide = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True, env=wide)
    code, heavy, shown = json.loads(done.stderr.splitlines()[-1])
    assert (code, heavy) == (0, [])
    assert {"hf", "http", "https"} <= set(shown)
    assert "--hf-token" in done.stdout
    assert "http://, https://  Files on web servers" in done.stdout
    assert "dfget hf://deepseek-ai/DeepSeek-R1 -O models/DeepSeek-R1/ -r" in done.stdout
