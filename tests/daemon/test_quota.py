"""The cache keeps to its size, gives up the longest unused first, and never what is in use."""

import contextlib
import hashlib
import os
import threading
from pathlib import Path

import pytest

from dfly.daemon.cache import Cache
from dfly.daemon.eviction import Kept, choose
from dfly.errors import OutputError
from dfly.store.blobs import BlobStore
from tests.daemon.conftest import MIB, some_bytes, tree


@pytest.fixture
def idle_disk(monkeypatch):
    """No blob is on its way to the disk when room is made, which would then be passed over."""
    monkeypatch.setattr(Cache, "_sync", lambda self, blob: None)


@pytest.fixture
def repos(backend, idle_disk):
    for n in range(4):
        backend.hub.commit(f"r{n}", {"model.bin": some_bytes(2 * MIB, n)})


def kept(*rows, **given):
    return [Kept(blob=blob, bytes=size, used=used, **given) for blob, size, used in rows]


def test_the_longest_unused_goes_first_and_no_more_than_needed():
    assert choose(kept(("new", 5, 3), ("old", 5, 1), ("mid", 5, 2)), excess=6) == ["old", "mid"]


def test_nothing_goes_where_there_is_room():
    assert choose(kept(("a", 5, 1)), excess=0) == []


@pytest.mark.parametrize("state", ["pinned", "in_use"])
def test_what_is_pinned_or_in_use_stays(state):
    assert choose(kept(("a", 5, 1), **{state: True}), excess=5) == []


def here_of(data) -> set[int]:
    return {path.stat().st_size for path in data.rglob("data")}


