"""Room for what is to arrive is made of what nobody needs, and all of it or none."""

import os
import threading

import pytest

from dfly.daemon.books import Books
from dfly.daemon.room import Room
from dfly.daemon.turns import Turns
from dfly.errors import OutputError
from dfly.layout import MIB
from dfly.store.blobs import BlobStore

NOW = 1000.0


class Rig:
    def __init__(self, store, limit):
        self.given_up = []
        self.books = Books(clock=lambda: NOW)
        changed = threading.Condition(threading.RLock())
        turns = Turns(changed)
        self.room = Room(
            store=store, limit=limit, books=self.books, turns=turns, changed=changed, give_up=self._give_up
        )

    def _give_up(self, blob):
        self.given_up.append(blob)
        self.books.forget(blob)

    def keep(self, blob, size, *, used):
        self.books.note(blob, size)
        self.books.used(blob, used)


@pytest.fixture
def rig(tmp_path):
    with BlobStore(str(tmp_path / "data")) as store:
        yield lambda limit=None: Rig(store, limit)


@pytest.fixture
def free(monkeypatch):
    """`free(n)`: the file system has so many bytes free."""

    def set_to(count):
        real = os.statvfs

        def statvfs(path):
            found = list(real(path))
            found[0:2], found[4] = [1, 1], count
            return os.statvfs_result(found)

        monkeypatch.setattr("dfly.daemon.room.os.statvfs", statvfs)

    return set_to


def test_the_longest_unused_gives_its_room(rig):
    here = rig(limit=10 * MIB)
    here.keep("sha256-aa", 4 * MIB, used=2)
    here.keep("sha256-bb", 4 * MIB, used=1)
    with here.room.taken({"sha256-cc": 4 * MIB}):
        assert here.given_up == ["sha256-bb"]
        assert here.books.total == 8 * MIB
    assert here.books.total == 4 * MIB


def test_nothing_is_given_up_where_that_would_not_be_enough(rig):
    here = rig(limit=10 * MIB)
    here.keep("sha256-aa", 4 * MIB, used=1)
    here.keep("sha256-bb", 4 * MIB, used=1)
    here.books.pin(["sha256-bb"])
    with pytest.raises(OutputError, match=r"cache in .* is full") as failed, here.room.taken({"sha256-cc": 8 * MIB}):
        raise AssertionError
    assert "--cache-size" in failed.value.hint
    assert here.given_up == []


def test_a_full_disk_gives_room_as_a_full_cache_does(rig, free):
    free(3 * MIB)
    here = rig()
    here.keep("sha256-aa", 4 * MIB, used=1)
    with here.room.taken({"sha256-bb": 2 * MIB}):
        assert here.given_up == []
        with here.room.taken({"sha256-cc": 2 * MIB}):
            assert here.given_up == ["sha256-aa"]


def test_a_disk_that_has_no_room_at_all_is_called_full(rig, free):
    free(3 * MIB)
    here = rig(limit=10 * MIB)
    with pytest.raises(OutputError, match="disk is full") as failed, here.room.taken({"sha256-cc": 4 * MIB}):
        raise AssertionError
    assert "2.1 MB more" in failed.value.hint
