import contextlib
import hashlib
import socket

import pytest

from dfly.errors import OriginUnavailable
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.wire import Blob, EntryDuty, Failed, Hello, Ring, Segment, decode_message

from .conftest import FILES

LAYOUT = Layout(len(FILES["model.bin"]))
PIECE, SEGMENT = LAYOUT.piece_length, LAYOUT.segment_length


def model_blob(resolved):
    (blob,) = Freight.of(resolved.snapshot, task=resolved.task).blobs
    return blob


def test_a_model_goes_all_the_way_through_the_protocol(peer):
    resolved = peer.resolve()
    assert [e.path for e in resolved.snapshot.entries] == sorted(FILES)
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        hello = stream.next()
        assert isinstance(hello, Hello)
        assert hello.seed_peers == ("127.0.0.1",)
        assert stream.next() == Ring(members=1)
        peer.mirror.publish(blob, 0)
        duty, segment = stream.next(), stream.next()
        assert duty == EntryDuty(blob=blob, index=0)
        assert (segment.blob, segment.index, segment.seq) == (blob, 0, 1)
        assert segment.hashes[:20] == hashlib.sha1(FILES["model.bin"][:PIECE]).digest()
        answer = peer.bytes(hello.grant, blob, 0, SEGMENT)
        assert answer.status_code == 206
        assert answer.content == FILES["model.bin"][:SEGMENT]
        assert peer.report(resolved.task, held={blob: (0,)}).status_code == 200
        peer.mirror.complete(blob)
        done = stream.next(Blob)
        assert done.sha256 == hashlib.sha256(FILES["model.bin"]).hexdigest()
        hashes = peer.client.get(f"/v1/snapshots/{resolved.task}/hashes/{blob}").content
        assert len(hashes) == LAYOUT.pieces * 20 + 3 * 16
        assert hashes.startswith(segment.hashes)
        assert hashes[LAYOUT.pieces * 20 :][:16].hex() == segment.mac
    stats = peer.client.get("/v1/stats").json()
    assert stats["egress"]["web seed"] == SEGMENT
    assert stats["hub_bytes"] == sum(map(len, FILES.values()))


def test_the_duty_comes_before_the_segment_it_is_for(peer):
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        stream.next(Ring)
        peer.mirror.publish(blob, 0, 1, 2)
        kinds = [(type(m), m.index) for m in (stream.next() for _ in range(6))]
    for index in range(3):
        assert kinds.index((EntryDuty, index)) < kinds.index((Segment, index))


def test_two_nodes_become_neighbours_and_part_when_a_connection_breaks(peer):
    task = peer.resolve().task
    with peer.stream(task, "n1", port=1001) as one:
        assert one.next(Ring).neighbours == ()
        with peer.stream(task, "n2", port=1002, advertise="10.1.1.1,[fd00::1]:77") as two:
            assert two.next(Ring).neighbours == (("127.0.0.1", 1001),)
            assert one.next(Ring).neighbours == (("127.0.0.1", 1002), ("10.1.1.1", 1002), ("fd00::1", 77))
            peer.report(task, "n2", goodbye=True)
        assert one.next(Ring).neighbours == ()


def test_a_connection_cut_without_a_word_is_noticed(peer):
    task = peer.resolve().task
    with peer.stream(task, "n1", port=1001) as one:
        one.next(Ring)
        with peer.stream(task, "n2", port=1002) as two:
            two.next(Ring)
            assert one.next(Ring).neighbours
        assert one.next(Ring).neighbours == ()


def test_a_stream_to_http_1_0_is_lines_and_nothing_else(peer):
    resolved = peer.resolve()
    where = (peer.client.base_url.host, peer.client.base_url.port)
    with socket.create_connection(where, timeout=60) as connection, connection.makefile("rb") as stream:
        connection.sendall(f"GET /v1/snapshots/{resolved.task}/events?node=n1 HTTP/1.0\r\n\r\n".encode())
        assert b"chunked" not in b"".join(iter(stream.readline, b"\r\n"))
        assert isinstance(decode_message(stream.readline()), Hello)
        assert isinstance(decode_message(stream.readline()), Ring)
        peer.mirror.publish(model_blob(resolved), 0)
        assert decode_message(stream.readline()).index == 0


