"""Clusters for tests, and sockets between their hosts."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dfly.testing.cluster import Cluster, Host

Connect = Callable[[Host, Host], tuple[socket.socket, socket.socket]]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Builds clusters that are gone when the test is over."""
    with ExitStack() as stack:

        def make(nodes: int, **options: Any) -> Cluster:
            return stack.enter_context(Cluster(nodes, root=tmp_path / "cluster", **options))

        yield make


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes a TCP connection from one host to another; both ends are this process's, and wait 60 s at most."""
    with ExitStack() as stack:

        def make(client: Host, server: Host) -> tuple[socket.socket, socket.socket]:
            listener = stack.enter_context(server.call(partial(socket.create_server, (server.address, 0))))
            address = listener.getsockname()
            near = stack.enter_context(client.call(partial(socket.create_connection, address, timeout=60)))
            listener.settimeout(60)
            far = stack.enter_context(listener.accept()[0])
            far.settimeout(60)
            return near, far

        yield make
