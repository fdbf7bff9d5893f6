"""Nodes carry over what an earlier seed peer said: over real HTTP, with a mirror that a test moves."""

import asyncio
import itertools
import threading

import attrs
import pytest

from dfly.backend import Secret
from dfly.errors import OriginUnavailable
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed import app as app_module
from dfly.seed import carrying as carrying_module
from dfly.seed.joining import Join
from dfly.seed.keys import Keys
from dfly.seed.progress import Carried
from dfly.seed.seals import ClusterSeals
from dfly.seed.tasks import Tasks
from dfly.testing.memory import MemoryOptions, memory_backend
from dfly.wire import Ask, Blob, EntryDuty, Have, Report, Resolved, Ring, Segment

from .clocks import Clock
from .conftest import FILES
from .mirrors import HandMirror

CLUSTER = {"cluster_secret": Secret("of seed peers")}
TOKEN = {"X-Dfly-Option-memory-token": "good"}


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch):
    monkeypatch.setattr(carrying_module, "AFTER_FIRST", 0.05)
    monkeypatch.setattr(carrying_module, "ORPHANED", 0.1)
    monkeypatch.setattr(app_module, "TICK", 0.02)
    monkeypatch.setattr(app_module, "_OPENING", 0.5)


@attrs.define
class Before:
    """What nodes have from a seed peer that is gone."""

    resolved: Resolved
    blob: str
    segments: list[Segment]
    backend: type


def model_blob(resolved):
    (blob,) = Freight.of(resolved.snapshot, task=resolved.task).blobs
    return blob


@pytest.fixture
def before(start):
    """A seed peer has resolved and published; the same hub is asked by the next one, which `start` makes."""

    def make(*, token=None, attempt=1, **settings):
        backend = memory_backend({"tiny": FILES}, token=token)
        first = start(backend=backend, **(settings or CLUSTER))
        resolved = first.resolve(headers=TOKEN if token else None)
        blob = model_blob(resolved)
        for _ in range(attempt - 1):
            first.mirror.withdraw(blob)
        with first.stream(resolved.task, ticket=resolved.ticket) as stream:
            first.mirror.publish(blob, 0, 1, 2)
            segments = [stream.next(Segment) for _ in range(3)]
        return Before(resolved, blob, segments, backend)

    return make


def take_down(hub_backend):
    """The hub answers no question any more; its content stays."""

    def refuse(*_):
        raise OriginUnavailable("the hub is down")

    for name in ("stat", "list", "authorize"):
        setattr(hub_backend, name, refuse)


def carry(peer, resolved, **more):
    return peer.ask(resolved.snapshot.source, known=resolved, **more)


def have(peer, task, segments, node="n1"):
    answer = peer.client.post(f"/v1/snapshots/{task}/have", content=Have(node=node, segments=tuple(segments)).encode())
    return answer.json()["believed"] if answer.status_code == 200 else answer.json()["error"]


def up_to(stream, index):
    """What a stream says before it tells of a segment."""
    told = iter(stream.next, None)
    return list(itertools.takewhile(lambda m: not isinstance(m, Segment) or m.index != index, told))


def test_a_sealed_snapshot_is_believed_with_the_hub_down(start, before):
    known = before()
    take_down(known.backend)
    peer = start(backend=known.backend, **CLUSTER)
    answer = Resolved.decode(carry(peer, known.resolved).content)
    assert answer == known.resolved
    assert peer.mirror.held_back


def test_without_a_seal_that_is_right_the_hub_is_asked(start, before):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    forged = attrs.evolve(known.resolved, snapshot=attrs.evolve(known.resolved.snapshot, name="another"))
    answer = Resolved.decode(carry(peer, forged).content)
    assert answer.snapshot.name == "tiny"
    assert not peer.mirror.held_back
    take_down(known.backend)
    assert carry(peer, attrs.evolve(forged, seal="")).status_code == 200, "it was resolved a moment ago"
    other = start(backend=known.backend, **CLUSTER)
    assert carry(other, forged).status_code == 502


def test_a_seal_of_another_cluster_counts_for_nothing(start, before):
    known = before()
    take_down(known.backend)
    assert carry(start(backend=known.backend, cluster_secret=Secret("other")), known.resolved).status_code == 502


