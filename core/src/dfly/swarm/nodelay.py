"""TCP_NODELAY on the session's sockets, which libtorrent never sets.

A fresh link exchanges half a dozen short messages before the first request; with Nagle and delayed acknowledgements each
of them may wait 40 ms, longer than a segment takes. Linux copies the flag from a listening socket to those it accepts, so
only dialled sockets have to be looked for.
"""

import contextlib
import os
import socket
import stat
import time
from collections.abc import Callable, Collection

from dfly.swarm.events import Address


class NoDelay:
    """Sets the flag on sockets of this process that belong to a session, and on no others.

    `ports` are the session's own. A socket is the session's if it has one of these or its other end was named to `expect`.
    `interval` seconds lie between two looks at the descriptor table.
    """

    def __init__(
        self, ports: Collection[int], *, interval: float = 0.05, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ports = frozenset(ports)
        self._interval = interval
        self._clock = clock
        self._expected: set[Address] = set()
        self._done: dict[int, int] = {}
        self._next = 0.0

    @property
    def waiting(self) -> bool:
        """Whether a look is due."""
        return bool(self._expected)

    def expect(self, peer: Address) -> None:
        """A connection to `peer` stands and is to be found at the next look."""
        self._expected.add(_plain(peer))

    def look(self) -> None:
        """Look through the descriptors, unless nothing is expected or the last look was just now."""
        now = self._clock()
        if self._expected and now >= self._next:
            self._next = now + self._interval
            self.scan()

    def scan(self) -> None:
        """Look through the descriptors now. A socket that has the flag is not examined again."""
        peers, self._expected = self._expected, set()
        done: dict[int, int] = {}
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            with contextlib.suppress(OSError):  # closed since it was listed
                status = os.fstat(fd)
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                if self._done.get(fd) == status.st_ino or self._set(fd, peers):
                    done[fd] = status.st_ino
        self._done = done

    def _set(self, fd: int, peers: set[Address]) -> bool:
        """Set the flag if the socket is the session's; returns whether it was."""
        # a copy of the descriptor stays this socket even if the session closes its own and the number is used again
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as copy:
            if copy.type != socket.SOCK_STREAM or copy.family not in (socket.AF_INET, socket.AF_INET6):
                return False
            if copy.getsockname()[1] in self._ports or _plain(copy.getpeername()) in peers:
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return True
        return False


def _plain(address: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return address[0].partition("%")[0], address[1]
