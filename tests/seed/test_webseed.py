import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly.backend import Secret
from dfly.errors import AccessDenied
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed.grants import Grant
from dfly.seed.keys import Keys

from .conftest import FILES

SIZE = len(FILES["model.bin"])
SEGMENT = Layout(SIZE).segment_length


@pytest.fixture
def model(peer):
    """A seed peer with one published segment in the middle: (peer, task, blob, grant)."""
    resolved = peer.resolve()
    (blob,) = Freight.of(resolved.snapshot, task=resolved.task).blobs
    peer.mirror.publish(blob, 1)
    return peer, resolved.task, blob, peer.grant(resolved.task)


INSIDE = [
    (SEGMENT, 2 * SEGMENT),
    (SEGMENT, SEGMENT + 1),
    (2 * SEGMENT - 1, 2 * SEGMENT),
    (SEGMENT + 5, SEGMENT + SEGMENT // 3),
]
OUTSIDE = [
    (0, 10),
    (0, SIZE),
    (SEGMENT - 1, SEGMENT + 1),
    (2 * SEGMENT - 1, 2 * SEGMENT + 1),
    (SEGMENT, SIZE),
    (SIZE, SIZE + 1),
    (SIZE - 1, SIZE + 1),
]
SHAPES = [
    f"bytes={SEGMENT}-",
    "bytes=-5",
    f"bytes={SEGMENT}-{SEGMENT + 2},{SEGMENT + 12}-{SEGMENT + 22}",
    f"bytes={SEGMENT + 2}-{SEGMENT}",
    "items=1-2",
    "bytes=x-y",
    "bytes=" + "9" * 400 + "-" + "9" * 401,
    f"bytes={SEGMENT}-{SEGMENT + 2},",
]


@pytest.mark.parametrize(("first", "stop"), INSIDE)
def test_published_bytes_are_served_with_206(model, first, stop):
    peer, _, blob, grant = model
    answer = peer.bytes(grant, blob, first, stop)
    assert answer.status_code == 206
    assert answer.content == FILES["model.bin"][first:stop]
    assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{SIZE}"


@pytest.mark.parametrize(("first", "stop"), OUTSIDE)
def test_a_range_that_touches_unpublished_bytes_is_refused(model, first, stop):
    peer, _, blob, grant = model
    answer = peer.bytes(grant, blob, first, stop)
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("value", SHAPES)
def test_other_shapes_of_range_are_refused(model, value):
    peer, _, blob, grant = model
    assert peer.client.get(f"/v1/blobs/{grant}/{blob}", headers={"Range": value}).status_code == 416


def test_no_range_and_two_ranges_are_refused(model):
    peer, _, blob, grant = model
    path = f"/v1/blobs/{grant}/{blob}"
    assert peer.client.get(path).status_code == 416
    two = [("Range", f"bytes={SEGMENT}-{SEGMENT + 2}"), ("Range", "bytes=0-1")]
    assert peer.client.get(path, headers=two).status_code == 416


def test_conditions_do_not_turn_a_206_into_anything_else(model):
    peer, _, blob, grant = model
    headers = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match": "*", "If-Range": '"x"'}
    assert peer.bytes(grant, blob, SEGMENT, SEGMENT + 10, **headers).status_code == 206


def test_a_range_over_several_published_segments_is_one_answer(model):
    peer, _, blob, grant = model
    peer.mirror.complete(blob)
    assert peer.bytes(grant, blob, 5, SIZE - 5).content == FILES["model.bin"][5:-5]


def test_a_withdrawn_segment_is_not_served(model):
    peer, _, blob, grant = model
    peer.mirror.withdraw(blob)
    assert peer.bytes(grant, blob, SEGMENT, SEGMENT + 10).status_code == 416


def test_a_blob_of_another_task_is_not_there(model):
    peer, _, blob, _ = model
    peer.backend.hub.commit("other", {"x.bin": bytes(1 << 20)})
    other = peer.resolve("memory://other")
    assert peer.bytes(peer.grant(other.task), blob, SEGMENT, SEGMENT + 10).status_code == 404


def test_a_file_that_vanished_is_no_server_error(model):
    peer, _, blob, grant = model
    (peer.mirror.root / blob).unlink()
    assert peer.bytes(grant, blob, SEGMENT, SEGMENT + 10).status_code == 404


def test_bytes_are_counted_where_the_duty_is(model):
    peer, task, blob, _ = model
    with peer.stream(task, "n5") as stream:
        grant = stream.next().grant
        peer.bytes(grant, blob, SEGMENT, 2 * SEGMENT)
    assert peer.client.get("/v1/stats").json()["egress"]["web seed"] == SEGMENT


SPOILED = [lambda g: g[:-4] + "AAAA", lambda g: "A" * len(g), lambda g: g + "A", lambda g: "!", str.swapcase]


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_forged_grant_opens_nothing(model, spoil):
    peer, _, blob, grant = model
    answer = peer.bytes(spoil(grant), blob, SEGMENT, SEGMENT + 10)
    assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")


def test_a_grant_ends():
    keys = Keys.passing()
    grant = Grant(task="t", node="n", expires=1000)
    assert Grant.opened(grant.sealed(keys), keys, now=999.9) == grant
    with pytest.raises(AccessDenied, match="expired"):
        Grant.opened(grant.sealed(keys), keys, now=1000)


def test_a_grant_is_bound_to_its_node_task_and_time():
    keys = Keys.passing()
    grant = Grant(task="t", node="n", expires=1000).sealed(keys)
    data = base64.urlsafe_b64decode(grant + "==="[: -len(grant) % 4])
    for old, new in ((b"\0n", b"\0m"), (b"\0t", b"\0u"), (b"1000", b"9000")):
        forged = base64.urlsafe_b64encode(data[:-16].replace(old, new) + data[-16:]).decode().rstrip("=")
        with pytest.raises(AccessDenied, match="not from here"):
            Grant.opened(forged, keys, now=0)


def test_grants_of_one_cluster_open_every_seed_peer_of_it_and_no_other():
    ours = [Keys.of(Secret("one")) for _ in range(2)]
    grant = Grant(task="t", node="n", expires=1000)
    assert Grant.opened(grant.sealed(ours[0]), ours[1], now=0) == grant
    for stranger in (Keys.of(Secret("two")), Keys.passing()):
        with pytest.raises(AccessDenied):
            Grant.opened(grant.sealed(ours[0]), stranger, now=0)


@given(st.text(max_size=200))
def test_no_text_but_a_grant_is_a_grant(text):
    with pytest.raises(AccessDenied):
        Grant.opened(text, Keys.passing(), now=0)


@given(st.binary(max_size=64))
def test_no_sealed_nonsense_breaks_the_reader(body):
    keys = Keys.passing()
    text = base64.urlsafe_b64encode(body + keys.seal("grant", body)).rstrip(b"=").decode()
    try:
        grant = Grant.opened(text, keys, now=0)
    except AccessDenied:
        return
    assert grant.expires > 0
