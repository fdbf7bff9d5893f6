"""A node in the seed peer's place: for its one task, with what its own node was told, and the source for the rest."""

import contextlib
import hashlib
import socket
import threading

import attrs
import httpx
import pytest

from dfly.backend import Secret
from dfly.config import Fetch, Network, Patience
from dfly.errors import OriginUnavailable
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.plugins import Plugins
from dfly.seed import carrying as carrying_module
from dfly.seed.stand_in import StandIn
from dfly.testing.memory import MemoryOptions, memory_backend
from dfly.wire import Ask, Blob, EntryDuty, Failed, Have, Resolved, Segment

from .conftest import Peer
from .rigs import SIZE, content
from .test_adoption import hashes_of, wait_for

FILES = {"model.bin": content(SIZE), "config.json": b"{}", "tokenizer.json": b"[1]"}
TOKEN = {"X-Dfly-Option-memory-token": "good"}
#: Seconds that are never over.
FOREVER = 3600.0


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(carrying_module, "AFTER_FIRST", 0.1)
    monkeypatch.setattr(carrying_module, "ORPHANED", 0.1)
    # nodes here say nothing while they wait
    monkeypatch.setattr(carrying_module, "ABANDONED", FOREVER)


@attrs.define
class Scene:
    """A stand-in, its own node's memory, and what other nodes do with it."""

    stand_in: StandIn
    peer: Peer
    resolved: Resolved
    freight: Freight
    blob: str
    fetched: list

    def known(self, *indexes, mac="ab" * 16):
        return [remembered(self.blob, index, mac) for index in indexes]

    def have(self, *indexes, node="n1"):
        body = Have(node=node, segments=tuple(self.known(*indexes, mac=""))).encode()
        return self.peer.client.post(f"/v1/snapshots/{self.resolved.task}/have", content=body).json()["believed"]


def remembered(blob, index, mac):
    return Segment(blob=blob, index=index, size=SIZE, hashes=hashes_of(FILES["model.bin"], index), mac=mac)


@pytest.fixture
def stand_in(tmp_path):
    with contextlib.ExitStack() as stack:

        def begin(
            *, known=(), token=None, digests=True, grace=0.3, cluster_token=None, url="memory://tiny", tail="-tail"
        ):
            base, fetched = memory_backend({"tiny": FILES}, token=token), []

            class Recording(base):
                def get(self, entry, start, stop):
                    fetched.append((entry.path, start, stop))
                    return super().get(entry, start, stop)

            backend = Recording(MemoryOptions(token=Secret(token) if token else None), None)
            snapshot = backend.list("memory://tiny")
            if not digests:
                entries = [attrs.evolve(e, digests=()) if e.path == "model.bin" else e for e in snapshot.entries]
                snapshot = snapshot.only(entries)
            resolved = Resolved(task=f"{snapshot.id}{tail}", snapshot=snapshot)
            freight = Freight.of(snapshot, task=resolved.task)
            (blob,) = freight.blobs
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            made = StandIn(
                sock=sock,
                data_dir=str(tmp_path / "stand-in"),
                resolved=resolved,
                ask=Ask(url=url, recursive=True),
                backend=backend,
                known=[remembered(blob, index, "ab" * 16) for index in known],
                cluster_token=cluster_token,
                network=Network(),
                plugins=Plugins(extra=[Recording]),
                fetch=Fetch(),
                patience=Patience(tries=2, first_delay=0.01, longest_delay=0.01),
                grace=grace,
            )
            at = made.start()
            stack.callback(made.close)
            client = stack.enter_context(httpx.Client(base_url=at, trust_env=False, timeout=60))
            return Scene(made, Peer(at, None, Recording, client), resolved, freight, blob, fetched)

        yield begin


def of_the_model(fetched):
    layout = Layout(SIZE)
    return {layout.segment_of(start) for path, start, _ in fetched if path == "model.bin"}


def test_it_publishes_what_no_node_holds_and_leaves_the_rest_with_the_nodes(stand_in):
    # the source is left alone until the node has told what it holds
    scene = stand_in(known=(0, 1), grace=FOREVER)
    scene.peer.ask(recursive=True)
    with scene.peer.stream(scene.resolved.task) as stream:
        told = {stream.next(Segment).index for _ in range(2)}
        assert told == {0, 1}
        assert scene.have(0) == 1
        # nobody said that it holds segment 1, and nobody was ever told of segment 2; the pack is one segment
        duties = {(duty.blob, duty.index) for duty in (stream.next(EntryDuty) for _ in range(3))}
        assert duties == {(scene.blob, 1), (scene.blob, 2), (scene.freight.pack.blob, 0)}
        wait_for(lambda: of_the_model(scene.fetched) == {1, 2})
        grant = scene.peer.grant(scene.resolved.task, "n2")
        start, stop = Layout(SIZE).segment_range(2)
        answer = scene.peer.bytes(grant, scene.blob, start, stop)
        assert answer.content == FILES["model.bin"][start:stop]
        assert scene.peer.bytes(grant, scene.blob, 0, 10).status_code == 416


