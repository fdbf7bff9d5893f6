"""What every test, of core and of the plugins, leaves as it found it."""

import logging

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    """A command that ran in this process has configured the log: the next test must not find it so."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
