"""What the audit of 2023 found in another system, as far as no other test is about it."""

import errno
import os

import pytest

from dfly.errors import OutputError
from dfly.output.place import place
from dfly.output.receipt import matches
from dfly.store.partial import Partial
from dfly.values import Digest, Entry

SIZE = 100


@pytest.fixture
def complete(tmp_path):
    """A partial of which everything has been written."""
    partial = Partial.open(str(tmp_path / "p"), blob="b", size=SIZE, validator="v")
    with partial.writer(0, SIZE) as writer:
        writer.write(bytes(SIZE))
    return partial


def test_what_a_close_says_is_heard_and_vouched_for_by_nobody(complete, tmp_path, monkeypatch):
    """A network file system may say only then that the disk is full."""
    close, data, final = os.close, complete.fd, str(tmp_path / "out" / "model.bin")

    def failing(fd):
        close(fd)
        if fd == data:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    entry = Entry(path="model.bin", size=SIZE, url="u", identity="i", digests=(Digest("sha256", "0" * 64),))
    monkeypatch.setattr("dfly.store.lock.os.close", failing)
    with pytest.raises(OutputError, match="quota"):
        place(complete.commit, final, entry=entry)
    monkeypatch.undo()
    assert not matches(final, entry)
