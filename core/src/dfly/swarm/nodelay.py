"""TCP_NODELAY and TCP_USER_TIMEOUT on the session's sockets, which libtorrent never sets.

A fresh link exchanges half a dozen short messages before the first request; with Nagle and delayed acknowledgements each
of them may wait 40 ms, longer than a segment takes. And TCP, having sent into a cut cable for a quarter of a minute, waits as
long again before it tries once more, while a new connection would stand at once: so one that nobody acknowledges anything on
is given up. Linux copies both from a listening socket to those it accepts, so only dialled sockets have to be looked for.
"""

import contextlib
import os
import socket
import stat
import time
from collections.abc import Callable, Collection

import attrs

from dfly.swarm.events import Address

#: Milliseconds without an acknowledgement after which a connection is given up.
UNACKNOWLEDGED = 6000


@attrs.frozen
class _Known:
    """A socket seen before, by inode. `peer` is None while it has no other end; `done` once nothing is left to do for it."""

    inode: int
    peer: Address | None
    done: bool

    def settled(self, peers: set[Address]) -> bool:
        """Whether another look at it is of no use, even though `peers` were named since."""
        return self.done or (self.peer is not None and self.peer not in peers)


class NoDelay:
    """Sets the flag on sockets of this process that belong to a session, and on no others.

    `ports` are the session's own. A socket is the session's if it has one of these or its other end was named to `expect`.
    Looks at the descriptor table are `interval` seconds apart, or more where they would cost more than `share` of a core.
    """

    def __init__(
        self,
        ports: Collection[int],
        *,
        interval: float = 0.05,
        share: float = 0.05,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ports = frozenset(ports)
        self._interval = interval
        self._share = share
        self._clock = clock
        self._expected: set[Address] = set()
        self._known: dict[int, _Known] = {}
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
        began = self._clock()
        if self._expected and began >= self._next:
            self.scan()
            self._next = began + max(self._interval, (self._clock() - began) / self._share)

    def scan(self) -> None:
        """Look through the descriptors now. An old one costs one system call."""
        peers, self._expected = self._expected, set()
        known: dict[int, _Known] = {}
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                status = os.fstat(fd)
                if stat.S_ISSOCK(status.st_mode):
                    old = self._known.get(fd)
                    settled = old is not None and old.inode == status.st_ino and old.settled(peers)
                    known[fd] = old if old is not None and settled else self._examine(fd, peers)
            except OSError:  # closed since it was listed
                continue
        self._known = known

    def _examine(self, fd: int, peers: set[Address]) -> _Known:
        # a copy of the descriptor stays this socket even if the session closes its own and the number is used again
        with socket.socket(fileno=os.dup(fd)) as copy:
            inode = os.fstat(copy.fileno()).st_ino
            if copy.type != socket.SOCK_STREAM or copy.family not in (socket.AF_INET, socket.AF_INET6):
                return _Known(inode, None, done=True)
            peer = _other_end(copy)
            mine = copy.getsockname()[1] in self._ports or peer in peers
            if mine:
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
            return _Known(inode, peer, done=mine)


def _other_end(sock: socket.socket) -> Address | None:
    with contextlib.suppress(OSError):  # listening, or not connected yet
        return _plain(sock.getpeername())
    return None


def _plain(address: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return address[0].partition("%")[0], address[1]
