"""A file of any size passes through a process that stays small."""

import json
import os
import shutil
import signal

import pytest

from dfly_hf.testing import File

GB = 10**9
SIZE = 20 * GB


def peak_memory(pid: int) -> int:
    """Bytes; of this program only, where wait4 would also count what its parent held when it was forked."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.long
def test_twenty_gigabytes_pass_through_less_than_two_hundred_megabytes(hub, dfget, here, tmp_path):
    if shutil.disk_usage(here).free < SIZE + 5 * GB:
        pytest.skip("needs 25 GB of free disk")
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(SIZE)
    hub.repo("o/r", {"model.bin": File.of(sparse, sha256="0" * 64)})
    process = dfget.start("hf://o/r/model.bin", "--json")
    arrived = peak = 0
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "bytes.arrived":
            arrived += event["bytes"]
        if event["event"] == "segment.finished":
            peak = max(peak, peak_memory(process.pid))
        if arrived > 2 * GB:
            break
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert 0 < peak < 200 * 10**6
    for data in here.rglob("data"):
        os.unlink(data)
