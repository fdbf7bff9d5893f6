"""The unix socket: who may connect, and whether it is a dfget or speaks HTTP.

The kernel says who is at the other end, so there is nothing to log in with. The folder keeps out whoever is not allowed at all;
the user id is looked at all the same, because a folder's mode is easily changed by accident.
"""

import contextlib
import errno
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Collection

import structlog

from dfly.daemon.admission import Caller
from dfly.errors import OutputError, UsageError

_log = structlog.get_logger(__name__)

#: Connections at once, and seconds until one must have said its first byte.
_MOST, _SILENT = 512, 10.0

Take = Callable[[socket.socket, Caller], None]


class Front:
    """Listens at `path` from `open` until `close`.

    `users` are the ids that may connect besides this process's own and root; None: everybody. `visit` serves a dfget, in a
    thread of its own; `http` takes over a connection that begins like HTTP. Both own the socket from then on.
    """

    def __init__(self, path: str, *, users: Collection[int] | None, visit: Take, http: Take) -> None:
        self.path = os.path.abspath(path)
        self._users, self._visit, self._http = users, visit, http
        self._socket: socket.socket | None = None
        self._mine: tuple[int, int] | None = None
        self._room = threading.BoundedSemaphore(_MOST)
        self._visits: set[threading.Thread] = set()

    def open(self) -> None:
        """Begin to accept. Raises UsageError where the path is taken, OutputError where it cannot be made."""
        shared = self._users is None or bool(set(self._users) - {os.geteuid(), 0})
        try:
            self._make_folder(shared=shared)
            self._socket = self._bound(0o666 if shared else 0o600)
        except OSError as error:
            raise OutputError.from_os(error, self.path) from error
        threading.Thread(target=self._accept, args=(self._socket,), name="dfly-front", daemon=True).start()

    def close(self, *, seconds: float = 5.0) -> None:
        """Accept nobody any more, and wait for those who are being served; they have been told to come to an end."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        with contextlib.suppress(OSError):
            info = os.stat(self.path, follow_symlinks=False)
            if (info.st_dev, info.st_ino) == self._mine:
                os.unlink(self.path)
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for thread in tuple(self._visits):
            thread.join(seconds)

    def _make_folder(self, *, shared: bool) -> None:
        folder = os.path.dirname(self.path)
        with contextlib.suppress(FileExistsError):
            os.makedirs(folder, mode=0o755 if shared else 0o700)
        info = os.stat(folder)
        if info.st_mode & 0o022 and not info.st_mode & stat.S_ISVTX:
            raise UsageError(
                f"{folder} can be written by others: they could put a socket of their own there",
                hint="choose another place with --socket",
            )

    def _bound(self, mode: int) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove_stale()
            # under another name first, so that it is never there with another mode; a short one: the kernel takes 107 bytes
            hidden = os.path.join(os.path.dirname(self.path), f".{os.getpid()}")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)
            listening.bind(hidden)
            os.chmod(hidden, mode)
            listening.listen(_MOST)
            info = os.stat(hidden, follow_symlinks=False)
            self._mine = (info.st_dev, info.st_ino)
            os.rename(hidden, self.path)
        except BaseException:
            listening.close()
            raise
        return listening

    def _remove_stale(self) -> None:
        """Raise UsageError unless what is there is the socket of a daemon that is gone."""
        try:
            if not stat.S_ISSOCK(os.stat(self.path, follow_symlinks=False).st_mode):
                raise UsageError(f"{self.path} is there and is no socket", hint="choose another place with --socket")
        except FileNotFoundError:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(self.path)
            except OSError as error:
                if error.errno in (errno.ECONNREFUSED, errno.ENOENT):
                    return
                raise
        raise UsageError(
            f"another dfdaemon listens at {self.path}", hint="stop it, or choose another place with --socket"
        )

    def _accept(self, listening: socket.socket) -> None:
        while self._socket is listening:
            try:
                connected, _ = listening.accept()
            except OSError as error:
                if self._socket is not listening:
                    return
                _log.warning("accept.failed", cause=os.strerror(error.errno or 0))
                time.sleep(0.1)  # out of descriptors: until somebody leaves
                continue
            self._room.acquire()
            thread = threading.Thread(target=self._greet, args=(connected,), name="dfly-visit", daemon=True)
            self._visits.add(thread)
            try:
                thread.start()
            except RuntimeError as error:
                # no room for another thread: whoever came goes by itself, and the next one may be served
                _log.warning("visit.refused", cause=str(error))
                self._visits.discard(thread)
                connected.close()
                self._room.release()

    def _greet(self, connected: socket.socket) -> None:
        try:
            caller = caller_of(connected)
            if not self._allowed(caller.uid):
                _log.warning("caller.refused", uid=caller.uid)
                connected.close()
                return
            connected.settimeout(_SILENT)
            first = connected.recv(1, socket.MSG_PEEK)
            if not first:
                connected.close()
            elif first == b"{":
                self._visit(connected, caller)
            else:
                self._http(connected, caller)
        except OSError:
            connected.close()
        finally:
            self._visits.discard(threading.current_thread())
            self._room.release()

    def _allowed(self, uid: int) -> bool:
        return self._users is None or uid in (0, os.geteuid()) or uid in self._users


def caller_of(connected: socket.socket) -> Caller:
    """Who is at the other end, as the kernel noted when it connected. Raises OSError."""
    pid, uid, _ = struct.unpack(
        "3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return Caller(uid=uid, pid=pid)
