"""The memory backend keeps every promise."""

import threading

import pytest

from dfly.backend import build_options
from dfly.errors import NotFound
from dfly.testing.contract import BackendContract
from dfly.testing.memory import MemoryBackend, MemoryHub, memory_backend


class TestMemory(BackendContract):
    installed = False

    @pytest.fixture
    def backend(self, memory):
        return memory.build(MemoryBackend)

    @pytest.fixture
    def world(self, memory):
        return memory.world


def test_a_pinned_url_outlives_the_next_commit():
    cls = memory_backend({"tiny": {"a": b"old"}})
    backend = cls(build_options(cls, {}, {}), tools=None)
    entry = backend.stat("memory://tiny/a")
    cls.hub.commit("tiny", {"a": b"new"})
    assert b"".join(backend.get(entry, 0, None)) == b"old"
    assert b"".join(backend.get(backend.stat("memory://tiny/a"), 0, None)) == b"new"


def test_a_revision_option_stands_in_for_the_url():
    cls = memory_backend({"tiny": {"a": b"old"}})
    first = cls.hub.revisions("tiny")[0]
    cls.hub.commit("tiny", {"a": b"new"})
    backend = cls(build_options(cls, {"revision": first}, {}), tools=None)
    assert backend.stat("memory://tiny/a").validator == first
    with pytest.raises(NotFound, match="no revision 'nope'"):
        backend.stat("memory://tiny@nope/a")


def test_two_classes_share_no_content():
    one, two = memory_backend({"a": {}}), memory_backend({"b": {}})
    assert one.hub.revisions("a")
    with pytest.raises(NotFound):
        two.hub.revisions("a")


def test_commits_from_many_threads_are_all_kept():
    hub = MemoryHub({"tiny": {}})
    threads = [threading.Thread(target=hub.commit, args=("tiny", {"n": b"%d" % n})) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.revisions("tiny")) == 21
