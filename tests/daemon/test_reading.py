"""Whoever reads a file while it arrives gets one attempt at it, or is told to ask again."""

import asyncio
import contextlib
import hashlib
import os
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from dfly import Entry
from dfly.daemon.cache import Cache
from dfly.daemon.reading import Reading, Wanted
from dfly.errors import Changed
from dfly.facade import Content
from dfly.node.readers import Readers
from dfly.store.blobs import BlobStore
from dfly.values import Digest
from tests.daemon.conftest import MIB, some_bytes

SIZE = 8 * MIB
GOOD, WRONG = some_bytes(SIZE, 1), some_bytes(SIZE, 2)


ENTRY = Entry("m.bin", SIZE, "memory://m", "m", (Digest("sha256", hashlib.sha256(GOOD).hexdigest()),))


class Arriving:
    """A blob that arrives in a cache, as the errand that brings it is seen by whoever reads it."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self.blob = cache, str(ENTRY.blob)
        self.filling, self.fd, self.ended, self.error = True, -1, False, None
        self.begin()

    def begin(self) -> None:
        """Go on with what is there, or from the start."""
        self.partial = self._cache.partial(
            self.blob, size=SIZE, validator="v", algorithms=(), on_segment=lambda *_: None
        )

    def write(self, content: bytes, start: int = 0, stop: int = SIZE) -> None:
        with self.partial.writer(start, stop) as writer:
            writer.write(content[start:stop])

    def give_up(self) -> None:
        self._cache.release(self.blob)

    def end(self) -> None:
        self._cache.commit(self.blob, sources=())
        self.fd, self.ended = self._cache.lend(self.blob), True

    def join(self, reading: Reading) -> None:
        """See `Bringing`."""

    def leave(self, reading: Reading) -> None:
        """See `Bringing`."""

    def close(self) -> None:
        self._cache.release(self.blob)
        if self.fd >= 0:
            os.close(self.fd)


class Reader:
    """Reads all of the file, as fast as it is told to."""

    def __init__(self, cache: Cache, bringing) -> None:
        admitted = types.SimpleNamespace(joined=None, resolved=types.SimpleNamespace(task="t"))
        content = Content(opened=None, entry=ENTRY, start=0, stop=SIZE, proven=True)
        self.got = bytearray()
        self._pool = ThreadPoolExecutor(1)
        self._reading = Reading(
            Wanted(admitted=admitted, number=0, content=content),
            cache=cache,
            records=None,
            readers=Readers(),
            pool=self._pool,
        )
        self._reading.follow(bringing)

    def read(self, most: int = SIZE) -> None:
        """At most so many of the bytes that can be had now."""
        stop = asyncio.run(self._reading.until(len(self.got), gone=lambda: False))
        taken = min(stop - len(self.got), most)
        self.got += os.pread(self._reading.fd, taken, len(self.got))

    def close(self) -> None:
        self._reading.close()
        self._pool.shutdown()


@pytest.fixture
def cache(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store)) as cache:
        yield cache


@pytest.fixture
def arriving(cache):
    with contextlib.closing(Arriving(cache)) as arriving:
        yield arriving


@pytest.fixture
def reader(cache, arriving):
    with contextlib.closing(Reader(cache, arriving)) as reader:
        yield reader


def test_the_last_byte_comes_when_all_of_it_is_proven(arriving, reader):
    arriving.write(GOOD)
    reader.read()
    assert len(reader.got) == SIZE - 1
    arriving.end()
    reader.read()
    assert reader.got == GOOD


def test_a_slow_reader_of_wrong_bytes_is_not_given_the_rest_of_the_right_ones(arriving, reader):
    arriving.write(WRONG)
    reader.read(SIZE // 2)
    arriving.partial.reset()
    arriving.write(GOOD)
    arriving.end()
    with pytest.raises(Changed, match="wrong") as raised:
        reader.read()
    assert raised.value.hint == "ask again"


def test_a_reader_goes_on_when_another_way_brings_the_rest_of_the_same_file(arriving, reader):
    arriving.write(GOOD, 0, SIZE // 2)
    reader.read(MIB)
    arriving.give_up()
    arriving.begin()
    reader.read(MIB)
    arriving.write(GOOD, SIZE // 2)
    arriving.end()
    reader.read()
    assert reader.got == GOOD


@pytest.mark.parametrize("looks", [True, False], ids=["while it arrives", "when it is whole"])
def test_a_reader_does_not_go_on_when_another_way_begins_anew(arriving, reader, looks):
    arriving.write(WRONG, 0, SIZE // 2)
    reader.read(MIB)
    arriving.partial.discard()
    arriving.give_up()
    arriving.begin()
    arriving.write(GOOD)
    if not looks:
        arriving.end()
    with pytest.raises(Changed):
        reader.read()


def test_a_reader_is_not_given_what_came_whole_from_elsewhere(cache, arriving, reader):
    arriving.write(WRONG, 0, SIZE // 2)
    reader.read(MIB)
    arriving.partial.discard()
    arriving.give_up()
    cache.put(arriving.blob, GOOD, sources=())
    arriving.fd, arriving.ended = cache.lend(arriving.blob), True
    with pytest.raises(Changed):
        reader.read()