def test_a_late_joiner_hears_one_line_for_a_complete_blob(peer):
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        peer.mirror.complete(blob)
        stream.next(Blob)
        with peer.stream(resolved.task, "n2") as late:
            assert late.next((Segment, Blob)).state == "complete"


def test_a_blob_in_two_tasks_is_told_in_both(peer):
    peer.backend.hub.commit("other", {"same.bin": FILES["model.bin"]})
    one, two = peer.resolve("memory://tiny"), peer.resolve("memory://other")
    assert one.task != two.task
    blob = model_blob(one)
    with peer.stream(one.task) as first, peer.stream(two.task) as second:
        first.next(Ring), second.next(Ring)
        peer.mirror.publish(blob, 0)
        assert first.next(Segment).blob == second.next(Segment).blob == blob


def test_a_task_that_comes_later_starts_with_what_is_there(peer):
    blob = model_blob(peer.resolve())
    peer.mirror.publish(blob, 0, 1)
    peer.backend.hub.commit("other", {"same.bin": FILES["model.bin"]})
    later = peer.resolve("memory://other")
    with peer.stream(later.task) as stream:
        assert [stream.next(Segment).index for _ in range(2)] == [0, 1]


def test_a_withdrawn_blob_comes_again_as_the_next_attempt(peer):
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        peer.mirror.publish(blob, 0)
        assert stream.next(Segment).attempt == 1
        peer.mirror.withdraw(blob)
        assert stream.next(Blob).state == "withdrawn"
        peer.mirror.publish(blob, 0)
        assert stream.next(Segment).attempt == 2


def test_a_blob_that_cannot_be_had_is_said_with_its_reason(peer):
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        stream.next(Ring)
        peer.mirror.listener.blob_failed(blob, OriginUnavailable("the hub is down", hint="wait"))
        assert stream.next() == Failed(
            seq=1, blob=blob, error="OriginUnavailable", message="the hub is down", hint="wait"
        )


def test_a_stream_goes_on_after_the_last_line_heard(peer):
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        epoch = stream.next(Hello).epoch
        peer.mirror.publish(blob, 0, 1)
        stream.next(Segment)
    with peer.stream(resolved.task, after=f"{epoch}.1") as stream:
        assert stream.next(Segment).index == 1


def test_a_nodes_second_stream_takes_the_place_of_its_first(peer):
    task = peer.resolve().task
    with peer.stream(task) as first:
        first.next(Ring)
        with peer.stream(task) as second:
            second.next(Ring)
            assert first.next(Blob) is None
            assert peer.report(task).status_code == 200


def test_grants_are_renewed_on_the_open_stream(start):
    peer = start(grant_lifetime=1)
    with peer.stream(peer.resolve().task) as stream:
        first, second = stream.next(Hello), stream.next(Hello)
        assert second.expires >= first.expires
        assert second.epoch == first.epoch


