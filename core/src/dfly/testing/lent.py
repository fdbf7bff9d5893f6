"""The tools that the core lends a backend, for tests: the real HTTP clients and the real range engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dfly.backend import Tools
from dfly.config import Network, Patience
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.ranges import Ranges

__all__ = ["lent_tools"]


@contextmanager
def lent_tools(*, network: Network | None = None, patience: Patience | None = None) -> Iterator[Tools]:
    """Tools as a backend gets them from the core, until the block ends."""
    network, pauses = network or Network(), Pauses()
    with open_clients(network, patience=patience or Patience(), pauses=pauses) as clients:
        yield Tools(clients.api, Ranges(clients.data, network=network, pauses=pauses))
