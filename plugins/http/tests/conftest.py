"""A web server with faults, a CDN that refuses credentials, and a backend that reads from them as the core would."""

import random

import pytest

from dfly.backend import build_options
from dfly.config import Patience
from dfly.testing.lent import Reader, lent_tools
from dfly.testing.origin import FaultyOrigin
from dfly_http.backend import HttpBackend

FAST = Patience(tries=4, first_delay=0.001, longest_delay=0.002)


def some_bytes(seed: int = 1, size: int = 60_000) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def content() -> bytes:
    return some_bytes()


@pytest.fixture
def origin():
    with FaultyOrigin() as origin:
        yield origin


@pytest.fixture
def cdn():
    with FaultyOrigin(refuse_credentials=True) as cdn:
        yield cdn


@pytest.fixture(scope="session")
def tools():
    with lent_tools(patience=FAST) as tools:
        yield tools


@pytest.fixture
def build(tools):
    """Make a backend with these options."""

    def make(**options) -> HttpBackend:
        return HttpBackend(build_options(HttpBackend, options, {}), tools)

    return make


@pytest.fixture
def backend(build) -> HttpBackend:
    return build()


@pytest.fixture
def read() -> Reader:
    return Reader(FAST)
