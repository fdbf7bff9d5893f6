"""A file made from an open descriptor that somebody else lent: shared blocks, another name of the same file, or a copy.

The lender's file is never opened for writing. A reflink costs nothing and is independent of the original; where the file system
has none, the kernel copies. A hard link is one file with two names: who writes into it writes into the lender's, so it is made
only when asked for, and only of a file that belongs to the same user anyway.
"""

import contextlib
import errno
import fcntl
import math
import os
import stat
from typing import Literal

from dfly.errors import OutputError
from dfly.store.lock import Lock

Link = Literal["auto", "hard"]

#: ioctl FICLONE: share all blocks of another file.
_FICLONE = 0x40049409
_AT_ONCE = 64 << 20
_NO_COPY_RANGE = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM)


def make_from(fd: int, final: str, *, hidden: str, link: Link = "auto") -> None:
    """Make `final` the content of the open file `fd`, in one step; `hidden` is its name meanwhile. Raises OutputError."""
    try:
        if link == "hard" and _linked(fd, final, hidden):
            return
        _copied(fd, final, hidden)
    except OSError as error:
        raise OutputError.from_os(error, final) from error


def _linked(fd: int, final: str, hidden: str) -> bool:
    """Another name of the same file; False where that cannot be, or would hand this user's name a stranger's file."""
    info = os.fstat(fd)
    if info.st_uid != os.geteuid() or not stat.S_ISREG(info.st_mode) or not info.st_nlink:
        return False
    name = f"{hidden}.link"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        _link(fd, name)
        os.replace(name, final)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOENT, errno.EOPNOTSUPP):
            return False
        raise
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)  # a rename onto another name of the same file leaves both
    return True


def _link(fd: int, name: str) -> None:
    # by way of a folder's descriptor: without one, link() names the link in /proc instead of what it leads to
    own = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(str(fd), name, src_dir_fd=own, follow_symlinks=True)
    finally:
        os.close(own)


def _copied(fd: int, final: str, hidden: str) -> None:
    lock = Lock(hidden)
    try:
        lock.acquire(wait=math.inf)
        os.ftruncate(lock.fd, 0)
        try:
            fcntl.ioctl(lock.fd, _FICLONE, fd)
        except OSError:
            _copy(fd, lock.fd, os.fstat(fd).st_size)
        os.replace(hidden, final)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(hidden)
        raise
    finally:
        lock.release()


def _copy(source: int, target: int, size: int) -> None:
    """All bytes, in the kernel where it can, leaving holes as holes."""
    os.ftruncate(target, size)
    at = 0
    while at < size:
        start, stop = _data(source, at, size)
        _copy_range(source, target, start, stop)
        at = stop


def _data(fd: int, at: int, size: int) -> tuple[int, int]:
    """The next stretch from `at` on that is no hole; an empty one at the end where there is none."""
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
        return start, min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (at, size)


def _copy_range(source: int, target: int, start: int, stop: int) -> None:
    while start < stop:
        try:
            count = os.copy_file_range(source, target, min(stop - start, _AT_ONCE), start, start)
        except OSError as error:
            if error.errno not in _NO_COPY_RANGE:
                raise
            os.lseek(target, start, os.SEEK_SET)
            count = os.sendfile(target, source, start, min(stop - start, _AT_ONCE))
        if not count:
            raise OSError(0, f"the file ends at {start}, before {stop}: something else cut it short")
        start += count
