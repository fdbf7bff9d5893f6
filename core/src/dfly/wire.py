"""The control plane's messages: what a node and a seed peer say to each other, as frozen values with a JSON form.

Nothing parsed from the wire is used without passing through here: every message has a schema and a size cap, unknown fields
are ignored (a newer peer may send them), missing ones are an error that names the field.

    POST /v1/snapshots                    Ask          → Resolved
    GET  /v1/snapshots/{task}/events      Join (query) → NDJSON of Message
    POST /v1/snapshots/{task}/report      Report       → Advice
    POST /v1/snapshots/{task}/have        Have         → how many were believed
    GET  /v1/snapshots/{task}/hashes/{blob}            → 20 bytes a piece, of a complete blob
    GET  /v1/blobs/{grant}/{blob}                      → the web seed

A *task* is a selection of a snapshot's entries: all nodes that ask for the same selection meet in one ring. Its id is the id of
the selected snapshot, with a random tail where its content is not pinned.
"""

import base64
import ipaddress
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import attrs

from dfly.errors import DflyError
from dfly.values import LAYOUT_VERSION, Digest, Entry, Snapshot

#: Spoken by this release; a seed peer answers a node of the version before it as well.
WIRE_VERSION = 1
LONGEST_LINE = 1 << 20
LONGEST_BODY = 8 << 20
#: A snapshot of a million files is the largest that is passed on.
LONGEST_SNAPSHOT = 512 << 20
#: One that a node carries to another seed peer may be shorter: there it is a stranger's word until it is parsed.
LONGEST_CARRIED = 64 << 20
#: Prefix of the headers that carry backend options: X-Dfly-Option-<flag without dashes>, for example …-gopher-token.
OPTION_HEADER = "X-Dfly-Option-"
#: With it a node shows the ticket of a private task where it asks for the event stream.
TICKET_HEADER = "X-Dfly-Ticket"
#: Segments that one report may name: some two thousand of the largest blobs.
MOST_HELD = 1 << 20
_LARGEST = 1 << 60
_LONGEST_HASHES = 20 * 16
#: Task ids and grants become part of a URL's path.
_WORD = re.compile(r"[A-Za-z0-9_-]{1,512}")
_DIGEST = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{8,128}")

Address = tuple[str, int]
T = TypeVar("T")


class WireError(DflyError):
    """A message that does not follow the protocol."""

    def __init__(self, what: str) -> None:
        super().__init__(f"bad message: {what}", hint="are the seed peer and this node of neighbouring versions?")


@attrs.frozen(kw_only=True)
class Ask:
    """What a node wants: `url` and the choice of files below it (`dfly.globs`).

    `known` is what another seed peer, or this one before it was restarted, has answered: its seal spares the hub a question.
    """

    url: str
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    known: "Resolved | None" = None
    version: int = WIRE_VERSION

    def encode(self) -> bytes:
        """The JSON body."""
        fields = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name != "known")
        # the ticket is for the seed peer that gave it, and this may go to another node
        known = {"known": attrs.evolve(self.known, ticket="").as_json()} if self.known else {}
        return _dumps(fields | known)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = _object(body, cap=LONGEST_CARRIED)
        known = _get(d, "known", dict, {})
        return cls(
            known=Resolved.from_json(known) if known else None,
            url=_get(d, "url", str),
            recursive=_get(d, "recursive", bool, False),
            include=_strings(d, "include"),
            exclude=_strings(d, "exclude"),
            version=_get(d, "version", int, 1),
        )


