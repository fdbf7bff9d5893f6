"""A file's connection is read in long stretches, whatever the HTTP library would ask for."""

import pytest
from httpcore._backends.sync import SyncStream

from dfly.config import Network, Patience
from dfly.origin.client import open_clients
from dfly.origin.pauses import Pauses
from dfly.origin.sockets import WIDTH, Wire
from dfly.testing.origin import FaultyOrigin

CONTENT = b"x" * (4 * WIDTH)


@pytest.fixture
def asked(monkeypatch):
    """How many bytes sockets were asked for at a time."""
    sizes = []
    for owner in (Wire, SyncStream):
        monkeypatch.setattr(owner, "read", _noting(owner.read, sizes))
    return sizes


def _noting(read, sizes):
    def noted(self, most, timeout=None):
        sizes.append(most)
        return read(self, most, timeout)

    return noted


@pytest.mark.parametrize("forbid_link_local", [False, True], ids=["anywhere", "wary"])
def test_a_body_is_asked_for_by_the_quarter_of_a_megabyte(asked, forbid_link_local):
    network = Network(forbid_link_local=forbid_link_local)
    with FaultyOrigin() as origin, open_clients(network, patience=Patience(), pauses=Pauses()) as clients:
        origin.add("file", CONTENT)
        assert clients.data.get(origin.url_of("file")).content == CONTENT
    assert max(asked) == asked[1] == WIDTH


def test_so_is_one_behind_a_proxy(asked):
    with FaultyOrigin() as proxy:
        proxy.add("http://far.example/file", CONTENT)
        with open_clients(Network(proxy=proxy.url), patience=Patience(), pauses=Pauses()) as clients:
            assert clients.data.get("http://far.example/file").content == CONTENT
    assert set(asked) == {WIDTH}
