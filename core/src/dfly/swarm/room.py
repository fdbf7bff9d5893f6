"""Room on the disk, taken before libtorrent writes: it must not be the one who finds the disk full.

It clears a piece whose write has failed while its hashing thread may be at work on it (see `leaving`), and the torrent
stops for good. Here nothing was asked for yet. File systems that keep no room for a file leave it to libtorrent.
"""

import ctypes
import errno
import os
from collections.abc import Callable

from dfly.errors import OutputError

#: The length of the file stays as it is.
_KEEP_SIZE = 1
#: What is no reason to stop before anything was written is left for the writing itself to find.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def take_room(path: str, start: int, stop: int) -> None:
    """Have the disk keep bytes `[start, stop)` of `path` free for it; the file is made where it is missing.

    Bytes that are there stay. Raises OutputError where there is no room.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _allocate(fd, start, stop - start)
        finally:
            os.close(fd)
    except OSError as error:
        raise OutputError.from_os(error, path, kept="what had arrived is kept") from error


def _fallocate() -> Callable[[int, int, int, int], int] | None:
    """Linux's call; Python's `posix_fallocate` would write zeroes where the file system cannot do it."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return call


_CALL = _fallocate()


def _allocate(fd: int, offset: int, length: int) -> None:
    while _CALL is not None and _CALL(fd, _KEEP_SIZE, offset, length):
        code = ctypes.get_errno()
        if code in _FATAL:
            raise OSError(code, os.strerror(code))
        if code != errno.EINTR:
            return
