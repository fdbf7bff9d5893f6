"""What is asked of the mirror for a task: what is due and served here, and first what somebody waits for."""

import asyncio
import types

import pytest

from dfly.errors import NotFound
from dfly.layout import SMALL
from dfly.packs import Freight
from dfly.seed.seals import RememberedSeals
from dfly.seed.task import Task
from dfly.seed.topology.scheduler import Scheduler
from dfly.seed.wanting import Wanting, all_fit
from dfly.values import Digest, Entry, Snapshot

BACKEND = types.SimpleNamespace()
ENTRIES = tuple(
    Entry(
        path=name, size=SMALL + 1, url=f"g://h@1/{name}", identity=f"g://h/{name}", digests=(Digest("sha256", n * 64),)
    )
    for n, name in zip("123", ("a", "b", "c"), strict=True)
)
FREIGHT = Freight.of(Snapshot("g://h@1", "h", ENTRIES, public=True), task="t")
A, B, C = FREIGHT.blobs


class Asked:
    """A mirror that notes what it is asked for."""

    def __init__(self):
        self.said = []

    def want(self, freight, backend, *, task, held_back):
        assert (backend, task) == (BACKEND, "t")
        self.said.append(("want", *freight.blobs, *(["later"] if held_back else [])))

    def hurry(self, blob, segments):
        self.said.append(("hurry", blob, *segments))


@pytest.fixture
def mirror():
    return Asked()


@pytest.fixture
def wanting(mirror):
    def build(unfit=all_fit):
        return Wanting(mirror=mirror, errand=lambda work, *args: work(*args), unfit=unfit)

    return build


def task(*, lazy=False, held_back_until=None):
    return Task(
        id="t",
        source="g://h@1",
        answer=b"",
        freight=FREIGHT,
        scheduler=Scheduler(task="t", blobs=frozenset(FREIGHT.sizes()), clock=lambda: 0.0),
        seals=RememberedSeals(()),
        lazy=lazy,
        backend=BACKEND,
        held_back_until=held_back_until,
    )


def test_all_of_a_task_is_wanted_of_a_lazy_one_nothing_yet(wanting, mirror):
    assert asyncio.run(wanting().begin(task(), BACKEND)) == {}
    asyncio.run(wanting().begin(task(lazy=True), BACKEND))
    assert mirror.said == [("want", A, B, C), ("want",)]


def test_what_is_not_served_here_is_told_and_not_asked_for(wanting, mirror):
    error = NotFound("g://h@1/b")
    assert asyncio.run(wanting(lambda _: {B: error}).begin(task(), BACKEND)) == {B: error}
    assert mirror.said == [("want", A, C)]


def test_what_nodes_may_bring_along_is_wanted_later(wanting, mirror):
    asyncio.run(wanting().begin(task(held_back_until=1.0), BACKEND))
    assert mirror.said == [("want", A, B, C, "later")]


def test_of_a_lazy_task_all_that_was_accepted_so_far_is_wanted(wanting, mirror):
    lazy = task(lazy=True)
    wanting().mind(lazy, accepted=[B], first=[])
    wanting().mind(lazy, accepted=[A, "sha256-of-another-task"], first=[])
    assert mirror.said == [("want", B), ("want", A, B)]


def test_what_somebody_waits_for_is_said_before_what_is_wanted(wanting, mirror):
    wanting().mind(task(lazy=True), accepted=[A], first=[(A, 3), (A, 4), ("sha256-of-another-task", 0)])
    assert mirror.said == [("hurry", A, 3, 4), ("want", A)]


def test_what_is_wanted_anyway_is_not_asked_for_again(wanting, mirror):
    wanting().mind(task(), accepted=[A], first=[])
    assert mirror.said == []
