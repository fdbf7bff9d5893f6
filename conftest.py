"""What every test, of core and of the plugins, leaves as it found it."""

import logging
import os
import ssl
import sys
from collections.abc import Iterator

import httpx
import pytest
import structlog
from hypothesis import settings

# whatever the environment says: else each worker, and each process that a test starts, compiles all that it imports
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# the same examples every time; `make test-all` looks at more
settings.register_profile("quick", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("quick")


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    """A command that ran in this process has configured the log: the next test must not find it so."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="session", autouse=True)
def _authorities_are_read_once() -> Iterator[None]:
    """By httpx, which does so for each client that is given none, and takes longer for it than many a test."""
    from httpx._transports import default

    real, shared = default.create_ssl_context, httpx.create_ssl_context(trust_env=False)

    def context(**wanted) -> ssl.SSLContext:
        own = wanted["verify"] is not True or wanted["cert"] or os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}
        return real(**wanted) if own else shared

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", context)
        yield
