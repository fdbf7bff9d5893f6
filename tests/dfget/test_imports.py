"""What dfget imports is what its user waits for, before the first byte is asked for."""

import subprocess
import sys

ELSEWHERE = {"aiohttp", "click", "dfly.wire", "libtorrent", "pydantic", "rich", "structlog"}
RUN = """
import sys
from dfly.cli.dfget import main
try:
    main()
finally:
    print(*sorted(sys.modules), file=sys.stderr)
"""


def test_a_fetch_imports_nothing_that_only_others_need(web, here):
    web.add("file", b"content")
    argv = [web.url_of("file"), "-O", "out", "--link", "auto", "--no-daemon", "--quiet"]
    ran = subprocess.run([sys.executable, "-c", RUN, *argv], capture_output=True, text=True, check=True, cwd=here)
    assert (here / "out").read_bytes() == b"content"
    imported = set(ran.stderr.split())
    assert "httpx" in imported
    assert imported & ELSEWHERE == set()
