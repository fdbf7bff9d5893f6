"""What every test, of core and of the plugins, leaves as it found it."""

import gc
import logging
import os
import ssl
import sys
from collections.abc import Iterator
from functools import lru_cache

import pytest
import structlog
from hypothesis import settings

# whatever the environment says: else each worker, and each process that a test starts, compiles all that it imports
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# the same examples every time; `make test-all` looks at more
settings.register_profile("quick", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("quick")


def pytest_collection_finish() -> None:
    """Keep thousands of tests, none of which is garbage, out of what each full collection looks through."""
    gc.freeze()


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

    real = default.create_ssl_context

    @lru_cache
    def usual(named: tuple[str | None, ...]) -> ssl.SSLContext:
        return real(trust_env=any(named))

    def context(*, verify: object, cert: object, trust_env: bool) -> ssl.SSLContext:
        if verify is not True or cert:
            return real(verify=verify, cert=cert, trust_env=trust_env)
        return usual((os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")) if trust_env else ())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "create_ssl_context", context)
        yield


@pytest.fixture(scope="session", autouse=True)
def _servers_may_take_their_time() -> Iterator[None]:
    """Who asks with httpx and says nothing of time would have 5 s, which a server beside two other workers may need."""
    from httpx import _config

    with pytest.MonkeyPatch.context() as patch:
        for what in ("connect", "read", "write", "pool"):
            patch.setattr(_config.DEFAULT_TIMEOUT_CONFIG, what, 60.0)
        yield
