"""Every message comes back as it was sent, and whatever else arrives is a WireError and nothing worse."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly import wire
from dfly.values import Digest, Entry, Snapshot
from dfly.wire import WireError, events

texts = st.text(max_size=20)
words = st.text("abcXYZ019_-", min_size=1, max_size=20)
counts = st.integers(0, (1 << 60) - 1)
numbers = st.integers(1, (1 << 60) - 1)
addresses = st.tuples(st.sampled_from(["127.0.0.1", "10.0.0.9", "fd00::2"]), st.integers(1, 65535))
several = st.lists(addresses, max_size=3).map(tuple)
several_texts = st.lists(texts, max_size=3).map(tuple)
seconds = st.floats(0, 1e12)
hashes = st.integers(1, 16).flatmap(lambda pieces: st.binary(min_size=20 * pieces, max_size=20 * pieces))
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
pairs = st.lists(st.tuples(texts, counts), max_size=3).map(tuple)


def segments(**more):
    return st.builds(
        wire.Segment, blob=texts, index=counts, size=counts, hashes=hashes, attempt=numbers, mac=texts, **more
    )


MESSAGES = {
    wire.Hello: st.builds(
        wire.Hello,
        epoch=texts,
        grant=words,
        expires=seconds,
        seed_peers=st.lists(st.sampled_from(["127.0.0.1", "fd00::2"]), max_size=2).map(tuple),
        heartbeat=seconds,
    ),
    wire.Segment: segments(seq=numbers),
    wire.Blob: st.builds(wire.Blob, seq=numbers, blob=texts, state=texts, size=counts, attempt=numbers, sha256=texts),
    wire.Failed: st.builds(wire.Failed, seq=numbers, blob=texts, error=texts, message=texts, hint=texts),
    wire.Ring: st.builds(wire.Ring, neighbours=several, admitted=several, members=numbers, stand_ins=several),
    wire.EntryDuty: st.builds(wire.EntryDuty, blob=texts, index=counts),
    wire.Released: st.builds(wire.Released),
    wire.Needs: st.builds(wire.Needs, over=several_texts, again=several_texts),
    wire.Doubted: st.builds(wire.Doubted, blob=texts, index=counts),
    wire.Outsider: st.builds(
        wire.Outsider,
        number=counts,
        blob=texts,
        name=st.sampled_from(["model.bin", "ein Gewicht.ü"]),
        host=st.sampled_from(["127.0.0.1", "fd00::2"]),
        seconds=seconds,
    ),
    wire.Heartbeat: st.builds(wire.Heartbeat, waiting_for=texts),
}
entries = st.builds(
    Entry,
    path=texts,
    size=st.none() | counts,
    url=texts,
    identity=texts,
    digests=st.lists(hexes.map(lambda value: Digest("sha256", value)), max_size=2).map(tuple),
    validator=st.none() | texts,
)
snapshots = st.builds(
    Snapshot,
    source=texts,
    name=texts,
    entries=st.lists(entries, max_size=4),
    revision=st.none() | texts,
    public=st.booleans(),
)
resolved = st.builds(wire.Resolved, task=words, snapshot=snapshots, seal=texts)
BODIES = {
    wire.Ask: st.builds(
        wire.Ask,
        url=texts,
        recursive=st.booleans(),
        include=st.lists(texts, max_size=2).map(tuple),
        exclude=st.lists(texts, max_size=2).map(tuple),
        known=st.none() | resolved,
        version=numbers,
    ),
    wire.Resolved: resolved,
    wire.Report: st.builds(
        wire.Report,
        node=texts,
        held=st.dictionaries(texts, st.sets(st.integers(0, 600), max_size=9).map(sorted).map(tuple), max_size=3),
        declined=st.lists(texts, max_size=2).map(tuple),
        stalled=pairs,
        bad_peers=several,
        silent_peers=several,
        bad_segments=pairs,
        sources=st.dictionaries(texts, numbers, max_size=3),
        opened=st.lists(numbers, max_size=2).map(tuple),
        done=st.booleans(),
        goodbye=st.booleans(),
    ),
    wire.Have: st.builds(wire.Have, node=texts, segments=st.lists(segments(), max_size=3).map(tuple)),
    wire.Advice: st.builds(wire.Advice, chords=several),
}
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
DECODERS = {kind: kind.decode for kind in BODIES} | dict.fromkeys(MESSAGES, wire.decode_message)
EVERYTHING = MESSAGES | BODIES


def refused(decode, body) -> WireError | None:
    """Why it was refused, None where it is a message. Anything but a WireError fails the test."""
    try:
        decode(body)
    except WireError as error:
        return error
    return None


def test_every_kind_of_line_is_tried_here():
    assert {kind.kind for kind in MESSAGES} == set(events.DECODERS)
    assert set(MESSAGES) == {kind for kind in wire.Message.__subclasses__() if kind.__module__ == events.__name__}


@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
@given(st.data())
def test_a_message_comes_back_as_it_was(kind, data):
    message = data.draw(EVERYTHING[kind])
    assert DECODERS[kind](message.encode()) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(st.data())
def test_a_line_is_one_line(kind, data):
    line = data.draw(MESSAGES[kind]).encode()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
@given(st.binary(max_size=60) | junk.map(lambda value: json.dumps(value).encode()))
def test_garbage_is_a_wire_error_and_nothing_else(kind, body):
    refused(DECODERS[kind], body)


@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
@given(st.data())
def test_a_field_that_is_something_else_is_a_wire_error_or_a_message(kind, data):
    fields = json.loads(data.draw(EVERYTHING[kind]).encode())
    spoilt = data.draw(st.sampled_from(sorted(fields)))
    fields[spoilt] = data.draw(junk | st.just(10**400) | st.just(1e999))
    refused(DECODERS[kind], json.dumps(fields).encode())


@pytest.mark.parametrize("kind", EVERYTHING, ids=lambda kind: kind.__name__)
@given(st.data())
def test_a_missing_field_is_named_and_an_unknown_one_is_passed_over(kind, data):
    message = data.draw(EVERYTHING[kind])
    fields = json.loads(message.encode())
    assert DECODERS[kind](json.dumps(fields | {"of a later release": [1]}).encode()) == message
    missing = data.draw(st.sampled_from(sorted(fields)))
    del fields[missing]
    error = refused(DECODERS[kind], json.dumps(fields).encode())
    assert error is None or repr(missing) in error.message


def test_a_line_of_a_later_release_is_no_message():
    assert wire.decode_message(b'{"t":"news","from":"tomorrow"}') is None


@pytest.mark.parametrize(
    "line",
    [
        b'{"t":"segment","blob":"b","index":-1,"size":1,"hashes":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}',
        b'{"t":"segment","blob":"b","index":0,"size":1,"hashes":"not base64"}',
        b'{"t":"segment","blob":"b","index":0,"size":1,"hashes":"AAAA"}',
        b'{"t":"segment","blob":"b","index":true,"size":1,"hashes":"AAAAAAAAAAAAAAAAAAAAAAAAAAA="}',
        b'{"t":"ring","neighbours":[["127.0.0.1",0]]}',
        b'{"t":"ring","neighbours":[["127.0.0.1",70000]]}',
        b'{"t":"ring","neighbours":["127.0.0.1"]}',
        b'{"t":"hello","epoch":"e","grant":"a/b","expires":1}',
        b'{"t":"hello","epoch":"e","grant":"g","expires":Infinity}',
        b'{"t":"hello","epoch":"e","grant":"g","expires":1,"seed_peers":["example.org"]}',
        b'["t"]',
        b"",
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_is_refused(line):
    with pytest.raises(WireError):
        wire.decode_message(line)


def test_what_is_too_large_is_refused_unread():
    with pytest.raises(WireError, match="more than"):
        wire.decode_message(b" " * (wire.LONGEST_LINE + 1))
    with pytest.raises(WireError, match="more than"):
        wire.Report.decode(b" " * (wire.LONGEST_BODY + 1))


def test_a_short_report_cannot_name_more_segments_than_fit_in_memory():
    held = {f"blob {n}": [[0, 1 << 19]] for n in range(3)}
    with pytest.raises(WireError, match="held"):
        wire.Report.decode(json.dumps({"node": "n", "held": held}).encode())


def test_held_segments_travel_as_runs():
    held = {"b": tuple(range(512))}
    assert len(wire.Report(node="n", held=held).encode()) < 300
    assert wire.Report.decode(wire.Report(node="n", held=held).encode()).held == held


def test_the_pieces_of_another_rule_are_not_taken_for_ours():
    body = json.loads(wire.Resolved(task="t", snapshot=Snapshot("s", "n", ())).encode())
    body["snapshot"]["layout"] += 1
    with pytest.raises(WireError, match="rule"):
        wire.Resolved.decode(json.dumps(body).encode())