def test_a_new_task_makes_room_before_its_first_byte(start, fetch, here, data, repos, backend, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    running = start(cache_size=5 * MIB)
    for n in range(4):
        fetch(f"memory://r{n}", f"out{n}", recursive=True)
        assert running.ask("/v1/status").json()["bytes"] <= 5 * MIB
    assert tree(here / "out3") == {"model.bin": some_bytes(2 * MIB, 3)}
    report = fetch("memory://r3", "again", recursive=True)
    assert report.sources == {"cache": 2 * MIB}
    assert fetch("memory://r0", "again0", recursive=True).sources == {"hub": 2 * MIB}


def test_the_longest_unused_is_given_up_not_the_oldest(start, fetch, repos, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    start(cache_size=5 * MIB)
    for n in (0, 1):
        fetch(f"memory://r{n}", f"out{n}", recursive=True)
    fetch("memory://r0", "used", recursive=True)
    fetch("memory://r2", "out2", recursive=True)
    assert fetch("memory://r0", "again0", recursive=True).sources == {"cache": 2 * MIB}
    assert fetch("memory://r1", "again1", recursive=True).sources == {"hub": 2 * MIB}


def test_what_was_lent_a_moment_ago_is_not_given_up(start, fetch, here, repos):
    start(cache_size=5 * MIB)
    fetch("memory://r0", "out0", recursive=True)
    fetch("memory://r1", "out1", recursive=True)
    with pytest.raises(OutputError, match=r"cache in .* is full"):
        fetch("memory://r2", "out2", recursive=True)
    assert fetch("memory://r0", "again", recursive=True).sources == {"cache": 2 * MIB}


def test_a_pinned_snapshot_is_not_given_up(start, fetch, repos, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    running = start(cache_size=5 * MIB)
    fetch("memory://r0", "out0", recursive=True)
    assert running.ask("/v1/operator/pins", url="memory://r0").status_code == 200
    for n in (1, 2, 3):
        fetch(f"memory://r{n}", f"out{n}", recursive=True)
    assert fetch("memory://r0", "again", recursive=True).sources == {"cache": 2 * MIB}
    assert running.ask("/v1/operator/pins", url="memory://r0", pinned=False).json()["snapshots"][0]["pinned"] is False


def test_a_pin_outlives_a_restart(start, fetch, repos, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    running = start(cache_size=5 * MIB)
    fetch("memory://r0", "out0", recursive=True)
    running.ask("/v1/operator/pins", url="memory://r0")
    running.stop()
    start(cache_size=5 * MIB)
    for n in (1, 2, 3):
        fetch(f"memory://r{n}", f"out{n}", recursive=True)
    assert fetch("memory://r0", "again", recursive=True).sources == {"cache": 2 * MIB}


def test_a_task_larger_than_the_cache_gives_up_nothing(start, fetch, repos, backend, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    backend.hub.commit("huge", {"model.bin": some_bytes(6 * MIB, 9)})
    start(cache_size=5 * MIB)
    fetch("memory://r0", "out0", recursive=True)
    with pytest.raises(OutputError, match=r"6\.3 MB are needed"):
        fetch("memory://huge", "out", recursive=True)
    assert fetch("memory://r0", "again", recursive=True).sources == {"cache": 2 * MIB}


def test_two_tasks_do_not_count_the_same_room_twice(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store:
        cache = Cache(store, limit=10 * MIB)
        with cache.room_for({"sha256-aa": 6 * MIB}), pytest.raises(OutputError), cache.room_for({"sha256-bb": 6 * MIB}):
            raise AssertionError
        with cache.room_for({"sha256-bb": 6 * MIB}):
            assert cache.used_bytes == 6 * MIB
        assert cache.used_bytes == 0
        cache.close()


def test_only_allocated_bytes_count(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store:
        cache = Cache(store)
        partial = cache.partial("sha256-aa", size=1 << 30, validator="v", algorithms=(), on_segment=lambda *_: None)
        os.pwrite(partial.fd, b"x" * 4096, 0)
        cache.release("sha256-aa")
        assert cache.used_bytes < MIB
        cache.close()


def begin(cache, blob, size=4 * MIB):
    return cache.partial(blob, size=size, validator="v", algorithms=(), on_segment=lambda *_: None)


def test_what_arrives_is_not_given_up_though_nobody_has_made_room_for_it(tmp_path):
    pack = "pack-aa"
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store, limit=8 * MIB)) as cache:
        with begin(cache, pack).writer(0, MIB) as writer:
            writer.write(bytes(MIB))
        cache.release(pack)
        partial = begin(cache, pack)
        assert partial.had == MIB
        with pytest.raises(OutputError, match="is full"), cache.room_for({"sha256-bb": 8 * MIB}):
            raise AssertionError
        assert cache.give_up([pack]) == cache.busy([pack]) == [pack]
        with partial.writer(MIB, 2 * MIB) as writer:
            writer.write(bytes(MIB))
        cache.release(pack)
        assert cache.give_up([pack]) == []


def test_what_arrived_last_goes_last_though_it_is_not_whole(tmp_path, monkeypatch, idle_disk):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store, limit=4 * MIB)) as cache:
        cache.put(blob_of(b"w"), bytes(2 * MIB), sources=())
        with begin(cache, "pack-aa").writer(0, MIB) as writer:
            writer.write(bytes(MIB))
        cache.release("pack-aa")
        with cache.room_for({"sha256-bb": 2 * MIB}):
            assert blob_of(b"w") not in cache
            assert begin(cache, "pack-aa").had == MIB
            cache.release("pack-aa")


def test_what_several_wait_for_counts_once_until_the_last_one_leaves(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store, limit=10 * MIB)) as cache:
        with cache.room_for({"pack-aa": 6 * MIB}):
            with cache.room_for({"pack-aa": 6 * MIB, "sha256-bb": 2 * MIB}):
                assert cache.used_bytes == 8 * MIB
            assert cache.used_bytes == 6 * MIB
            assert cache.busy(["pack-aa", "sha256-bb"]) == ["pack-aa"]
        assert cache.used_bytes == 0


def test_a_file_that_goes_while_bytes_are_counted_takes_no_blob_away(tmp_path, monkeypatch):
    real = os.scandir

    @contextlib.contextmanager
    def scandir(folder):
        with real(folder) as found:
            yield (_gone(each) for each in found)

    def _gone(each):
        if each.name == "going":
            os.unlink(each.path)
        return each

    with BlobStore(str(tmp_path / "data")) as store:
        cache = Cache(store)
        blob = f"sha256-{hashlib.sha256(b'words').hexdigest()}"
        cache.put(blob, b"words", sources=[])
        (Path(cache.path(blob)).parent / "going").write_bytes(b"x")
        monkeypatch.setattr("dfly.store.folder.os.scandir", scandir)
        cache.release(blob)
        assert blob in cache
        assert not (Path(cache.path(blob)).parent / "going").exists()
        cache.close()


def blob_of(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


class SlowDisk(BlobStore):
    """Takes its time to bring blobs to the disk: until `caught_up`."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.at_it, self.caught_up = threading.Event(), threading.Event()

    def sync(self, blob: str) -> None:
        self.at_it.set()
        assert self.caught_up.wait(60)


@pytest.fixture
def slow(tmp_path):
    with SlowDisk(str(tmp_path / "data")) as store, contextlib.closing(Cache(store, limit=MIB)) as cache:
        for number in range(4):
            cache.put(blob_of(bytes([number])), bytes([number]) * 200_000, sources=())
        assert store.at_it.wait(60)
        try:
            yield store, cache
        finally:
            store.caught_up.set()


def make_room(cache, size, *, failures=None):
    """A thread that makes room for so many bytes, and gives it back."""

    def work():
        try:
            with cache.room_for({"sha256-ff": size}):
                pass
        except OutputError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_room_is_made_without_waiting_for_the_disk(slow):
    _, cache = slow
    thread = make_room(cache, 600_000)
    thread.join(30)
    assert not thread.is_alive()
    assert sorted(cache.blobs()) == sorted(blob_of(bytes([number])) for number in (0, 3))


def test_room_that_only_the_disk_holds_back_is_waited_for(slow):
    store, cache = slow
    failures = []
    thread = make_room(cache, MIB, failures=failures)
    thread.join(0.1)
    assert cache.used_bytes
    store.caught_up.set()
    thread.join(60)
    assert not thread.is_alive()
    assert failures == []
    assert cache.blobs() == []


def test_what_is_being_brought_to_the_disk_is_removed_when_it_is_there(slow):
    store, cache = slow
    removed = []
    thread = threading.Thread(target=lambda: removed.append(cache.give_up(cache.blobs(), lent=True)))
    thread.start()
    thread.join(0.1)
    store.caught_up.set()
    thread.join(60)
    assert removed == [[]]
    assert cache.blobs() == []


def test_what_is_here_is_not_put_there_again(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store)) as cache:
        cache.put(blob_of(b"words"), b"words", sources=())
        before = os.stat(cache.path(blob_of(b"words")))
        cache.put(blob_of(b"words"), b"words", sources=())
        after = os.stat(cache.path(blob_of(b"words")))
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_who_puts_the_same_blob_meanwhile_waits_and_leaves_it(tmp_path):
    puts = []

    class Puts(BlobStore):
        def put(self, blob, data, *, sources=()):
            puts.append(blob)
            if len(puts) == 1:
                second.start()
                second.join(0.3)
            return super().put(blob, data, sources=sources)

    with Puts(str(tmp_path / "data")) as store, contextlib.closing(Cache(store)) as cache:
        second = threading.Thread(target=cache.put, args=(blob_of(b"words"), b"words"), kwargs={"sources": ()})
        cache.put(blob_of(b"words"), b"words", sources=())
        second.join(60)
        assert puts == [blob_of(b"words")]
        assert Path(cache.path(blob_of(b"words"))).read_bytes() == b"words"


def test_what_arrives_is_not_written_by_who_has_it_in_a_pack(tmp_path):
    data = some_bytes(MIB)
    with BlobStore(str(tmp_path / "data")) as store, contextlib.closing(Cache(store)) as cache:
        arriving = cache.partial(blob_of(data), size=MIB, validator="v", algorithms=(), on_segment=lambda *_: None)
        cache.put(blob_of(data), data, sources=())
        assert blob_of(data) not in cache
        with arriving.writer(0, MIB) as writer:
            writer.write(data)
        cache.commit(blob_of(data), sources=())
        assert Path(cache.path(blob_of(data))).read_bytes() == data


def test_concurrent_tasks_never_exceed_it(start, fetch, repos, plugins, monkeypatch):
    monkeypatch.setattr("dfly.daemon.books.LENT", 0.0)
    running = start(cache_size=5 * MIB)
    failures, most = [], []

    def one(n):
        try:
            fetch.quiet(f"memory://r{n}", f"c{n}", recursive=True)
        except OutputError as error:
            failures.append(error)
        most.append(running.ask("/v1/status").json()["bytes"])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 5 * MIB
    assert len(failures) <= 2