@attrs.frozen(kw_only=True)
class Resolved:
    """The seed peer's answer to Ask: the selected snapshot and the id of its task.

    `seal` lets another seed peer of the cluster believe it from a node, for that node's own secrets only. `ticket` opens the
    event stream of a private task at this seed peer.
    """

    task: str
    snapshot: Snapshot
    seal: str = attrs.field(default="", repr=False)
    ticket: str = attrs.field(default="", repr=False)

    def as_json(self) -> dict[str, Any]:
        """The JSON form."""
        own = {"seal": self.seal, "ticket": self.ticket}
        return {"task": self.task, "snapshot": snapshot_to_json(self.snapshot), **own}

    def encode(self) -> bytes:
        """The JSON body."""
        return _dumps(self.as_json())

    @classmethod
    def from_json(cls, d: Mapping[str, Any]) -> Self:
        """Raises WireError."""
        return cls(
            task=_word(d, "task"),
            snapshot=snapshot_from_json(_get(d, "snapshot", dict)),
            seal=_get(d, "seal", str, ""),
            ticket=_word(d, "ticket") if d.get("ticket") else "",
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        return cls.from_json(_object(body, cap=LONGEST_SNAPSHOT))


@attrs.frozen(kw_only=True)
class Message:
    """One line of the event stream. `seq` numbers the lines that all nodes of a task see alike; 0 for one node's own."""

    kind: ClassVar[str] = ""
    seq: int = 0

    def encode(self) -> bytes:
        """One JSON line, newline included."""
        fields = {k: _plain(v) for k, v in attrs.asdict(self, recurse=False).items() if v not in (None, ())}
        return _dumps({"t": self.kind, **fields}) + b"\n"


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
class Doubted(Message):
    """Another node got wrong bytes of segment `index` of `blob` from this one: it is to look at what its disk gives."""

    kind = "doubted"
    blob: str
    index: int


@attrs.frozen(kw_only=True)
class Heartbeat(Message):
    """The stream is alive. `waiting_for` says what the seed peer itself waits for, empty when all is well."""

    kind = "heartbeat"
    waiting_for: str = ""


@attrs.frozen(kw_only=True)
class Report:
    """What a node tells, once a second or when it has something to say.

    `held` maps a blob to the segments finished since the last report that was answered; `declined` are blobs of the task
    that this node does not take part in, because it has them in another way; `stalled` are (blob, segment) without progress;
    `bad_peers` are addresses that sent so many wrong pieces that they are shut out, `silent_peers` those that were
    asked and sent nothing; `doubts` are single wrong pieces, as (blob, segment, host, port); `bad_segments` are (blob, segment)
    of which the web seed itself sent wrong bytes; `sources` are bytes by source since the start.
    """

    node: str
    held: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    declined: tuple[str, ...] = ()
    stalled: tuple[tuple[str, int], ...] = ()
    bad_peers: tuple[Address, ...] = ()
    silent_peers: tuple[Address, ...] = ()
    doubts: tuple[tuple[str, int, str, int], ...] = ()
    bad_segments: tuple[tuple[str, int], ...] = ()
    sources: Mapping[str, int] = attrs.field(factory=dict)
    done: bool = False
    goodbye: bool = False

    def encode(self) -> bytes:
        """The JSON body."""
        return _dumps({**attrs.asdict(self), "held": {b: _runs(s) for b, s in self.held.items()}})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = _object(body)
        held = _get(d, "held", dict, {})
        return cls(
            node=_get(d, "node", str),
            held=_held(held),
            declined=_strings(d, "declined"),
            stalled=tuple((_is(b, str), _is(i, int)) for b, i in _pairs(d, "stalled")),
            bad_peers=_addresses(d, "bad_peers"),
            silent_peers=_addresses(d, "silent_peers"),
            doubts=_doubts(d),
            bad_segments=tuple((_is(b, str), _is(i, int)) for b, i in _pairs(d, "bad_segments")),
            sources={str(k): _is(v, int) for k, v in _get(d, "sources", dict, {}).items()},
            done=_get(d, "done", bool, False),
            goodbye=_get(d, "goodbye", bool, False),
        )


@attrs.frozen(kw_only=True)
class Have:
    """Segments that `node` holds, as a seed peer once published them: a successor believes those whose MAC is its cluster's."""

    node: str
    segments: tuple[Segment, ...] = ()

    def encode(self) -> bytes:
        """The JSON body."""
        rows = [[s.blob, s.index, s.size, s.attempt, s.mac, _plain(s.hashes)] for s in self.segments]
        return _dumps({"node": self.node, "segments": rows})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = _object(body)
        found = []
        for row in _get(d, "segments", list):
            if not isinstance(row, list) or len(row) != 6:
                raise WireError("a held segment is not a row of six")
            fields = dict(zip(("blob", "index", "size", "attempt", "mac", "hashes"), row, strict=True))
            message = _MESSAGES["segment"](fields)
            assert isinstance(message, Segment)
            found.append(message)
        return cls(node=_get(d, "node", str), segments=tuple(found))


@attrs.frozen(kw_only=True)
class Advice:
    """The answer to a Report: `chords` are further peers to try for what is stalled."""

    chords: tuple[Address, ...] = ()

    def encode(self) -> bytes:
        """The JSON body."""
        return _dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        return cls(chords=_addresses(_object(body), "chords"))


def decode_message(line: bytes) -> Message | None:
    """One line of the event stream; None for a kind this release does not know. Raises WireError."""
    d = _object(line, cap=LONGEST_LINE)
    read = _MESSAGES.get(_get(d, "t", str))
    return read(d) if read else None


_MESSAGES: dict[str, Callable[[dict[str, Any]], Message]] = {
    "hello": lambda d: Hello(
        epoch=_get(d, "epoch", str),
        grant=_word(d, "grant"),
        expires=_seconds(d, "expires"),
        seed_peers=tuple(map(_ip, _strings(d, "seed_peers"))),
        heartbeat=_seconds(d, "heartbeat", 5.0),
    ),
    "segment": lambda d: Segment(
        seq=_get(d, "seq", int, 0),
        blob=_get(d, "blob", str),
        index=_count(d, "index"),
        size=_count(d, "size"),
        hashes=_hashes(d),
        attempt=_get(d, "attempt", int, 1),
        mac=_get(d, "mac", str, ""),
    ),
    "blob": lambda d: Blob(
        seq=_get(d, "seq", int, 0),
        blob=_get(d, "blob", str),
        state=_get(d, "state", str),
        size=_count(d, "size", 0),
        attempt=_get(d, "attempt", int, 1),
        sha256=_get(d, "sha256", str, ""),
    ),
    "error": lambda d: Failed(
        seq=_get(d, "seq", int, 0),
        blob=_get(d, "blob", str, ""),
        error=_get(d, "error", str),
        message=_get(d, "message", str),
        hint=_get(d, "hint", str, ""),
    ),
    "ring": lambda d: Ring(
        neighbours=_addresses(d, "neighbours"),
        admitted=_addresses(d, "admitted"),
        members=_get(d, "members", int, 1),
        stand_ins=_addresses(d, "stand_ins"),
    ),
    "entry": lambda d: EntryDuty(blob=_get(d, "blob", str), index=_count(d, "index")),
    "released": lambda _: Released(),
    "doubted": lambda d: Doubted(blob=_get(d, "blob", str), index=_count(d, "index")),
    "heartbeat": lambda d: Heartbeat(waiting_for=_get(d, "waiting_for", str, "")),
}


def snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The JSON form of a snapshot; entries are rows, as there may be very many."""
    rows = [
        [e.path, e.size, e.url, e.identity, [[d.algorithm, d.value] for d in e.digests], e.validator]
        for e in snapshot.entries
    ]
    fields = attrs.asdict(snapshot, recurse=False, filter=lambda a, _: a.name != "entries")
    return {**fields, "entries": rows}


def snapshot_from_json(d: Mapping[str, Any]) -> Snapshot:
    """Raises WireError."""
    entries = []
    for row in _get(d, "entries", list):
        if not isinstance(row, list) or len(row) < 6:
            raise WireError("an entry is not a row of six")
        path, size, url, identity, digests, validator = row[:6]
        entries.append(
            Entry(
                path=_is(path, str),
                size=None if size is None else _size(size),
                url=_is(url, str),
                identity=_is(identity, str),
                digests=tuple(_digest(a, v) for a, v in _pairs({"digests": digests}, "digests")),
                validator=None if validator is None else _is(validator, str),
            )
        )
    if _get(d, "layout", int) != LAYOUT_VERSION:
        raise WireError(f"pieces are cut by rule {d['layout']}, this dfly knows rule {LAYOUT_VERSION}")
    return Snapshot(
        source=_get(d, "source", str),
        name=_get(d, "name", str),
        entries=entries,
        revision=None if d.get("revision") is None else _get(d, "revision", str),
        public=_get(d, "public", bool, False),
    )


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _object(body: bytes, *, cap: int = LONGEST_BODY) -> dict[str, Any]:
    if len(body) > cap:
        raise WireError(f"{len(body)} bytes, more than {cap}")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError("not JSON") from error
    found: dict[str, Any] = _is(value, dict)
    return found


def _is(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise WireError(f"{str(value)[:60]!r} is not {getattr(kind, '__name__', 'of the right type')}")
    if kind is int and not -_LARGEST < value < _LARGEST:
        raise WireError("a number is out of range")
    return value


_MISSING = object()


def _get(d: Mapping[str, Any], key: str, kind: Any, default: Any = _MISSING) -> Any:
    value = d.get(key, default)
    if value is _MISSING:
        raise WireError(f"{key!r} is missing")
    return value if value is default else _is(value, kind)


def _count(d: Mapping[str, Any], key: str, default: Any = _MISSING) -> int:
    return _size(_get(d, key, int, default))


def _size(value: Any) -> int:
    size: int = _is(value, int)
    if size < 0:
        raise WireError("a size or count is negative")
    return size


def _seconds(d: Mapping[str, Any], key: str, default: Any = _MISSING) -> float:
    value = _get(d, key, (int, float), default)
    # a Python int may be too large for a float, and JSON's own floats may be infinite or no number at all
    if isinstance(value, bool) or not 0 <= value < _LARGEST or math.isnan(value):
        raise WireError(f"{key!r} is out of range")
    return float(value)


def _word(d: Mapping[str, Any], key: str) -> str:
    value: str = _get(d, key, str)
    if not _WORD.fullmatch(value):
        raise WireError(f"{key!r} is not one word of a URL's path")
    return value


def _digest(algorithm: Any, value: Any) -> Digest:
    digest = Digest(_is(algorithm, str), _is(value, str))
    # a digest names a blob, and a blob's id names a torrent
    if not _DIGEST.fullmatch(str(digest)):
        raise WireError(f"{str(digest)[:60]!r} is not a digest")
    return digest


def _hashes(d: Mapping[str, Any]) -> bytes:
    hashes = _bytes(d, "hashes")
    if len(hashes) % 20 or not 0 < len(hashes) <= _LONGEST_HASHES:
        raise WireError("'hashes' are not those of a segment's pieces")
    return hashes


def _ip(text: str) -> str:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError as error:
        raise WireError(f"{text[:60]!r} is not an IP address") from error
    return text


def _strings(d: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(_is(item, str) for item in _get(d, key, list, []))


def _bytes(d: Mapping[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(_get(d, key, str), validate=True)
    except ValueError as error:
        raise WireError(f"{key!r} is not base64") from error


def _pairs(d: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    rows = _get(d, key, list, [])
    if any(not isinstance(row, list) or len(row) != 2 for row in rows):
        raise WireError(f"{key!r} is not a list of pairs")
    return [(a, b) for a, b in rows]


def _addresses(d: Mapping[str, Any], key: str) -> tuple[Address, ...]:
    found = tuple((_ip(_is(host, str)), _is(port, int)) for host, port in _pairs(d, key))
    if any(not 0 < port < 65536 for _, port in found):
        raise WireError(f"{key!r} has a port out of range")
    return found


def _doubts(d: Mapping[str, Any]) -> tuple[tuple[str, int, str, int], ...]:
    rows = _get(d, "doubts", list, [])
    if any(not isinstance(row, list) or len(row) != 4 for row in rows):
        raise WireError("'doubts' is not a list of rows of four")
    return tuple((_is(b, str), _is(i, int), _is(host, str), _is(port, int)) for b, i, host, port in rows)


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _runs(segments: tuple[int, ...]) -> list[list[int]]:
    """Sorted numbers as [first, last] runs: 512 held segments are one pair."""
    runs: list[list[int]] = []
    for n in sorted(segments):
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return runs


def _held(rows: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The runs of every blob as numbers. The cap is on their sum: a run is a few bytes, and what it says may be a lot."""
    found: dict[str, tuple[int, ...]] = {}
    left = MOST_HELD
    for blob, runs in rows.items():
        numbers: list[int] = []
        for first, last in _pairs({"held": runs}, "held"):
            if not 0 <= _is(first, int) <= _is(last, int) or (left := left - (last - first + 1)) < 0:
                raise WireError("'held' is out of range")
            numbers.extend(range(first, last + 1))
        found[blob] = tuple(numbers)
    return found
