"""A web server with faults, a CDN that refuses credentials, and a backend that reads from them as the core would."""

import random
import threading

import attrs
import pytest

from dfly.backend import build_options
from dfly.config import Patience
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.testing.contract import lent_tools
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


@attrs.frozen
class Reader:
    """Reads entries with retries and resume; `retries` says why it tried again."""

    patience: Patience
    retries: list[str] = attrs.field(factory=list)

    def __call__(self, backend: HttpBackend, entry, start: int = 0, stop: int | None = None) -> bytes:
        patient = Patient(
            backend,
            patience=self.patience,
            pauses=Pauses(),
            on_retry=lambda path, cause, after: self.retries.append(cause),
            cancel=threading.Event(),
        )
        return b"".join(patient.read(entry, start, stop))


@pytest.fixture
def read() -> Reader:
    return Reader(FAST)
