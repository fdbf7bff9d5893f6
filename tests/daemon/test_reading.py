"""Whoever reads a file while it arrives gets one attempt at it, or is told to ask again; and a hub's no is heard."""

import asyncio
import contextlib
import hashlib
import os
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from dfly import Entry, Snapshot
from dfly.config import Fetch
from dfly.daemon.bringing import Wanted
from dfly.daemon.cache import Cache
from dfly.daemon.reading import Reading
from dfly.daemon.reads import Reads
from dfly.errors import AccessDenied, Changed, DflyError, NotFound, OriginUnavailable
from dfly.facade import Content
from dfly.node.readers import Readers
from dfly.store.blobs import BlobStore
from dfly.values import Digest
from tests.daemon.conftest import MIB, some_bytes

SIZE = 8 * MIB
GOOD, WRONG = some_bytes(SIZE, 1), some_bytes(SIZE, 2)


ENTRY = Entry("m.bin", SIZE, "memory://m", "m", (Digest("sha256", hashlib.sha256(GOOD).hexdigest()),))
SNAPSHOT = Snapshot("memory://m", "m.bin", (ENTRY,), public=True)


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

    def join(self, changed: asyncio.Event) -> None:
        """See `Bringing`."""

    def leave(self, changed: asyncio.Event) -> None:
        """See `Bringing`."""

    def close(self) -> None:
        self._cache.release(self.blob)
        if self.fd >= 0:
            os.close(self.fd)


class Reader:
    """Reads all of the file, as fast as it is told to."""

    def __init__(self, cache: Cache, bringing) -> None:
        admitted = types.SimpleNamespace(snapshot=SNAPSHOT, resolved=types.SimpleNamespace(task="t"))
        content = Content(opened=None, entry=ENTRY, start=0, stop=SIZE, proven=True)
        self.got = bytearray()
        self._pool = ThreadPoolExecutor(1)
        self._reading = Reading(
            Wanted(admitted=admitted, number=0, content=content),
            cache=cache,
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


class Hub:
    """Resolves, as admissions do: `answers` is what it will say, once it is not `slow`."""

    def __init__(self) -> None:
        snapshot = types.SimpleNamespace(public=True, source="memory://m@1", entries=())
        self.admitted = types.SimpleNamespace(snapshot=snapshot)
        self.answers: DflyError | None = None
        self.answering = threading.Event()
        self.answering.set()

    def admit(self, *_args, **_given):
        assert self.answering.wait(60)
        if self.answers is not None:
            raise self.answers
        return self.admitted

    def reads(self) -> Reads:
        """Of a daemon that has brought something of it before, and holds no answer for longer than it takes."""
        ask = types.SimpleNamespace(recursive=True, include=(), exclude=())
        before = types.SimpleNamespace(snapshot=self.admitted.snapshot, ask=ask, options={})
        return Reads(
            admissions=self,
            means=types.SimpleNamespace(records=types.SimpleNamespace(all=lambda: [before])),
            settings=Fetch(),
            client=None,
            closing=threading.Event(),
            names=types.SimpleNamespace(note=lambda *_: None, last=lambda _: "memory://m@1"),
            reopen=lambda *_: self.admitted,
            ttl=0.0,
        )


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr("dfly.daemon.reads.PATIENCE", 0.01)
    yield hub
    hub.answering.set()


async def what_stands_in(hub, reads):
    """What is known while the hub takes longer than clients wait; then it has answered."""
    hub.answering.clear()
    found = await reads.resolve("memory://m", {})
    hub.answering.set()
    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    return found.admitted


async def what_it_says(hub, reads):
    """The hub's own answer, however long it takes."""
    hub.answering.clear()
    asking = asyncio.create_task(reads.resolve("memory://m", {}))
    await asyncio.wait([asking], timeout=0.2)
    hub.answering.set()
    return (await asking).admitted


@pytest.mark.parametrize("no", [AccessDenied("private now"), NotFound("gone")], ids=["denied", "gone"])
def test_a_hub_that_refuses_slowly_is_heard_until_it_says_yes(hub, no):
    async def whole():
        reads = hub.reads()
        assert await what_stands_in(hub, reads) is hub.admitted
        hub.answers = no
        assert await what_stands_in(hub, reads) is hub.admitted
        for _ in range(2):
            with pytest.raises(type(no)):
                await what_it_says(hub, reads)
        hub.answers = None
        assert await what_it_says(hub, reads) is hub.admitted
        assert await what_stands_in(hub, reads) is hub.admitted
        await reads.close()

    asyncio.run(whole())


def test_what_was_brought_before_does_not_stand_in_for_a_hub_that_has_refused(hub):
    async def whole():
        reads = hub.reads()
        hub.answers = AccessDenied("private now")
        assert await what_stands_in(hub, reads) is hub.admitted
        hub.answers = OriginUnavailable("away")
        with pytest.raises(OriginUnavailable):
            await what_it_says(hub, reads)
        await reads.close()

    asyncio.run(whole())
