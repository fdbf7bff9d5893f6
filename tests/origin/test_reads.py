"""A file's connection is read in long stretches, whatever the HTTP library would ask for."""

import threading

import pytest

from dfly.config import Network, Patience
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.reads import WIDTH
from dfly.testing.origin import FaultyOrigin


@pytest.fixture
def asked(monkeypatch):
    """How many bytes sockets were asked for at a time."""
    from httpcore._backends.sync import SyncStream

    sizes, read = [], SyncStream.read

    def noting(self, max_bytes, timeout=None):
        sizes.append(max_bytes)
        return read(self, max_bytes, timeout)

    monkeypatch.setattr(SyncStream, "read", noting)
    return sizes


@pytest.mark.parametrize("forbid_link_local", [False, True], ids=["anywhere", "wary"])
def test_sockets_are_asked_for_a_quarter_of_a_megabyte(asked, forbid_link_local):
    network = Network(forbid_link_local=forbid_link_local)
    with FaultyOrigin() as origin:
        origin.add("file", b"x" * 1_000_000)
        with open_clients(network, patience=Patience(), pauses=Pauses(), cancel=threading.Event()) as clients:
            assert clients.data.get(origin.url_of("file")).content == b"x" * 1_000_000
    assert set(asked) == {WIDTH}