def test_it_passes_on_the_marks_that_the_seed_peer_gave(stand_in):
    scene = stand_in(known=(0,))
    marks = {}
    with scene.peer.stream(scene.resolved.task) as stream:
        while len(marks) < 3:
            segment = stream.next(Segment)
            if segment.blob == scene.blob:
                marks.setdefault(segment.index, segment.mac)
    assert marks == {0: "ab" * 16, 1: "", 2: ""}


def test_what_it_was_never_told_is_not_believed(stand_in):
    scene = stand_in(known=(0,))
    with scene.peer.stream(scene.resolved.task) as stream:
        stream.next(Segment)
        assert scene.have(0, 1) == 1


def test_small_files_come_whole_because_only_who_has_them_can_vouch_for_the_pack(stand_in):
    scene = stand_in()
    with scene.peer.stream(scene.resolved.task) as stream:
        done = next(blob for blob in iter(lambda: stream.next(Blob), None) if blob.blob == scene.freight.pack.blob)
        assert done.state == "complete"
        assert done.sha256 == hashlib.sha256(b"{}[1]").hexdigest()


def test_a_blob_whose_source_tells_no_digest_is_for_everybody_to_fetch(stand_in):
    scene = stand_in(known=(0,), digests=False)
    with scene.peer.stream(scene.resolved.task) as stream:
        failed = stream.next(Failed)
        assert (failed.blob, failed.error) == (scene.blob, "SwarmError")
        assert stream.next(Blob).blob == scene.freight.pack.blob
    assert of_the_model(scene.fetched) == set()


def test_it_serves_its_one_task(stand_in):
    scene = stand_in()
    resolved = Resolved.decode(scene.peer.ask("memory://tiny").content)
    assert resolved == scene.resolved
    pinned = scene.peer.ask(scene.resolved.snapshot.source, known=attrs.evolve(scene.resolved, seal="1.x.00"))
    assert Resolved.decode(pinned.content).seal == "1.x.00"
    for url, more in (("memory://other", {}), ("memory://tiny", {"include": ("*.json",)})):
        answer = scene.peer.ask(url, **more)
        assert (answer.status_code, answer.json()["error"]) == (404, "NotFound")


def test_a_private_task_is_for_those_whom_the_source_admits(stand_in):
    scene = stand_in(token="good")
    assert scene.peer.ask("memory://tiny", headers=TOKEN).status_code == 200
    for headers in ({}, {"X-Dfly-Option-memory-token": "bad"}):
        assert scene.peer.ask("memory://tiny", headers=headers).json()["error"] == "AccessDenied"

    def refuse(*_):
        raise OriginUnavailable("the hub is down")

    scene.peer.backend.authorize = refuse
    assert scene.peer.ask("memory://tiny", headers=TOKEN).status_code == 200
    assert scene.peer.ask("memory://tiny").status_code == 502


def test_a_node_that_a_seed_peer_let_in_needs_to_show_no_secret(stand_in):
    scene = stand_in(token="good")
    known = attrs.evolve(scene.resolved, seal="1.x.00")
    assert scene.peer.ask("memory://tiny", known=known).status_code == 200
    other = known.snapshot.only(known.snapshot.entries[:1])
    for forged in (
        attrs.evolve(known, task=known.snapshot.id),
        attrs.evolve(known, task=known.task + "x"),
        attrs.evolve(known, snapshot=other),
    ):
        assert scene.peer.ask("memory://tiny", known=forged).status_code in (403, 404)


def test_an_id_that_anybody_can_compute_proves_nothing(stand_in):
    scene = stand_in(token="good", tail="")
    assert scene.peer.ask("memory://tiny", known=attrs.evolve(scene.resolved, seal="1.x.00")).status_code == 403


def test_it_asks_for_the_cluster_token(stand_in):
    scene = stand_in(cluster_token=Secret("word"))
    assert scene.peer.ask("memory://tiny").status_code == 401
    assert scene.peer.ask("memory://tiny", headers={"Authorization": "Bearer word"}).status_code == 200


def test_it_is_busy_while_a_node_lacks_something(stand_in):
    scene = stand_in()
    assert not scene.stand_in.busy()
    with scene.peer.stream(scene.resolved.task, "n1") as stream:
        stream.next()
        wait_for(scene.stand_in.busy)
        scene.peer.report(scene.resolved.task, "n1", done=True)
        assert not scene.stand_in.busy()


def test_closing_ends_the_streams_and_leaves_the_socket_to_its_owner(stand_in):
    scene = stand_in()
    with scene.peer.stream(scene.resolved.task) as stream:
        stream.next(Blob)
        closing = threading.Thread(target=scene.stand_in.close)
        closing.start()
        while stream.next() is not None:
            pass
        closing.join()
