"""Everything that is parsed from the control plane: a message, or a WireError, and nothing else."""

import json

import attrs
import httpx
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import fuzz, headers, junk, raw_bodies, spoilt, texts, torn

from dfly import wire
from dfly.daemon.protocol import ProtocolError, _parsed, event_from, field
from dfly.daemon.records import Record
from dfly.errors import Cancelled, DflyError, UsageError
from dfly.node.control import SeedPeer
from dfly.node.revival import revive
from dfly.seed.joining import Join
from dfly.seed.operators.remembered import Remembered
from dfly.seed.options import caller_options
from dfly.testing.memory import memory_backend
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import WireError
from dfly.wire.errands import Choice, Errand, ErrandReport, Preheat, decode_errand

ENTRY = Entry(
    path="a/b.bin",
    size=7,
    url="memory://r@x/a/b.bin",
    identity="i",
    digests=(Digest("sha256", "0" * 64),),
    validator="v",
)
RESOLVED = wire.Resolved(
    task="t-1", snapshot=Snapshot("memory://r@x", "r", (ENTRY, ENTRY), revision="x"), seal="1.x.00", ticket="ab"
)
SEGMENT = wire.Segment(seq=1, blob="b", index=0, size=9, hashes=bytes(40), mac="00")
HERE = (("127.0.0.1", 9), ("::1", 9))
BODIES = (
    wire.Ask(url="memory://r", recursive=True, include=("*",), exclude=("*.md",), known=RESOLVED),
    RESOLVED,
    wire.Report(
        node="n",
        held={"b": (0, 1, 2, 9)},
        declined=("c",),
        stalled=(("b", 1),),
        bad_peers=HERE,
        silent_peers=HERE,
        doubts=(("b", 1, "127.0.0.1", 9),),
        bad_segments=(("b", 1),),
        sources={"hub": 1},
        opened=(7,),
    ),
    wire.Have(node="n", segments=(SEGMENT,)),
    wire.Advice(chords=HERE),
    Preheat(ask=wire.Ask(url="memory://r", recursive=True), nodes=Choice(location="east"), pin=True, timeout=9.0),
    ErrandReport(node="n", state="running", arrived=1, total=2, sources={"peer": 1}, source="memory://r@x"),
)
LINES = (
    wire.Hello(epoch="e", grant="g", expires=1.0, seed_peers=("127.0.0.1",)),
    SEGMENT,
    wire.Blob(seq=1, blob="b", state="complete", size=1, sha256="00"),
    wire.Failed(seq=1, blob="b", error="NotFound", message="m", hint="h"),
    wire.Ring(neighbours=HERE, admitted=HERE, stand_ins=HERE),
    wire.EntryDuty(blob="b", index=1),
    wire.Needs(over=("b", "c"), again=("d",)),
    wire.Doubted(blob="b", index=1),
    wire.Outsider(number=1, blob="b", name="a.bin", host="127.0.0.1", seconds=9.0),
    wire.Heartbeat(waiting_for="the hub"),
)
SAMPLES = {type(m).__name__: (m.encode(), type(m).decode) for m in BODIES}
SAMPLES |= {type(m).__name__: (m.encode(), wire.decode_message) for m in LINES}
ERRAND = Errand(id="e", ask=wire.Ask(url="memory://r", include=("*",)), options={"revision": ("x",)}, pin=True)
SAMPLES["Errand"] = ERRAND.encode(), decode_errand


def refused(decode, body):
    try:
        decode(body)
    except WireError:
        return True
    return False


def test_the_samples_are_messages():
    for body, decode in SAMPLES.values():
        assert not refused(decode, body)
    assert {type(m) for m in LINES} | {wire.Released, Errand} == set(wire.Message.__subclasses__())


@pytest.mark.parametrize("kind", sorted(SAMPLES))
@fuzz(st.data(), examples=40)
def test_a_message_with_one_thing_spoilt_is_a_message_or_a_wire_error(kind, data):
    body, decode = SAMPLES[kind]
    refused(decode, json.dumps(data.draw(spoilt(json.loads(body)))).encode())


@pytest.mark.parametrize("kind", sorted(SAMPLES))
@fuzz(st.data(), examples=20)
def test_a_message_with_other_bytes_in_it_is_a_message_or_a_wire_error(kind, data):
    body, decode = SAMPLES[kind]
    refused(decode, data.draw(torn(body) | raw_bodies))


@fuzz(st.data())
def test_what_was_decoded_can_be_sent_on(data):
    """A node carries what a seed peer told it to the next one."""
    said = json.dumps(data.draw(spoilt(json.loads(RESOLVED.encode())))).encode()
    if not refused(wire.Resolved.decode, said):
        resolved = wire.Resolved.decode(said)
        assert len(resolved.snapshot.id) == 32
        known = wire.Ask.decode(wire.Ask(url="u", known=resolved).encode()).known
        assert known is not None
        assert known.snapshot == resolved.snapshot