def test_the_cluster_token_makes_no_seals(start, before):
    known = before(cluster_secret=Secret("word"))
    take_down(known.backend)
    peer = start(backend=known.backend, cluster_token=Secret("word"), headers={"Authorization": "Bearer word"})
    assert carry(peer, known.resolved).status_code == 502


def test_a_seal_opens_a_private_snapshot_to_the_token_it_was_given_for(start, before):
    known = before(token="good")
    take_down(known.backend)
    peer = start(backend=known.backend, **CLUSTER)
    assert Resolved.decode(carry(peer, known.resolved, headers=TOKEN).content).task == known.resolved.task
    assert carry(peer, known.resolved).status_code == 502
    assert carry(peer, known.resolved, headers={"X-Dfly-Option-memory-token": "bad"}).status_code == 502


def test_a_source_that_is_not_allowed_here_is_refused_with_a_seal_as_well(start, before):
    known = before()
    peer = start(backend=known.backend, allow_source=("memory://other",), **CLUSTER)
    assert carry(peer, known.resolved).json()["error"] == "AccessDenied"
    peer = start(backend=known.backend, allow_source=("memory://tiny",), **CLUSTER)
    assert carry(peer, known.resolved).status_code == 200


def test_what_a_node_holds_is_told_to_all_and_is_nobodys_duty(start, before):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    with peer.stream(task, "n1") as one, peer.stream(task, "n2") as two:
        one.next(Ring), two.next(Ring)
        assert have(peer, task, known.segments[:2]) == 2
        told = [two.next(Segment) for _ in range(2)]
        assert [attrs.evolve(s, seq=0) for s in told] == [attrs.evolve(s, seq=0) for s in known.segments[:2]]
        assert peer.mirror.let_gone.wait(30)
        peer.mirror.publish(known.blob, 2)
        heard = [message for stream in (one, two) for message in up_to(stream, 2)]
        assert [message.index for message in heard if isinstance(message, EntryDuty)] == [2]
        assert peer.mirror.reclaimed == []
        peer.mirror.complete(known.blob)
        assert two.next(Blob).state == "complete"
    assert peer.mirror.adopted.keys() == {(known.blob, 0), (known.blob, 1)}
    assert peer.bytes(peer.grant(task), known.blob, 0, 10).status_code == 206


def test_all_nodes_that_ask_for_a_blobs_hashes_get_the_same_marks_and_they_are_made_once(start, monkeypatch):
    real, made = ClusterSeals.mac, []
    monkeypatch.setattr(ClusterSeals, "mac", lambda self, segment: made.append(segment.index) or real(self, segment))
    peer = start(**CLUSTER)
    resolved = peer.resolve()
    blob = model_blob(resolved)
    with peer.stream(resolved.task) as stream:
        peer.mirror.complete(blob)
        stream.next(Blob)
        made.clear()
        url = f"/v1/snapshots/{resolved.task}/hashes/{blob}"
        first, second = (peer.client.get(url).content for _ in range(2))
        assert first == second
        segments = Layout(peer.mirror.size(blob)).segments
        assert len(first) == 20 * Layout(peer.mirror.size(blob)).pieces + 16 * segments
        assert made == list(range(segments))


def test_who_holds_what_nobody_is_to_pull_is_not_asked():
    asked, pulled = [], []

    class Scheduler:
        blobs, undone = ("b",), ()

        def held(self, blob):
            return 0b011

        def holders(self, blob, index, *, most):
            asked.append(index)
            return [("127.0.0.1", 1)]

    class Puller:
        room = 16

        def pull(self, segment, holders):
            pulled.append(segment.index)

    class Task:
        held_back_until, wanted_here, adopted = None, True, False
        scheduler = Scheduler()

        def carried(self):
            for index in range(3):
                yield Carried(segment=Segment(blob="b", index=index, size=1, hashes=b""), reclaimed=index == 1)

        def orphans(self, now, *, patience):
            return []

    carrying = carrying_module.Carrying(
        mirror=None,
        open_puller=lambda mirror, give_up: Puller(),
        seals=None,
        sharing=lambda blob: [],
        due=lambda task: None,
        errand=lambda *_: None,
        from_thread=lambda *_: None,
        clock=lambda: 0.0,
    )
    carrying.tick(Task(), 0.0)
    assert (asked, pulled) == ([0], [0])


