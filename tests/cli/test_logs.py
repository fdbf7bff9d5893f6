"""The log is configured whoever imports structlog, and whenever."""

import json
import subprocess
import sys

import pytest

CONFIGURED = "from dfly.cli import logs; logs.configure('info', human=False); "
STRUCTLOG = "import structlog; structlog.get_logger().info('came', token='s3cret')"
STANDARD = "import logging; logging.getLogger('library').warning('came with Bearer %s', 's3cret')"


@pytest.mark.parametrize("says", [STRUCTLOG, STANDARD], ids=["structlog", "logging"])
def test_a_record_goes_to_standard_error_and_has_no_secret(says):
    ran = subprocess.run([sys.executable, "-c", CONFIGURED + says], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    assert "s3cret" not in ran.stderr
    assert json.loads(ran.stderr)["event"].startswith("came")


def test_structlog_is_what_it_is_without_us():
    told = "import structlog, inspect; print(len(inspect.getsource(structlog)) > 0, structlog.is_configured())"
    ran = subprocess.run([sys.executable, "-c", CONFIGURED + told], capture_output=True, text=True, check=True)
    assert ran.stdout == "True True\n"
