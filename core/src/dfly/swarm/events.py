"""What a swarm session says, as frozen values. Addresses are `(host, port)` pairs as the socket shows them."""

from errno import EDQUOT, ENOSPC

import attrs

from dfly.errors import OutputError

Address = tuple[str, int]


@attrs.frozen(order=True)
class SegmentKey:
    """The torrent of one segment of a blob."""

    blob: str
    index: int


@attrs.frozen(order=True)
class WholeKey:
    """The torrent of a whole blob; with a file's `name` the one for stock clients."""

    blob: str
    name: str = ""


Key = SegmentKey | WholeKey


@attrs.frozen
class SwarmEvent:
    """Something that happened in the session, once."""


@attrs.frozen
class Listening(SwarmEvent):
    """The session accepts peers on `port` of `address`."""

    address: str
    port: int


@attrs.frozen
class ListenFailed(SwarmEvent):
    """The session cannot accept peers on `port` of `address`."""

    address: str
    port: int
    reason: str


@attrs.frozen
class SegmentReadable(SwarmEvent):
    """All pieces of the segment are checked and can be read from the file. Only for segments that were fetched."""

    key: SegmentKey


@attrs.frozen
class WholeReadable(SwarmEvent):
    """All pieces of a blob fetched by its whole torrent are checked and can be read from the file."""

    key: WholeKey


@attrs.frozen
class PieceFailed(SwarmEvent):
    """A piece did not match its hash and is fetched again. From whom it came, where libtorrent knows, PeerBanned says."""

    key: Key
    piece: int


@attrs.frozen
class PeerBanned(SwarmEvent):
    """A peer, or a web seed, sent wrong bytes: of `piece` (a number within the blob), or None where that is not known.

    Not `certain` where others sent parts of the wrong pieces too: libtorrent bans whoever had a part in four of them.
    libtorrent's ban is per torrent and by port: `Swarm.deny` makes it hold.
    """

    key: Key
    address: Address
    piece: int | None = None
    web_seed: bool = False
    certain: bool = True


@attrs.frozen
class Flooded(SwarmEvent):
    """A host held open more connections to this session than any use explains, and was denied."""

    host: str
    connections: int


@attrs.frozen
class PeerConnected(SwarmEvent):
    """A connection to a peer or web seed of this torrent stands, whoever dialled. An incoming one has an ephemeral port."""

    key: Key
    address: Address


@attrs.frozen
class PeerDisconnected(SwarmEvent):
    """A connection of this torrent is gone, or could not be made."""

    key: Key
    address: Address
    reason: str


@attrs.frozen
class WebSeedFailed(SwarmEvent):
    """The torrent will not ask `url` again, whatever the reason, until `Swarm.renew_web_seed`."""

    key: Key
    url: str
    reason: str


@attrs.frozen
class StorageFailed(SwarmEvent):
    """The file cannot be written or read. The torrent stays stopped: remove it, and add it again once that is mended."""

    key: Key
    reason: str
    errno: int

    def as_error(self) -> OutputError:
        """What a task that needs the file fails with."""
        hint = "free some space and run the same command again" if self.errno in (ENOSPC, EDQUOT) else ""
        return OutputError(f"{self.key.blob}: {self.reason}", hint=hint)


@attrs.frozen
class AlertsDropped(SwarmEvent):
    """The session had more to say than its queue holds. Finished torrents are found again; other events are lost."""
