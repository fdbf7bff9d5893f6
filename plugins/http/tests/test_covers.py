"""What a snapshot tells of a link where its server is not there."""

import pytest

from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly.values import Entry, Snapshot
from dfly_http.backend import HttpBackend

LINK = "https://host.example/a/model.bin?v=2"


@pytest.fixture
def backend():
    with lent_tools() as tools:
        yield HttpBackend(build_options(HttpBackend, {}, {}), tools)


@pytest.mark.parametrize(
    ("url", "covered"),
    [
        (LINK, True),
        ("https://me:password@HOST.example:443/a/model.bin?v=2&sig=x#top", True),
        ("https://host.example/a/model.bin?v=3", False),
        ("https://host.example/a/model.bin", False),
        ("http://host.example/a/model.bin?v=2", False),
        ("https://host.example/a/", False),
    ],
)
def test_a_link_is_known_by_its_public_form(backend, url, covered):
    snapshot = Snapshot(LINK, "model.bin", (Entry("model.bin", 1, LINK, LINK),))
    assert (backend.covers(url, snapshot) == snapshot) is covered
