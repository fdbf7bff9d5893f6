"""Preheating: what an operator orders at a seed peer, what it then sends nodes for, and what those tell of it.

    POST /v1/operator/preheat          Preheat → the id of a job
    GET  /v1/operator/preheat/{id}     NDJSON of how far each machine is, until all are done
    GET  /v1/errands?node=&location=   NDJSON of Errand and Heartbeat: a node stands by
    POST /v1/errands/{id}/report       ErrandReport

An errand names a source as anybody may ask for it. No secret is in it: what does not open without one, no node is sent for.
"""

import json
from collections.abc import Mapping
from typing import Any, Self

import attrs

from dfly.wire.events import DECODERS, LONGEST_LINE, Message
from dfly.wire.fields import WireError, count, dumps, get, is_a, parsed, seconds, strings, word
from dfly.wire.requests import Ask

#: What a node says of an errand, and what it cannot say itself: that its seed peer has not heard of it for a while, has given it
#: up for that, or had no more time for it.
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"
AWAY, LOST, LATE = "away", "lost", "late"
FINAL = frozenset({DONE, FAILED, LOST, LATE})
_TOLD = frozenset({WAITING, RUNNING, DONE, FAILED})
_LONGEST_TEXT, _MOST_SOURCES, _LONGEST_LOCATION = 4096, 32, 256


@attrs.frozen
class Choice:
    """Which nodes: all, `count` of them, or those at `location` ("zone", "zone/rack")."""

    count: int | None = None
    location: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `all`, `3` or `location=zone/rack`. Raises ValueError with what to write instead.

        >>> Choice.parse("location=east/r1/")
        Choice(count=None, location='east/r1')
        """
        if text == "all":
            return cls()
        if text.isascii() and text.isdigit() and 0 < len(text) < 7 and int(text):
            return cls(count=int(text))
        location = text.removeprefix("location=").strip("/") if text.startswith("location=") else ""
        if not location or len(location) > _LONGEST_LOCATION or not location.isprintable():
            raise ValueError(f"{text[:60]!r} chooses no nodes; write all, a number, or location=ZONE/RACK")
        return cls(location=location)

    def __str__(self) -> str:
        return str(self.count) if self.count else f"location={self.location}" if self.location else "all"

    def has(self, location: str) -> bool:
        """Whether a node at `location` may be chosen: whole parts of it count, so `east` is not in `eastern`."""
        here = location.strip("/")
        return not self.location or here == self.location or here.startswith(f"{self.location}/")


@attrs.frozen(kw_only=True)
class Preheat:
    """What an operator orders: `ask` on the seed peer, and on `nodes` too where that is not None.

    `pin`: keep it whatever else needs room. `timeout` is in seconds for all of it.
    """

    ask: Ask
    nodes: Choice | None = None
    pin: bool = False
    timeout: float | None = None

    def encode(self) -> bytes:
        """The JSON body."""
        nodes = None if self.nodes is None else str(self.nodes)
        return dumps({"ask": _plain(self.ask), "nodes": nodes, "pin": self.pin, "timeout": self.timeout})

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = parsed(body)
        try:
            nodes = None if d.get("nodes") is None else Choice.parse(get(d, "nodes", str))
        except ValueError as error:
            raise WireError(str(error)) from error
        return cls(
            ask=_ask(d),
            nodes=nodes,
            pin=get(d, "pin", bool, False),
            timeout=None if d.get("timeout") is None else seconds(d, "timeout"),
        )


@attrs.frozen(kw_only=True)
class Errand(Message):
    """Bring `ask` and keep it. `id` is for the node that it was sent to; `options` are by field, and none is a secret."""

    kind = "errand"
    id: str = attrs.field(repr=False)
    ask: Ask
    options: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    pin: bool = False

    def encode(self) -> bytes:
        """One JSON line, newline included."""
        said = {"id": self.id, "ask": _plain(self.ask), "options": dict(self.options), "pin": self.pin}
        return dumps({"t": self.kind, **said}) + b"\n"


@attrs.frozen(kw_only=True)
class ErrandReport:
    """How far `node` is. `arrived` of `total` bytes (None: not known) are in its cache, and came from `sources`.

    `source` is the pinned URL of what it brings, `error` a class name of dfly.errors where it failed.
    """

    node: str
    state: str
    arrived: int = 0
    total: int | None = None
    sources: Mapping[str, int] = attrs.field(factory=dict)
    source: str = ""
    error: str = ""
    message: str = ""
    hint: str = ""

    def encode(self) -> bytes:
        """The JSON body."""
        return dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Raises WireError."""
        d = parsed(body, cap=LONGEST_LINE)
        state, sources = get(d, "state", str), get(d, "sources", dict, {})
        if state not in _TOLD or len(sources) > _MOST_SOURCES:
            raise WireError("'state' or 'sources' is none that a node has")
        texts = {name: get(d, name, str, "")[:_LONGEST_TEXT] for name in ("source", "error", "message", "hint")}
        return cls(
            node=get(d, "node", str),
            state=state,
            arrived=count(d, "arrived", 0),
            total=None if d.get("total") is None else count(d, "total"),
            sources={str(name)[:32]: is_a(n, int) for name, n in sources.items()},
            **texts,
        )


def decode_errand(line: bytes) -> Message | None:
    """One line for a node that stands by; None for a kind this release does not know. Raises WireError."""
    d = parsed(line, cap=LONGEST_LINE)
    kind = get(d, "t", str)
    if kind != Errand.kind:
        return DECODERS[kind](d) if kind in DECODERS else None
    options = get(d, "options", dict, {})
    return Errand(
        id=word(d, "id"),
        ask=_ask(d),
        options={str(name): strings(options, name) for name in options},
        pin=get(d, "pin", bool, False),
    )


def _plain(ask: Ask) -> Any:
    return json.loads(attrs.evolve(ask, known=None).encode())


def _ask(d: Mapping[str, Any]) -> Ask:
    return attrs.evolve(Ask.decode(dumps(get(d, "ask", dict))), known=None, fallback=False)
