"""What a daemon leaves, the next one goes on with; and only one has a directory."""

import os
import threading

import pytest

from dfly.errors import DflyError, OutputError, UsageError
from dfly.layout import MIB, Layout
from tests.daemon.conftest import FILES, some_bytes, tree


def test_the_next_daemon_has_what_the_last_one_kept(start, fetch, here, hub):
    start().stop()
    start().stop()
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    running.stop()
    hub.clear()
    start()
    fetch("memory://tiny", "again", recursive=True)
    assert hub.bytes == 0
    assert tree(here / "again") == FILES


def test_a_blob_that_was_on_its_way_goes_on_where_it_was(start, fetch, here, backend, hub):
    segment = Layout(1).segment_length
    big = some_bytes(5 * segment, 5)
    backend.hub.commit("big", {"model.bin": big})
    arrived, go = threading.Event(), threading.Event()
    before = backend.get

    def get(this, entry, begin, stop):
        for chunk in before(this, entry, begin, stop):
            yield chunk
            if hub.bytes > 3 * segment:
                arrived.set()
                go.wait(10)

    backend.get = get
    running = start()
    cancel = threading.Event()
    task = threading.Thread(
        target=fetch.quietly, args=("memory://big", "out"), kwargs={"recursive": True, "cancel": cancel}
    )
    task.start()
    assert arrived.wait(30)
    cancel.set()
    go.set()
    task.join()
    running.stop()
    before_restart = hub.bytes
    start()
    fetch("memory://big", "out", recursive=True)
    assert tree(here / "out") == {"model.bin": big}
    assert hub.bytes < before_restart + len(big) - segment + MIB


def test_two_daemons_on_one_directory_are_refused(start, tmp_path):
    start()
    with pytest.raises(OutputError, match="in use by another dfly"):
        start(socket=str(tmp_path / "other.sock"))


def test_two_daemons_at_one_socket_are_refused_and_the_first_goes_on(start, fetch, tmp_path):
    start()
    with pytest.raises(UsageError, match="another dfdaemon listens"):
        start(data_dir=tmp_path / "other")
    assert fetch("memory://tiny", "out", recursive=True).files == 5


def test_a_stale_socket_is_replaced(start, fetch, tmp_path):
    import socket

    (tmp_path / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "run/dfly.sock"))
    start()
    assert fetch("memory://tiny", "out", recursive=True).files == 5


def test_a_path_as_long_as_the_kernel_takes_is_one_for_the_socket(start, tmp_path):
    folder = tmp_path / "run"
    socket = folder / ("s" * (107 - len(f"{folder}/")))
    assert start(socket=str(socket)).ask("/healthz").status_code == 200
    assert [path.name for path in folder.iterdir()] == [socket.name]


def test_what_is_no_socket_is_left_alone(start, tmp_path):
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run/dfly.sock").write_text("mine")
    with pytest.raises(UsageError, match="no socket"):
        start()
    assert (tmp_path / "run/dfly.sock").read_text() == "mine"


def test_a_stopped_daemon_leaves_no_socket_and_no_thread(start, tmp_path):
    before = set(threading.enumerate())
    start().stop()
    assert not (tmp_path / "run/dfly.sock").exists()
    new = set(threading.enumerate()) - before
    for thread in new:
        thread.join(30)  # it may just be leaving
    assert [thread.name for thread in new if thread.is_alive()] == []


def test_a_directory_of_a_newer_format_is_refused(start, data):
    start().stop()
    (data / "format").write_text("99\n")
    with pytest.raises(OutputError, match="format '99'"):
        start()


def test_records_that_cannot_be_read_are_left_out(start, fetch, data, here):
    running = start()
    fetch("memory://tiny", "out", recursive=True)
    running.stop()
    (record,) = (data / "snapshots").iterdir()
    assert record.stat().st_mode & 0o077 == 0
    record.write_text("{half")
    start()
    fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES


def test_what_belonged_to_one_task_only_is_swept_at_the_start(start, data):
    folder = data / "blobs" / "ab" / ("alone-" + "ab" * 32)
    folder.mkdir(parents=True, mode=0o700)
    os.chmod(data, 0o700)
    os.chmod(data / "blobs", 0o700)
    (folder / "data").write_bytes(b"x")
    start()
    assert not folder.exists()


def test_a_directory_that_others_can_write_is_refused(start, data):
    data.mkdir(mode=0o777)
    os.chmod(data, 0o777)
    with pytest.raises(DflyError, match="written by everybody"):
        start()
