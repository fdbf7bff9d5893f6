"""A hub, its CDN and the engine between them, on real sockets; back-off without waiting."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from dfly.backend import Backend, NoOptions, Request
from dfly.config import Network, Patience
from dfly.errors import NotFound
from dfly.origin.backends import Backends
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.plugins import Plugins
from dfly.testing.origin import FaultyOrigin
from dfly.values import Entry, Snapshot

#: A certificate for 127.0.0.1 and its key, which no authority has signed.
CERTIFICATE = Path(__file__).with_name("loopback.pem")
CONTENT = bytes(range(256)) * 4096
HASTY = Patience(tries=4, first_delay=0.0, longest_delay=0.0, longest_pause=2.0)


class Located(Backend):
    """The smallest HTTP backend: `Entry.identity` is the web address; `extra` is what else its requests hold."""

    schemes = ("located",)

    def __init__(self, settings, tools):
        super().__init__(settings, tools)
        self.extra: dict[str, object] = {}
        self.located: list[str] = []
        self.checked: list[httpx.Response] = []

    def stat(self, url: str) -> Entry:
        raise NotFound("no metadata here", url=url)

    def list(self, url: str) -> Snapshot:
        raise NotFound("no listing here", url=url)

    def locate(self, entry: Entry) -> Request:
        self.located.append(entry.path)
        return Request(url=entry.identity, **self.extra)

    def check(self, entry: Entry, response: httpx.Response) -> None:
        self.checked.append(response)
        super().check(entry, response)


class Clock:
    """Stands still but for the waits that somebody is told of: a pause is met before it is over, however busy the machine is."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def waited(self, _what: str, _cause: str, seconds: float) -> None:
        """As the listener to retries."""
        self.now += seconds


@attrs.define
class Rig:
    backends: Backends
    backend: Located
    cancel: threading.Event = attrs.field(factory=threading.Event)
    retries: list[tuple[str, str, float]] = attrs.field(factory=list)
    clock: Clock | None = None

    def read(self, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        """One attempt."""
        return b"".join(self.backend.get(entry, start, stop))

    def patient(self, patience: Patience = HASTY) -> Patient:
        return Patient(
            self.backend,
            patience=patience,
            pauses=self.backends.pauses,
            on_retry=self._retried,
            cancel=self.cancel,
        )

    def _retried(self, *retry: Any) -> None:
        self.retries.append(retry)
        if self.clock is not None:
            self.clock.waited(*retry)

    def fetch(self, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        """As many attempts as it takes."""
        return b"".join(self.patient().read(entry, start, stop))


@contextmanager
def rigged(*, clock: Clock | None = None, **network: object) -> Iterator[Rig]:
    """`clock` is what pauses go by, if not the machine's."""
    plugins = Plugins(extra=[Located])
    settings = Network(**{"connect_timeout": 60.0, "read_timeout": 60.0, **network})
    pauses = Pauses(longest=HASTY.longest_pause, clock=clock or time.monotonic)
    with Backends(plugins, network=settings, patience=HASTY, pauses=pauses) as backends:
        backend = backends.get(Located, NoOptions())
        assert isinstance(backend, Located)
        yield Rig(backends, backend, clock=clock)


@pytest.fixture
def rig() -> Iterator[Rig]:
    with rigged() as made:
        yield made


@pytest.fixture
def timeless() -> Iterator[Rig]:
    """Its pauses last until somebody has been told of them."""
    with rigged(clock=Clock()) as made:
        yield made


@pytest.fixture
def hub() -> Iterator[FaultyOrigin]:
    with FaultyOrigin() as origin:
        yield origin


@pytest.fixture
def cdn() -> Iterator[FaultyOrigin]:
    with FaultyOrigin(refuse_credentials=True) as origin:
        yield origin


@pytest.fixture
def secure() -> Iterator[FaultyOrigin]:
    """An https origin whose certificate only `--ca-file` makes good."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with FaultyOrigin(tls=context) as origin:
        yield origin


@pytest.fixture
def entry_of() -> Callable[..., Entry]:
    """An entry for a web address: `entry_of(url, content)`."""

    def make(url: str, content: bytes | None = CONTENT, *, path: str = "model.bin", digests=()) -> Entry:
        size = None if content is None else len(content)
        return Entry(path, size, f"located://{url.partition('://')[2]}", url, digests=digests)

    return make
