"""What a snapshot tells of a store's URLs where the store is not there."""

import pytest

from dfly import NotFound
from dfly.backend import build_options
from dfly.testing.lent import lent_tools
from dfly.values import Entry, Snapshot
from dfly_s3.backend import S3Backend


def prefix():
    entries = [
        Entry("a.bin", 1, "s3://bucket/models/a.bin?versionId=7", "s3:https://s3/bucket/models/a.bin"),
        Entry("sub/b.bin", 1, "s3://bucket/models/sub/b.bin", "s3:https://s3/bucket/models/sub/b.bin"),
    ]
    return Snapshot("s3://bucket/models/", "models", entries)


def single(source):
    return Snapshot(source, "a.bin", (Entry("a.bin", 1, source, "s3:https://s3/bucket/a.bin"),))


@pytest.fixture
def backend():
    with lent_tools() as tools:
        yield S3Backend(build_options(S3Backend, {"anonymous": "1"}, {}), tools)


def told(found):
    return None if found is None else (found.source, found.name, [entry.path for entry in found.entries])


@pytest.mark.parametrize("url", ["s3://bucket/models/", "s3://bucket/models"])
def test_a_prefix_by_itself(backend, url):
    assert told(backend.covers(url, prefix())) == ("s3://bucket/models/", "models", ["a.bin", "sub/b.bin"])


def test_what_is_below_it(backend):
    for url in ("s3://bucket/models/sub/", "s3://bucket/models/sub"):
        assert told(backend.covers(url, prefix())) == ("s3://bucket/models/sub/", "sub", ["b.bin"])
    for url in ("s3://bucket/models/a.bin", "s3://bucket/models/a.bin?versionId=7"):
        assert told(backend.covers(url, prefix())) == ("s3://bucket/models/a.bin?versionId=7", "a.bin", ["a.bin"])
    with pytest.raises(NotFound):
        backend.covers("s3://bucket/models/c.bin", prefix())


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/mod", "s3://other/models/", "s3://bucket/models/a.bin?versionId=8"]
)
def test_nothing_beyond_it(backend, url):
    assert backend.covers(url, prefix()) is None


def test_an_object_under_the_version_that_it_was_asked_by(backend):
    pinned, plain = single("s3://bucket/a.bin?versionId=7"), single("s3://bucket/a.bin")
    assert backend.covers("s3://bucket/a.bin?versionId=7", pinned) is not None
    assert backend.covers("s3://bucket/a.bin", pinned) is None
    assert backend.covers("s3://bucket/a.bin", pinned, names=("s3://bucket/a.bin",)) is not None
    assert backend.covers("s3://bucket/a.bin", plain) is not None
    assert backend.covers("s3://bucket/a.bin?versionId=7", plain) is None
    assert backend.covers("s3://bucket/", plain) is None
