"""What nodes ask and report, and what is answered to that."""

from collections.abc import Mapping
from typing import Any, Self

import attrs

from dfly.values import Snapshot
from dfly.wire.events import Segment, segment_of
from dfly.wire.fields import Address, WireError, addresses, dumps, get, is_a, pairs, parsed, plain, strings, word
from dfly.wire.snapshots import snapshot_from_json, snapshot_to_json

#: Spoken by this release; a seed peer answers a node of the version before it as well.
WIRE_VERSION = 1
#: A snapshot of a million files is the largest that is passed on.
LONGEST_SNAPSHOT = 512 << 20
#: One that a node carries to another seed peer may be shorter: there it is a stranger's word until it is parsed.
LONGEST_CARRIED = 64 << 20
#: Segments that one report may name: some two thousand of the largest blobs.
MOST_HELD = 1 << 20


@attrs.frozen(kw_only=True)
class Ask:
    """What a node wants: `url` and the choice of files below it (`dfly.globs`).

    `known` is what another seed peer, or this one before it was restarted, has answered: its seal spares the hub a question.
    `lazy`: fetch nothing but what reports accept; a listing alone is no wish for the files.
    `fallback`: a seed peer that comes first for this repository did not answer, and its nodes may be on their way here too.
    """

    url: str
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    known: "Resolved | None" = None
    fallback: bool = False
    lazy: bool = False
    version: int = WIRE_VERSION

    def encode(self) -> bytes:
        """The JSON body."""
        fields = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name != "known")
        # the ticket is for the seed peer that gave it, and this may go to another node
        known = {"known": attrs.evolve(self.known, ticket="").as_json()} if self.known else {}
        return dumps(fields | known)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = parsed(body, cap=LONGEST_CARRIED)
        known = get(d, "known", dict, {})
        return cls(
            known=Resolved.from_json(known) if known else None,
            url=get(d, "url", str),
            recursive=get(d, "recursive", bool, False),
            include=strings(d, "include"),
            exclude=strings(d, "exclude"),
            fallback=get(d, "fallback", bool, False),
            lazy=get(d, "lazy", bool, False),
            version=get(d, "version", int, 1),
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
        return dumps(self.as_json())

    @classmethod
    def from_json(cls, d: Mapping[str, Any]) -> Self:
        """Raises WireError."""
        return cls(
            task=word(d, "task"),
            snapshot=snapshot_from_json(get(d, "snapshot", dict)),
            seal=get(d, "seal", str, ""),
            ticket=word(d, "ticket") if d.get("ticket") else "",
        )

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        return cls.from_json(parsed(body, cap=LONGEST_SNAPSHOT))


@attrs.frozen(kw_only=True)
class Report:
    """What a node tells, once a second or when it has something to say.

    `held` maps a blob to the segments finished since the last report that was answered; `declined` are blobs of the task
    that this node does not take part in, because it has them in another way or does not want them, `accepted` those that it
    wants, be they declined before or of a lazy task; `first` are (blob, segment) that somebody there waits to read; `stalled` are
    (blob, segment) without progress;
    `bad_peers` are addresses that sent so many wrong pieces that they are shut out, `silent_peers` those that were
    asked and sent nothing; `doubts` are single wrong pieces, as (blob, segment, host, port); `bad_segments` are (blob, segment)
    of which the web seed itself sent wrong bytes; `sources` are bytes by source since the start; `opened` are the numbers of
    outsiders who have been let in.
    """

    node: str
    held: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    declined: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    first: tuple[tuple[str, int], ...] = ()
    stalled: tuple[tuple[str, int], ...] = ()
    bad_peers: tuple[Address, ...] = ()
    silent_peers: tuple[Address, ...] = ()
    doubts: tuple[tuple[str, int, str, int], ...] = ()
    bad_segments: tuple[tuple[str, int], ...] = ()
    sources: Mapping[str, int] = attrs.field(factory=dict)
    opened: tuple[int, ...] = ()
    done: bool = False
    goodbye: bool = False

    def encode(self) -> bytes:
        """The JSON body."""
        return dumps({**attrs.asdict(self), "held": {b: _runs(s) for b, s in self.held.items()}})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = parsed(body)
        held = get(d, "held", dict, {})
        return cls(
            node=get(d, "node", str),
            held=_held(held),
            declined=strings(d, "declined"),
            accepted=strings(d, "accepted"),
            first=tuple((is_a(b, str), is_a(i, int)) for b, i in pairs(d, "first")),
            stalled=tuple((is_a(b, str), is_a(i, int)) for b, i in pairs(d, "stalled")),
            bad_peers=addresses(d, "bad_peers"),
            silent_peers=addresses(d, "silent_peers"),
            doubts=_doubts(d),
            bad_segments=tuple((is_a(b, str), is_a(i, int)) for b, i in pairs(d, "bad_segments")),
            sources={str(k): is_a(v, int) for k, v in get(d, "sources", dict, {}).items()},
            opened=tuple(is_a(number, int) for number in get(d, "opened", list, [])),
            done=get(d, "done", bool, False),
            goodbye=get(d, "goodbye", bool, False),
        )


@attrs.frozen(kw_only=True)
class Have:
    """Segments that `node` holds, as a seed peer once published them: a successor believes those whose MAC is its cluster's."""

    node: str
    segments: tuple[Segment, ...] = ()

    def encode(self) -> bytes:
        """The JSON body."""
        rows = [[s.blob, s.index, s.size, s.attempt, s.mac, plain(s.hashes)] for s in self.segments]
        return dumps({"node": self.node, "segments": rows})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = parsed(body)
        found = []
        for row in get(d, "segments", list):
            if not isinstance(row, list) or len(row) != 6:
                raise WireError("a held segment is not a row of six")
            fields = dict(zip(("blob", "index", "size", "attempt", "mac", "hashes"), row, strict=True))
            found.append(segment_of(fields))
        return cls(node=get(d, "node", str), segments=tuple(found))


@attrs.frozen(kw_only=True)
class Advice:
    """The answer to a Report: `chords` are further peers to try for what is stalled."""

    chords: tuple[Address, ...] = ()

    def encode(self) -> bytes:
        """The JSON body."""
        return dumps({"chords": self.chords})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        return cls(chords=addresses(parsed(body), "chords"))


def _doubts(d: Mapping[str, Any]) -> tuple[tuple[str, int, str, int], ...]:
    rows = get(d, "doubts", list, [])
    if any(not isinstance(row, list) or len(row) != 4 for row in rows):
        raise WireError("'doubts' is not a list of rows of four")
    return tuple((is_a(b, str), is_a(i, int), is_a(host, str), is_a(port, int)) for b, i, host, port in rows)


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
        for first, last in pairs({"held": runs}, "held"):
            if not 0 <= is_a(first, int) <= is_a(last, int) or (left := left - (last - first + 1)) < 0:
                raise WireError("'held' is out of range")
            numbers.extend(range(first, last + 1))
        found[blob] = tuple(numbers)
    return found