def test_a_stranger_who_reports_is_told_to_listen_first(peer):
    answer = peer.report(peer.resolve().task, "stranger")
    assert answer.status_code == 409
    assert answer.json()["error"] == "SwarmError"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/snapshots/nothing/events?node=n1&port=1", 404),
        ("POST", "/v1/snapshots/nothing/report", 404),
        ("GET", "/v1/snapshots/nothing/hashes/b", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/snapshots", 405),
        ("GET", "/v1/blobs/..%2f..%2f/x", 403),
    ],
)
def test_what_is_not_there_is_refused_in_json(peer, method, path, status):
    answer = peer.client.request(method, path, content=b"{}" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.json()["message"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"url": 1}', b"\xff", b"[" * 100_000, b'{"url":"memory://tiny","include":[1]}']
)
def test_a_body_that_is_no_ask_is_a_bad_message(peer, body):
    answer = peer.client.post("/v1/snapshots", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "WireError"


def test_a_body_beyond_the_cap_is_refused(peer):
    task = peer.resolve().task
    for route in ("report", "have"):
        assert peer.client.post(f"/v1/snapshots/{task}/{route}", content=b"x" * (9 << 20)).status_code == 413


def test_only_a_snapshot_may_be_large(peer):
    answer = peer.client.post("/v1/snapshots", content=b"x" * (9 << 20))
    assert (answer.status_code, answer.json()["error"]) == (400, "WireError")
    host, port = peer.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as raw:
        raw.sendall(b"POST /v1/snapshots HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
        assert b" 413 " in raw.recv(4096)


@pytest.mark.parametrize(
    "query",
    [
        "node=&port=1",
        "node=a/b&port=1",
        "node=n&port=70000",
        "node=n&port=x",
        "node=n&port=1&advertise=evil.example",
        "node=n&port=1&location=%0a",
        f"node=n&port=1&after={'9' * 5000}"[:200],
    ],
)
def test_a_join_that_makes_no_sense_is_refused(peer, query):
    task = peer.resolve().task
    with peer.client.stream("GET", f"/v1/snapshots/{task}/events?{query}") as answer:
        assert answer.status_code == (200 if "after" in query else 400)


def test_an_unknown_scheme_is_named(peer):
    answer = peer.ask("gopher://x")
    assert answer.status_code == 400
    assert answer.json()["error"] == "UnknownScheme"
    assert answer.json()["scheme"] == "gopher"
    assert "memory" in answer.json()["message"]


def test_a_missing_repository_is_the_hubs_not_found(peer):
    answer = peer.ask("memory://nowhere")
    assert (answer.status_code, answer.json()["error"], answer.json()["kind"]) == (404, "NotFound", "repository")


def test_what_comes_as_soon_as_it_is_wanted_is_counted_as_missing_before(start):
    peer = start(publish_all=True)
    blobs = Freight.of(peer.resolve().snapshot, task="").sizes()
    told = peer.client.get("/metrics").text
    assert f'dfly_cache_requests_total{{result="miss"}} {len(blobs)}.0' in told
    assert 'dfly_cache_requests_total{result="hit"} 0.0' in told


def test_the_schema_has_every_plugins_options(peer):
    plugins = {row["prefix"]: row for row in peer.client.get("/v1/plugins").json()["plugins"]}
    options = {o["field"]: o for o in plugins["memory"]["options"]}
    assert options["token"]["secret"]
    assert options["token"]["travels"]
    assert options["token"]["flag"] == "--memory-token"


def test_health_and_readiness(peer):
    assert peer.client.get("/healthz").json() == {"ok": True}
    assert peer.client.get("/readyz").json() == {"ready": True}


def test_streams_end_and_the_mirror_is_closed_when_the_seed_peer_stops(tmp_path):
    import httpx

    from dfly.plugins import Plugins
    from dfly.seed.peer import SeedPeer
    from dfly.seed.settings import SeedPeerConfig
    from dfly.testing.memory import memory_backend

    from .conftest import Peer
    from .mirrors import HandMirror

    mirrors, backend = [], memory_backend({"tiny": FILES})

    def open_mirror(config, listener, pauses):
        mirrors.append(HandMirror(tmp_path / "blobs", listener))
        return contextlib.closing(mirrors[0])

    config = SeedPeerConfig(data_dir=str(tmp_path), listen=("127.0.0.1", 0))
    running = SeedPeer(config, open_mirror=open_mirror, plugins=Plugins(extra=[backend])).running()
    with httpx.Client(base_url=running.__enter__(), trust_env=False, timeout=60) as client:
        peer = Peer("", mirrors[0], backend, client)
        with peer.stream(peer.resolve().task) as stream:
            stream.next(Ring)
            running.__exit__(None, None, None)
            assert stream.next(Blob) is None
    assert mirrors[0].closed
