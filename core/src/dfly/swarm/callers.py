"""Who calls this session, and who calls too often.

A session has room for so many connections. A host that opens and keeps a thousand of them, named neighbour or not, would take
the room of all others; libtorrent has no limit of its own for that where several peers may share an address, as they may here.
"""

from collections.abc import Iterator

import attrs

from dfly.swarm.events import Address, Flooded

#: Connections that one host may hold, besides those that its torrents explain: a node has at most two to each torrent here.
FREE, PER_TORRENT = 512, 4


@attrs.define
class Callers:
    """The incoming connections that are open, by host."""

    _open: dict[str, set[int]] = attrs.field(factory=dict)

    def called(self, address: Address, *, torrents: int) -> Iterator[Flooded]:
        """A connection from `address` was accepted; says where that is one too many, for a session in so many `torrents`."""
        host, port = address
        ports = self._open.setdefault(host, set())
        ports.add(port)
        if len(ports) > FREE + PER_TORRENT * torrents:
            # counted anew from here, so that it is said once and not with every further connection
            del self._open[host]
            yield Flooded(host, len(ports))

    def hung_up(self, address: Address) -> None:
        """A connection to `address` is gone, whoever made it."""
        host, port = address
        ports = self._open.get(host)
        if ports is not None:
            ports.discard(port)
            if not ports:
                del self._open[host]

    def forget(self) -> None:
        """Some of what happened was not told: count anew."""
        self._open.clear()
