"""What every test, of core and of the plugins, leaves as it found it."""

import logging

import pytest
import structlog
from hypothesis import settings

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
