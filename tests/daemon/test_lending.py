"""dfget with a daemon does what it does without one, and the second time takes nothing from the hub."""

import hashlib
import io
import os
import threading

import pytest

import dfly
from dfly.daemon.cache import Cache
from dfly.daemon.visit import Visit
from dfly.errors import IntegrityError, NotFound, OutputError, SwarmError, UsageError
from tests.daemon.conftest import FILES, MIB, some_bytes, tree, until

DISTINCT = sum(map(len, set(FILES.values())))


def test_files_arrive_as_without_a_daemon(start, fetch, here, hub):
    start()
    report = fetch("memory://tiny", "out", recursive=True)
    assert tree(here / "out") == FILES
    assert hub.bytes == DISTINCT
    assert report.sources == {"hub": DISTINCT}
    assert (report.files, report.skipped, report.bytes) == (5, 0, sum(map(len, FILES.values())))
    alone = fetch("memory://tiny", "alone", recursive=True, lender=None)
    assert tree(here / "alone") == FILES
    same = ("url", "files", "bytes", "skipped", "sources")
    assert [getattr(alone, name) for name in same] == [getattr(report, name) for name in same]


def test_the_events_are_those_of_an_embedded_task(start, fetch):
    start()
    fetch("memory://tiny", "out", recursive=True)
    borrowed = sorted({(event.name, getattr(event, "path", "")) for event in fetch.events})
    fetch("memory://tiny", "alone", recursive=True, lender=None)
    assert borrowed == sorted({(event.name, getattr(event, "path", "")) for event in fetch.events})


def test_what_happens_is_told_by_one_thread_at_a_time(start, fetch, monkeypatch):
    start()
    before, telling, at_once = Visit._tell, threading.Lock(), []

    def tell(self, event):
        if not telling.acquire(blocking=False):
            at_once.append(event)
            return
        try:
            threading.Event().wait(0.005)
            before(self, event)
        finally:
            telling.release()

    monkeypatch.setattr(Visit, "_tell", tell)
    fetch("memory://tiny", "out", recursive=True)
    assert at_once == []


def test_a_second_output_costs_the_hub_nothing(start, fetch, here, hub):
    start()
    fetch("memory://tiny", "out", recursive=True)
    hub.clear()
    report = fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES
    assert hub.bytes == 0
    assert report.sources == {"cache": DISTINCT}
    assert fetch("memory://tiny", "again", recursive=True).skipped == 5


def test_a_hard_link_is_the_caches_own_file_and_needs_no_hashing_next_time(start, fetch, here, monkeypatch):
    start()
    fetch("memory://tiny", "out", recursive=True, link="hard")
    linked = here / "out/model.bin"
    assert linked.stat().st_nlink > 1
    assert linked.stat().st_mode & 0o222 == 0

    def read(*_):
        raise AssertionError("hashed")

    monkeypatch.setattr("dfly.node.proof.hash_file", read)
    assert fetch("memory://tiny", "out", recursive=True, link="hard").skipped == 5


def test_a_copy_is_the_callers_own_file(start, fetch, here):
    start()
    fetch("memory://tiny", "out", recursive=True)
    copied = here / "out/model.bin"
    assert copied.stat().st_nlink == 1
    assert copied.stat().st_mode & 0o200
    copied.write_bytes(b"changed")
    fetch("memory://tiny", "again", recursive=True)
    assert (here / "again/model.bin").read_bytes() == FILES["model.bin"]


def test_one_file_goes_to_standard_output(start, fetch):
    start()
    sink = io.BytesIO()
    fetch("memory://tiny/other.bin", "-", stdout=sink)
    assert sink.getvalue() == FILES["other.bin"]


def test_a_demanded_digest_is_held_against_what_is_lent(start, fetch, here):
    start()
    right = hashlib.sha512(FILES["other.bin"]).hexdigest()
    fetch("memory://tiny/other.bin", "right", digest=f"sha512:{right}")
    with pytest.raises(IntegrityError):
        fetch("memory://tiny/other.bin", "wrong", digest=f"sha512:{right[::-1]}")
    assert not (here / "wrong").exists()


def test_a_dry_run_lists_and_brings_nothing(start, fetch, here, hub):
    start()
    report = fetch("memory://tiny", "out", recursive=True, dry_run=True)
    assert len(report.plan) == 5
    assert hub.bytes == 0
    assert tree(here) == {}


def test_errors_are_those_of_an_embedded_task(start, fetch):
    start()
    with pytest.raises(NotFound, match="no repository"):
        fetch("memory://nothing", "out", recursive=True)
    with pytest.raises(UsageError):
        fetch("memory://tiny", "out", recursive=True, max_files=2)


def test_without_a_daemon_at_the_socket_it_goes_on_embedded(fetch, here):
    assert fetch("memory://tiny", "out", recursive=True).sources == {"hub": DISTINCT}
    assert tree(here / "out") == FILES


