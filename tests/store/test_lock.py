"""One process at a time, and what the others hear."""

import math
import os
import subprocess
import sys
import threading

import pytest

from dfly.errors import Cancelled, OutputError
from dfly.store.lock import Lock

HOLD = """
import sys
from dfly.store.lock import Lock
lock = Lock(sys.argv[1])
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock on `tmp_path/p/data`."""
    path = str(tmp_path / "p" / "data")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_hears_who_has_it(tmp_path, holder):
    with pytest.raises(OutputError, match=rf"in use by another dfly \(pid {holder.pid}\)") as told:
        Lock(str(tmp_path / "p" / "data")).acquire()
    assert "run the same command again" in told.value.hint


def test_a_killed_holder_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    lock = Lock(str(tmp_path / "p" / "data"))
    lock.acquire()
    assert lock.fd >= 0
    lock.release()
    assert lock.fd == -1


def test_a_waiter_gets_the_lock_when_the_holder_ends(tmp_path, holder):
    holder.stdin.close()
    lock = Lock(str(tmp_path / "p" / "data"))
    lock.acquire(wait=math.inf)
    lock.release()


def test_a_waiter_can_be_cancelled(tmp_path, holder):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        Lock(str(tmp_path / "p" / "data")).acquire(wait=math.inf, cancel=cancel)


def test_two_locks_of_one_process_exclude_each_other(tmp_path):
    first, second = Lock(str(tmp_path / "data")), Lock(str(tmp_path / "data"))
    first.acquire()
    with pytest.raises(OutputError, match=f"pid {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_of_a_file_that_was_moved_away_is_not_the_lock_of_its_path(tmp_path):
    path = str(tmp_path / "p" / "data")
    first, second = Lock(path), Lock(path)
    first.acquire()
    os.rename(path, tmp_path / "final")
    second.acquire()
    assert not os.path.samestat(os.fstat(first.fd), os.fstat(second.fd))
    first.release()
    second.release()


def test_a_link_in_the_file_s_place_is_not_followed(tmp_path):
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        Lock(str(tmp_path / "data")).acquire()
    assert not (tmp_path / "elsewhere").exists()