QUERY = {
    "node": "n",
    "port": "9",
    "advertise": "127.0.0.1:9,[::1]:9",
    "location": "z/r",
    "after": "e.1",
    "control": "9",
}


@fuzz(st.dictionaries(st.sampled_from(sorted(QUERY)), texts | headers), st.sampled_from(["127.0.0.1", "::1", None]))
@example({"advertise": "[127.0.0.1]:99999"}, None)
@example({"port": "٣"}, "127.0.0.1")
@example({"advertise": "1" * 5000}, "127.0.0.1")
def test_the_query_of_an_event_stream_is_a_node_or_a_wire_error(spoilt_fields, remote):
    try:
        join = Join.read(QUERY | spoilt_fields, remote=remote)
    except WireError:
        return
    assert all(0 <= port < 65536 for _, port in join.addresses)
    assert join.location.isprintable()


OPTIONS = ("memory-token", "memory-revision", "memory-other", "", "http-header")


@fuzz(st.dictionaries(st.sampled_from(OPTIONS) | texts, st.lists(headers, max_size=2).map(tuple), max_size=3))
def test_option_headers_are_options_or_a_usage_error(given):
    try:
        options = caller_options(memory_backend({}), given, {})
    except UsageError:
        return
    token = given.get("memory-token", ("",))
    # without the fingerprint of its secrets: among 64 hex digits a short number is found by chance
    shown = repr(attrs.evolve(options, secrets=""))
    assert not (token and token[-1].strip() and len(token[-1]) > 3 and token[-1].strip() in shown)


FIELDS = st.sampled_from(
    ["error", "message", "hint", "after", "url", "kind", "path", "problems", "schemes", "expected"]
)


@fuzz(st.sampled_from(["NotFound", "RateLimited", "UnsafePath", "Cancelled", "IntegrityError"]) | texts, st.data())
def test_whatever_a_seed_peer_calls_an_error_is_one_of_ours(name, data):
    error = revive(
        name, data.draw(texts), data.draw(texts), data.draw(st.dictionaries(FIELDS | texts, junk, max_size=4))
    )
    assert isinstance(error, DflyError)
    assert not isinstance(error, Cancelled)
    assert isinstance(str(error), str)


@fuzz(st.integers(400, 599), raw_bodies)
def test_whatever_a_seed_peer_refuses_with_is_said(status, body):
    transport = httpx.MockTransport(lambda _: httpx.Response(status, stream=httpx.ByteStream(body)))
    with httpx.Client(transport=transport) as client, pytest.raises(DflyError):
        SeedPeer(url="http://127.0.0.1:9", client=client).resolve(wire.Ask(url="memory://r"), {})


@fuzz(raw_bodies, st.sampled_from([str, int, dict, list, bool]))
def test_a_line_of_the_daemons_socket_is_an_object_or_a_protocol_error(line, kind):
    try:
        said = _parsed(line)
    except ProtocolError:
        return
    for name in ("t", "event", *said):
        try:
            assert isinstance(field(said, name, kind), kind)
        except ProtocolError:
            continue


@fuzz(junk)
def test_an_event_of_a_later_daemon_is_passed_over(event):
    event_from({"t": "event", "event": {"event": "task.started", "url": event} if isinstance(event, dict) else event})


RECORD = {
    "format": 1,
    "ask": json.loads(wire.Ask(url="memory://r").encode()),
    "resolved": json.loads(RESOLVED.encode()),
    "swarmed": True,
    "pinned": False,
    "brought": ["b"],
    "options": {"revision": "x", "tag": ["a"]},
    "macs": {"b": "00"},
}
#: What `Records` takes for a file that is of no use.
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, WireError)


@fuzz(spoilt(RECORD))
def test_a_daemons_record_is_one_or_of_no_use(said):
    try:
        record = Record.from_json(said, used=0.0)
    except UNREADABLE:
        return
    assert isinstance(record.brought, frozenset)


REMEMBERED = {
    "ask": RECORD["ask"],
    "resolved": RECORD["resolved"],
    "revisions": ["main"],
    "urls": {"hub://o/r@main": 1.0},
    "options": {"revision": ["x"]},
    "since": 1.0,
    "pinned": False,
    "imported": True,
}


@fuzz(spoilt(REMEMBERED))
def test_what_a_seed_peer_remembers_is_that_or_of_no_use(said):
    try:
        found = Remembered.from_json(said, used=0.0)
    except UNREADABLE:
        return
    assert found.names
    assert all(0 <= at < float("inf") for at in found.urls.values())
