"""One process at a time: a lock on a file, which the kernel releases when its holder dies, however it dies.

The file itself is locked, there is no lock file beside it: creating a file on ext4 is slow while many have just been
deleted, and thousands of short-lived lock files cost seconds. The holder may rename or remove the file; a waiter would
then get the lock of a file that is no longer at `path`, so whoever gets it checks that the path still names the file.
"""

import errno
import fcntl
import os
import threading
import time

from dfly.errors import Cancelled, InUse

_POLL_SECONDS = 0.1
#: Some network file systems know no locks; a download there is worth more than the guard.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class Lock:
    """An exclusive lock on the file `path`, made with its folders if missing, open as `fd` while the lock is held.

    Two `Lock`s of one process exclude each other too. `fd` is -1 while the lock is not held.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = -1

    def acquire(self, *, wait: float = 0.0, cancel: threading.Event | None = None) -> None:
        """Take the lock, waiting up to `wait` seconds (`math.inf`: for ever) for another holder.

        Raises InUse where another dfly holds it to the end, Cancelled once `cancel` is set, and OSError.
        """
        cancel = cancel or threading.Event()
        deadline = time.monotonic() + wait
        while not self._try():
            if time.monotonic() >= deadline:
                raise InUse(
                    f"{os.path.dirname(self.path)} is in use by another dfly{_holder(self.path)}",
                    hint="wait until it has finished, then run the same command again",
                )
            if cancel.wait(_POLL_SECONDS):
                raise Cancelled

    def release(self) -> None:
        """Close the file and give the lock back. Harmless where it is not held. Raises OSError, for what a network file system
        says at the close only.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _try(self) -> bool:
        while True:
            try:
                fd = _open(self.path)
            except (FileNotFoundError, FileExistsError):  # the last holder removed the folder a moment ago
                if os.path.islink(os.path.dirname(self.path)):  # to nowhere: it will not come back
                    raise
                continue
            try:
                locked = _flock(fd)
                if locked and self._names(fd):
                    self.fd = fd
                    return True
            finally:
                if self.fd != fd:
                    os.close(fd)
            if not locked:
                return False

    def _names(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path, follow_symlinks=False), os.fstat(fd))
        except FileNotFoundError:
            return False


def _open(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return os.open(path, flags, 0o666)


def _flock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _holder(path: str) -> str:
    """The holder as " (pid 123)" where the kernel tells (Linux), else nothing."""
    try:
        inode = str(os.stat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            held = [line.split() for line in file if " FLOCK " in line and "->" not in line]
    except OSError:
        return ""
    pids = [fields[4] for fields in held if fields[5].rpartition(":")[2] == inode and fields[4].isdigit()]
    return f" (pid {pids[0]})" if pids else ""
