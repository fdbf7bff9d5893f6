"""The event stream: what a seed peer tells the nodes of a task, one JSON object a line."""

from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from dfly.wire.fields import (
    Address,
    addresses,
    count,
    dumps,
    file_name,
    get,
    hashes_of,
    ip,
    parsed,
    plain,
    seconds,
    strings,
    word,
)

LONGEST_LINE = 1 << 20


@attrs.frozen(kw_only=True)
class Message:
    """One line of the event stream. `seq` numbers the lines that all nodes of a task see alike; 0 for one node's own."""

    kind: ClassVar[str] = ""
    seq: int = 0

    def encode(self) -> bytes:
        """One JSON line, newline included."""
        fields = {k: plain(v) for k, v in attrs.asdict(self, recurse=False).items() if v not in (None, ())}
        return dumps({"t": self.kind, **fields}) + b"\n"


@attrs.frozen(kw_only=True)
class Hello(Message):
    """First line. `grant` opens the web seed until `expires` (Unix seconds); resume with `?after=<epoch>.<seq>`.

    `seed_peers` are the addresses of web seeds, which a node's filter must let through. `heartbeat` is in seconds.
    """

    kind = "hello"
    epoch: str
    grant: str
    expires: float
    seed_peers: tuple[str, ...] = ()
    heartbeat: float = 5.0


@attrs.frozen(kw_only=True)
class Segment(Message):
    """Segment `index` of `blob` (of `size` bytes) can be had: `hashes` are 20 bytes (SHA-1) for each of its pieces.

    `attempt` counts from 1; a withdrawn blob comes again with the next. `mac` lets another seed peer trust a node's replay.
    """

    kind = "segment"
    blob: str
    index: int
    size: int
    hashes: bytes
    attempt: int = 1
    mac: str = ""


@attrs.frozen(kw_only=True)
class Blob(Message):
    """`state` "complete" (with the SHA-256 the seed peer computed; all hashes by one GET) or "withdrawn" (forget it)."""

    kind = "blob"
    blob: str
    state: str
    size: int = 0
    attempt: int = 1
    sha256: str = ""


@attrs.frozen(kw_only=True)
class Failed(Message):
    """The seed peer gives up on `blob` (empty: on the task). `error` is a class name of dfly.errors."""

    kind = "error"
    blob: str = ""
    error: str
    message: str
    hint: str = ""


@attrs.frozen(kw_only=True)
class Ring(Message):
    """The node's neighbours now, and whom else to let in. Replaces what was said before.

    `stand_ins` are the control addresses of nodes that may take the seed peer's place, the first first, if all are gone.
    """

    kind = "ring"
    neighbours: tuple[Address, ...] = ()
    admitted: tuple[Address, ...] = ()
    members: int = 1
    stand_ins: tuple[Address, ...] = ()


@attrs.frozen(kw_only=True)
class EntryDuty(Message):
    """This node brings segment `index` of `blob` into the ring: it takes it from the web seed."""

    kind = "entry"
    blob: str
    index: int


@attrs.frozen(kw_only=True)
class Released(Message):
    """Both neighbours have everything: nobody needs this node any more."""

    kind = "released"


@attrs.frozen(kw_only=True)
class Needs(Message):
    """Nobody near this node needs any segment of the blobs that are `over` from it, and somebody those it is to serve `again`.

    Of others what was said last holds; on a new stream all are needed until it is said that they are not.
    """

    kind = "needs"
    over: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Doubted(Message):
    """Another node got wrong bytes of segment `index` of `blob` from this one: it is to look at what its disk gives."""

    kind = "doubted"
    blob: str
    index: int


@attrs.frozen(kw_only=True)
class Outsider(Message):
    """A stock BitTorrent client at `host`, an IP address, is to have `blob` under `name` for the next `seconds`.

    A node that holds it whole lets the host in, serves the torrent of that name, and says `number` in Report.opened.
    """

    kind = "outsider"
    number: int
    blob: str
    name: str
    host: str
    seconds: float


@attrs.frozen(kw_only=True)
class Heartbeat(Message):
    """The stream is alive. `waiting_for` says what the seed peer itself waits for, empty when all is well."""

    kind = "heartbeat"
    waiting_for: str = ""


def decode_message(line: bytes) -> Message | None:
    """One line of the event stream; None for a kind this release does not know. Raises WireError."""
    d = parsed(line, cap=LONGEST_LINE)
    read = DECODERS.get(get(d, "t", str))
    return read(d) if read else None


def segment_of(d: dict[str, Any]) -> Segment:
    """The fields of a segment. Raises WireError."""
    return Segment(
        seq=get(d, "seq", int, 0),
        blob=get(d, "blob", str),
        index=count(d, "index"),
        size=count(d, "size"),
        hashes=hashes_of(d),
        attempt=get(d, "attempt", int, 1),
        mac=get(d, "mac", str, ""),
    )


#: What reads each kind.
DECODERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": lambda d: Hello(
        epoch=get(d, "epoch", str),
        grant=word(d, "grant"),
        expires=seconds(d, "expires"),
        seed_peers=tuple(map(ip, strings(d, "seed_peers"))),
        heartbeat=seconds(d, "heartbeat", 5.0),
    ),
    "segment": segment_of,
    "blob": lambda d: Blob(
        seq=get(d, "seq", int, 0),
        blob=get(d, "blob", str),
        state=get(d, "state", str),
        size=count(d, "size", 0),
        attempt=get(d, "attempt", int, 1),
        sha256=get(d, "sha256", str, ""),
    ),
    "error": lambda d: Failed(
        seq=get(d, "seq", int, 0),
        blob=get(d, "blob", str, ""),
        error=get(d, "error", str),
        message=get(d, "message", str),
        hint=get(d, "hint", str, ""),
    ),
    "ring": lambda d: Ring(
        neighbours=addresses(d, "neighbours"),
        admitted=addresses(d, "admitted"),
        members=get(d, "members", int, 1),
        stand_ins=addresses(d, "stand_ins"),
    ),
    "entry": lambda d: EntryDuty(blob=get(d, "blob", str), index=count(d, "index")),
    "released": lambda _: Released(),
    "needs": lambda d: Needs(over=strings(d, "over"), again=strings(d, "again")),
    "doubted": lambda d: Doubted(blob=get(d, "blob", str), index=count(d, "index")),
    "outsider": lambda d: Outsider(
        number=count(d, "number"),
        blob=get(d, "blob", str),
        name=file_name(d, "name"),
        host=ip(get(d, "host", str)),
        seconds=seconds(d, "seconds"),
    ),
    "heartbeat": lambda d: Heartbeat(waiting_for=get(d, "waiting_for", str, "")),
}