def test_a_daemon_that_goes_away_in_the_middle_is_done_without(start, fetch, here, backend, hub):
    stopping = threading.Thread(target=start().stop)
    before, read = backend.get, threading.Event()

    def get(this, entry, begin, stop):
        if entry.path == "other.bin" and not read.is_set():
            read.set()
            stopping.start()
            while not threading.Event().wait(0.01):
                yield b""  # until the daemon lets go of it
        yield from before(this, entry, begin, stop)

    backend.get = get
    fetch("memory://tiny", "out", recursive=True)
    stopping.join()
    assert tree(here / "out") == FILES
    assert any("going on without it" in event.message for event in fetch.named("warning"))


@pytest.fixture
def put_aside(monkeypatch):
    """The blobs that the daemon puts aside when it lends the first one: another, which is ready to be lent as well."""
    before, aside = Visit._lend, []

    def lend(self, numbers, held):
        for thread in threading.enumerate():
            if thread.name == "dfly-errand":
                thread.join(60)  # now all have been found to be here
        if not aside and (others := [blob for blob in self._means.cache.blobs() if blob != held.blob]):
            aside.append(others[-1])
            self._means.cache.put_aside(others[-1])
        before(self, numbers, held)

    monkeypatch.setattr(Visit, "_lend", lend)
    return aside


def test_a_blob_that_is_put_aside_before_it_is_lent_is_brought_again(start, fetch, here, hub, put_aside):
    start()
    fetch("memory://tiny", "out", recursive=True)
    hub.clear()
    put_aside.clear()
    fetch("memory://tiny", "again", recursive=True)
    assert len(put_aside) == 1
    assert tree(here / "again") == FILES
    assert hub.bytes < DISTINCT
    assert not fetch.named("warning")


def test_a_disk_that_keeps_nothing_is_an_error_and_not_a_missing_file(start, fetch, monkeypatch):
    start()
    usable = Cache.usable

    def gone(self, blob):
        # here for whoever brings it, and no more when it is to be lent
        return None if threading.current_thread().name == "dfly-visit" else usable(self, blob)

    monkeypatch.setattr(Cache, "usable", gone)
    with pytest.raises(OutputError, match="damaged in the cache"):
        fetch("memory://tiny/model.bin", "out.bin")


def test_a_daemon_that_is_done_with_files_lacking_is_done_without(start, fetch, here, hub, monkeypatch):
    start()
    fetch("memory://tiny", "out", recursive=True)
    before = Visit._lend
    monkeypatch.setattr(Visit, "_lend", lambda self, n, held: before(self, n, held) if held.size != 3 * MIB else None)
    fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES
    assert any("kept back 2 of the files" in event.message for event in fetch.named("warning"))
    sink, refused = io.BytesIO(), False
    try:
        fetch("memory://tiny/model.bin", "-", stdout=sink)
    except SwarmError:
        refused = True
    assert refused or sink.getvalue() == FILES["model.bin"]


def test_two_at_once_bring_each_blob_once(start, fetch, here, hub, plugins):
    start()
    done = []

    def one(name):
        done.append(dfly.fetch("memory://tiny", name, recursive=True, plugins=plugins, lender=fetch.lender))

    threads = [threading.Thread(target=one, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tree(here / name) for name in ("a", "b", "c")] == [FILES] * 3
    assert hub.bytes == DISTINCT


def test_a_new_revision_transfers_only_what_changed(start, fetch, here, backend, hub):
    start()
    fetch("memory://tiny", "out", recursive=True)
    hub.clear()
    backend.hub.commit("tiny", {**FILES, "other.bin": b"new", "renamed.bin": FILES["model.bin"]})
    fetch(f"memory://tiny@{backend.hub.revisions('tiny')[-1]}", "new", recursive=True)
    assert hub.bytes == 3
    assert (here / "new/other.bin").read_bytes() == b"new"


def test_the_same_content_of_another_repository_is_the_same_blob(start, fetch, here, backend, hub):
    backend.hub.commit("other", {"weights.bin": FILES["model.bin"]})
    start()
    fetch("memory://tiny", "out", recursive=True)
    hub.clear()
    fetch("memory://other", "again", recursive=True)
    assert hub.bytes == 0
    assert tree(here / "again") == {"weights.bin": FILES["model.bin"]}


def test_what_nothing_pins_is_not_kept(start, fetch, here, plugins, data):
    import attrs

    backend = plugins.backend("memory")
    listing = backend.list
    backend.list = lambda this, url: attrs.evolve(
        listing(this, url),
        entries=[attrs.evolve(e, digests=(), validator=None) for e in listing(this, url).entries],
    )
    start()
    fetch("memory://tiny", "out", recursive=True)
    assert tree(here / "out") == FILES
    assert not list((data / "blobs").rglob("data"))


def test_many_small_files_arrive(start, fetch, here, plugins):
    files = {f"d{n % 7}/f{n}.txt": some_bytes(n % 90, n) for n in range(400)}
    plugins.backend("memory").hub.commit("many", files)
    start()
    fetch("memory://many", "out", recursive=True)
    assert tree(here / "out") == files


def test_no_descriptor_stays_open(start, fetch):
    start()
    fetch("memory://tiny", "out", recursive=True)
    before = len(os.listdir("/proc/self/fd"))
    for n in range(5):
        fetch("memory://tiny", f"again{n}", recursive=True)
    # the daemon may just be closing its end of the last one
    until(lambda: len(os.listdir("/proc/self/fd")) <= before + 1)