def test_the_origin_is_left_alone_until_the_first_node_has_told(start, before, monkeypatch):
    monkeypatch.setitem(Tasks.__init__.__kwdefaults__, "held_back", 1000.0)
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    with peer.stream(task) as stream:
        stream.next(Ring)
        assert not peer.mirror.let_gone.is_set()
        have(peer, task, known.segments[:1])
        assert peer.mirror.let_gone.wait(30)


def test_what_nobody_holds_any_more_is_fetched_as_long_as_somebody_lacks_it(start, before):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    with peer.stream(task, "n2") as two:
        two.next(Ring)
        with peer.stream(task, "n1") as one:
            one.next(Ring)
            have(peer, task, known.segments)
            peer.report(task, "n2", held={known.blob: (0,)})
            peer.report(task, "n1", goodbye=True)
        duties = {two.next(EntryDuty).index for _ in range(2)}
        assert duties == {1, 2}
        assert sorted(peer.mirror.reclaimed) == [(known.blob, 1), (known.blob, 2)]


def test_when_all_are_done_nothing_is_fetched_for_nobody(before, tmp_path):
    known, clock, seals = before(), Clock(), ClusterSeals(keys=Keys.of(CLUSTER["cluster_secret"]))
    mirrors = []

    def open_mirror(listener):
        mirrors.append(HandMirror(tmp_path / "blobs", listener))
        return mirrors[0]

    async def scene():
        tasks = Tasks(open_mirror=open_mirror, seals=seals, loop=asyncio.get_running_loop(), clock=clock)
        backend = known.backend(MemoryOptions(), None)
        task = await tasks.open(known.resolved.task, known.resolved.snapshot, backend, carried=True)
        for node in ("n1", "n2"):
            task.join(Join(node=node, addresses=((node, 1),)))
        assert await tasks.carrying.have(task, Have(node="n1", segments=tuple(known.segments))) == 3
        task.report(Report(node="n1", done=True, goodbye=True))
        task.report(Report(node="n2", done=True))
        seen = []
        for _ in range(20):
            clock.now += 1
            tasks.tick()
        seen.append(list(mirrors[0].reclaimed))
        task.report(Report(node="n2", done=False))
        for _ in range(2):
            clock.now += 1
            tasks.tick()
        await asyncio.get_running_loop().shutdown_default_executor()
        return [*seen, sorted(mirrors[0].reclaimed)]

    assert asyncio.run(scene()) == [[], [(known.blob, 0), (known.blob, 1), (known.blob, 2)]]


def test_a_node_may_tell_before_its_stream_is_open(start, before, monkeypatch):
    monkeypatch.setattr(app_module, "_OPENING", 60.0)
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    answers = []
    early = threading.Thread(target=lambda: answers.append(have(peer, task, known.segments)))
    early.start()
    with peer.stream(task) as stream:
        assert stream.next(Segment).index == 0
        early.join()
    assert answers == [3]


def test_a_stranger_carries_nothing(start, before):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    assert have(peer, task, known.segments, node="stranger") == "SwarmError"


@pytest.mark.parametrize(
    "change", [{"mac": ""}, {"mac": "00"}, {"attempt": 7}, {"hashes": bytes(320)}, {"blob": "sha256-0"}]
)
def test_a_segment_that_no_seed_peer_published_is_not_believed(start, before, change):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    with peer.stream(task) as stream:
        stream.next(Ring)
        forged = attrs.evolve(known.segments[0], **change)
        assert have(peer, task, [forged, known.segments[1]]) == 1
        assert stream.next(Segment).index == 1
    assert peer.mirror.adopted.keys() == {(known.blob, 1)}


def test_a_restarted_seed_peer_believes_itself(start, before):
    known = before(revision_ttl=30.0)
    take_down(known.backend)
    peer = start(backend=known.backend)
    task = Resolved.decode(carry(peer, known.resolved).content).task
    with peer.stream(task) as stream:
        stream.next(Ring)
        assert have(peer, task, known.segments) == 3


def test_a_snapshot_larger_than_a_usual_body_is_carried(start, before):
    known = before()
    peer = start(backend=known.backend, **CLUSTER)
    long = tuple("x" * 4000 + str(n) for n in range(2000))
    big = Ask(url=known.resolved.snapshot.source, recursive=True, known=known.resolved).encode()
    padded = big[:-1] + b',"padding":"' + b"".join(map(str.encode, long)) + b" " * (1 << 20) + b'"}'
    assert len(padded) > 8 << 20
    assert peer.client.post("/v1/snapshots", content=padded).status_code == 200
