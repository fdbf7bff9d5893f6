"""Small files, and second outputs of one content, written so that each is either not there or complete.

Neither has a partial. Each is written under a hidden name that follows from the content, so that what a killed process leaves
is used up by the next run; a lock keeps two runs from writing into each other's file.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from dfly.errors import OutputError
from dfly.store.lock import Lock


def write_at_once(data: bytes | bytearray | memoryview, final: str, *, hidden: str) -> None:
    """Write `data` to `final`; `hidden` is the name it has meanwhile. Raises OutputError."""
    with _under(hidden, final) as lock:
        if os.fstat(lock.fd).st_size:  # what a killed process left
            os.ftruncate(lock.fd, 0)
        left, at = memoryview(data), 0
        while at < len(left):
            at += os.pwrite(lock.fd, left[at:], at)


def copy_at_once(source: str, final: str, *, hidden: str) -> None:
    """Copy the file `source` to `final`; `hidden` is the name it has meanwhile. Raises OutputError."""
    with _under(hidden, final):
        shutil.copyfile(source, hidden)


@contextmanager
def _under(hidden: str, final: str) -> Iterator[Lock]:
    """The file `hidden`, locked; afterwards it is `final`, or after an OSError gone."""
    lock = Lock(hidden)
    try:
        lock.acquire(wait=math.inf)
        yield lock
        os.replace(hidden, final)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(hidden)
        raise OutputError.from_os(error, final) from error
    finally:
        lock.release()
