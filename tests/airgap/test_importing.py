"""Nothing that was not verified is kept, nothing is remembered before all was, and to do it twice is to do it once."""

import os
import random

import attrs
import pytest

from dfly.errors import IntegrityError, InUse, OutputError, UnknownScheme, UsageError
from dfly.plugins import Plugins
from dfly.seed.operators.importing import Import
from dfly.seed.operators.remembered import Memory
from dfly.store import archive
from dfly.store.blobs import BlobStore
from dfly.values import Digest, Snapshot

from .archives import archived, git_sha1, manifest_of, read, reading, written

LARGE = random.Random("large").randbytes(1_500_000)
FILES = {"a.json": b"{}", "b.txt": b"b" * 2000, "empty": b"", "large.bin": LARGE}
WHOLE = written(FILES)


@attrs.frozen
class _Mirror:
    store: BlobStore


class Place:
    """A seed peer's disk."""

    def __init__(self, folder, store):
        self.store, self.memory = store, Memory(str(folder / "snapshots"))
        self._import = Import(mirror=_Mirror(store), memory=self.memory, plugins=Plugins())

    def take(self, data):
        return self._import.take(reading(data))

    def contents(self):
        return {blob: open(self.store.path(blob), "rb").read() for blob in self.store}

    def names(self):
        return [found.names for found in self.memory.all()]


@pytest.fixture
def place(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store:
        yield Place(tmp_path, store)


def expected(data):
    manifest = read(data)
    return {blob.id: b"".join(chunks) for blob, chunks in archive.Reader(reading(data)).blobs()}, manifest


def test_all_of_it_is_there_afterwards(place):
    contents, manifest = expected(WHOLE)
    outcome = place.take(WHOLE)
    assert (outcome.blobs, outcome.bytes, outcome.here) == (3, sum(map(len, FILES.values())), 0)
    assert place.contents() == contents
    (found,) = place.memory.all()
    assert (found.imported, found.snapshot.public) == (True, True)
    assert found.snapshot.entries == manifest.snapshots[0].snapshot.entries
    assert found.names == (found.snapshot.source, "hf://org/model")


def test_twice_is_once(place):
    place.take(WHOLE)
    before, names = {blob: os.stat(place.store.path(blob)) for blob in place.store}, place.memory.all()[0].urls
    outcome = place.take(WHOLE)
    assert (outcome.blobs, outcome.bytes, outcome.here) == (0, 0, 3)
    assert {blob: os.stat(place.store.path(blob)).st_ino for blob in place.store} == {
        blob: status.st_ino for blob, status in before.items()
    }
    assert [found.urls for found in place.memory.all()] == [names]


@pytest.mark.parametrize("where", ["small", "large", "last"])
def test_of_a_damaged_one_only_what_was_verified_is_kept(place, where):
    contents, _ = expected(WHOLE)
    at = {"small": WHOLE.index(b"b" * 2000) + 1000, "large": WHOLE.index(LARGE[-100:]), "last": len(WHOLE) - 1}[where]
    damaged = bytearray(WHOLE)
    damaged[at] ^= 1
    with pytest.raises((IntegrityError, UsageError)):
        place.take(bytes(damaged))
    assert place.contents().items() <= contents.items()
    assert list(place.store.unfinished()) == []
    assert place.memory.all() == []


def test_one_that_broke_off_goes_on_where_it_was(place):
    at = WHOLE.index(LARGE[-100:])
    with pytest.raises(UsageError, match="ends too early"):
        place.take(WHOLE[:at])
    had = set(place.store)
    assert place.memory.all() == []
    outcome = place.take(WHOLE)
    assert outcome.here == len(had)
    assert outcome.blobs + outcome.here == 3
    assert place.contents() == expected(WHOLE)[0]


def test_what_another_try_has_left_of_a_blob_is_not_believed(place):
    _, manifest = expected(WHOLE)
    large = next(blob for blob in manifest.blobs if blob.size == len(LARGE))
    partial = place.store.open_partial(large.id, size=large.size, validator=f"sha256:{large.sha256}")
    with partial.writer(0, 1 << 20) as writer:
        writer.write(bytes(1 << 20))
    place.store.release(large.id)
    place.take(WHOLE)
    assert place.contents() == expected(WHOLE)[0]


def test_a_blob_that_is_just_being_fetched_is_left_alone(place):
    _, manifest = expected(WHOLE)
    large = next(blob for blob in manifest.blobs if blob.size == len(LARGE))
    place.store.open_partial(large.id, size=large.size, validator=None)
    with pytest.raises(InUse, match="just being fetched"):
        place.take(WHOLE)
    assert place.memory.all() == []


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
def test_a_file_that_is_not_what_its_source_says_is_refused(place, data):
    whole = archived({"x": data})
    (said,) = whole.snapshot.entries
    lie = attrs.evolve(said, digests=(Digest("git-sha1", git_sha1(b"other")),))
    lying = attrs.evolve(whole, snapshot=whole.snapshot.only([lie]))
    manifest = manifest_of(lying, files={"x": data})
    with pytest.raises(IntegrityError, match="git-sha1"):
        place.take(b"".join(archive.write(manifest, lambda _: [data])))
    assert place.contents() == {}
    assert list(place.store.unfinished()) == []
    assert place.memory.all() == []


def test_other_content_under_an_id_that_is_here_is_refused(place):
    place.take(WHOLE)
    contents = place.contents()
    small = archived({"a.json": b"{}"})
    manifest = manifest_of(small, files={"a.json": b"[]"})
    with pytest.raises(IntegrityError, match="sha256"):
        place.take(b"".join(archive.write(manifest, lambda _: [b"[]"])))
    assert place.contents() == contents


def test_room_is_looked_for_first(place, monkeypatch):
    full = os.statvfs(place.store.directory)
    none = os.statvfs_result([*full[:4], 0, *full[5:]])
    monkeypatch.setattr("dfly.seed.operators.importing.os.statvfs", lambda _: none)
    with pytest.raises(OutputError, match="needs 1,502,002 bytes more"):
        place.take(WHOLE)
    assert place.contents() == {}


def test_a_source_that_no_plugin_here_knows_is_refused(place):
    snapshot = Snapshot("gopher://hole", "hole", ())
    manifest = manifest_of(attrs.evolve(archived({}), snapshot=snapshot), files={})
    with pytest.raises(UnknownScheme):
        place.take(b"".join(archive.write(manifest, lambda _: [])))


def test_a_branch_is_what_was_imported_last(place):
    old, new = written(FILES, commit="1" * 40), written({**FILES, "a.json": b"{2}"}, commit="2" * 40)
    for data in (old, new, old):
        place.take(data)
        latest = max(place.memory.all(), key=lambda found: found.urls["hf://org/model"])
        assert latest.snapshot.revision == read(data).snapshots[0].snapshot.revision
