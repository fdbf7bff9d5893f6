"""What the core lends a backend, for tests: the real HTTP clients, the real range engine, and its way to read with patience."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from dfly.backend import Backend, Tools
from dfly.config import Network, Patience
from dfly.origin.client import open_clients
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.origin.ranges import Ranges
from dfly.values import Entry

__all__ = ["QUICK", "Reader", "lent_tools"]

#: Tries as often as there is a reason to in a test, and waits for nothing.
QUICK = Patience(tries=3, first_delay=0.001, longest_delay=0.002, longest_pause=5.0)


@contextmanager
def lent_tools(*, network: Network | None = None, patience: Patience | None = None) -> Iterator[Tools]:
    """Tools as a backend gets them from the core, until the block ends."""
    network, pauses = network or Network(), Pauses()
    with open_clients(network, patience=patience or Patience(), pauses=pauses) as clients:
        yield Tools(clients.api, Ranges(clients.data, network=network, pauses=pauses))


@attrs.frozen
class Reader:
    """Reads entries as the core does: with retries, going on at the offset. `retries` says why it tried again."""

    patience: Patience = QUICK
    retries: list[str] = attrs.field(factory=list)

    def __call__(self, backend: Backend, entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes `[start, stop)`, to the end where `stop` is None. Raises SourceError."""
        patient = Patient(
            backend,
            patience=self.patience,
            pauses=Pauses(),
            on_retry=lambda _path, cause, _after: self.retries.append(cause),
            cancel=threading.Event(),
        )
        return b"".join(patient.read(entry, start, stop))
