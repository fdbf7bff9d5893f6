"""The seed peer's book of errands, with a clock that a test moves."""

import asyncio

import pytest

from dfly.errors import NotFound, SwarmError
from dfly.seed.operators import errands as book
from dfly.seed.operators.errands import Errands
from dfly.seed.operators.standing import Roster
from dfly.wire import Ask, Heartbeat, WireError
from dfly.wire.errands import Choice, Errand, ErrandReport, Preheat, decode_errand
from tests.seed.clocks import Clock

ASK = Ask(url="memory://model", recursive=True)
SOURCE = "memory://model@1"


class Desk:
    """A book with nodes in it."""

    def __init__(self, *nodes: str) -> None:
        self.clock, self.roster = Clock(), Roster()
        self.errands = Errands(roster=self.roster, clock=self.clock)
        self.standing = {node: self.come(node) for node in nodes}

    def come(self, node):
        standing = self.roster.come(node, "")
        self.errands.came(standing)
        return standing

    def begin(self, *, patience=None, pin=False):
        nodes = list(self.standing.values())
        return self.errands.begin(source=SOURCE, files=1, patience=patience, nodes=nodes, ask=ASK, options={}, pin=pin)

    def report(self, job, node, state, **more):
        (errand,) = [name for name, (_, progress) in job.errands.items() if progress.node == node]
        self.errands.report(errand, ErrandReport(node=node, state=state, **more))

    def later(self, seconds):
        self.clock.now += seconds
        self.errands.tick()


def states(job):
    return {row.node: row.state for row in job.rows()}


def test_a_job_is_over_when_every_machine_is():
    desk = Desk("a", "b")
    job = desk.begin()
    job.note(job.seed, state="done")
    desk.report(job, "a", "done", arrived=5, total=5, source=SOURCE)
    assert job.ended is None
    desk.report(job, "b", "failed", error="OutputError", message="the disk is full")
    assert job.ended is not None
    assert states(job) == {"": "done", "a": "done", "b": "failed"}


def test_when_time_is_up_who_is_away_is_lost_and_who_is_at_it_is_late():
    desk = Desk("a", "b")
    job = desk.begin(patience=100)
    desk.later(99)
    desk.report(job, "a", "running")
    assert states(job) == {"": "waiting", "a": "running", "b": "away"}
    desk.later(2)
    assert states(job) == {"": "late", "a": "late", "b": "lost"}


def test_without_a_time_of_the_operators_who_is_away_is_given_a_while():
    desk = Desk("a")
    job = desk.begin()
    desk.errands.went("a")
    desk.later(book.LOST_AFTER)
    assert states(job)["a"] == "away"
    desk.later(1)
    assert states(job)["a"] == "lost"


def test_who_comes_back_is_sent_again_for_what_is_not_done():
    desk = Desk("a", "b")
    job = desk.begin()
    desk.report(job, "b", "done", source=SOURCE)
    for node in ("a", "b"):
        desk.errands.went(node)
    assert states(job) == {"": "waiting", "a": "away", "b": "done"}
    assert [len(lines(desk.come(node))) for node in ("a", "b")] == [1, 0]
    assert states(job)["a"] == "waiting"


def lines(standing):
    """The errands that are on their way to a node."""

    async def read():
        standing.close()
        return [line async for batch in standing.batches() for line in batch.splitlines()]

    return [found for line in asyncio.run(read()) if isinstance(found := decode_errand(line), Errand)]


def test_a_node_that_brought_another_revision_has_failed():
    desk = Desk("a")
    job = desk.begin()
    desk.report(job, "a", "done", source="memory://model@2")
    (_, progress) = next(iter(job.errands.values()))
    assert (progress.state, progress.error["type"]) == ("failed", "Changed")


def test_an_errand_is_reported_by_the_node_it_was_sent_to_only():
    desk = Desk("a")
    job = desk.begin()
    (errand,) = job.errands
    for name, node in ((errand, "b"), ("0" * 32, "a")):
        with pytest.raises(NotFound):
            desk.errands.report(name, ErrandReport(node=node, state="done"))
    assert states(job)["a"] == "waiting"


def test_what_is_over_stays_as_it_is():
    desk = Desk("a")
    job = desk.begin()
    desk.report(job, "a", "done", source=SOURCE)
    desk.report(job, "a", "running")
    desk.errands.went("a")
    assert states(job)["a"] == "done"


def test_a_job_is_forgotten_an_hour_after_its_end():
    desk = Desk()
    job = desk.begin()
    desk.later(2 * book.REMEMBERED)
    assert desk.errands.get(job.id) is job
    job.note(job.seed, state="done")
    desk.later(book.REMEMBERED + 1)
    with pytest.raises(NotFound):
        desk.errands.get(job.id)


def test_so_many_jobs_are_known_and_the_oldest_that_is_over_makes_room(monkeypatch):
    monkeypatch.setattr(book, "MOST", 2)
    desk = Desk()
    first, second = desk.begin(), desk.begin()
    with pytest.raises(SwarmError, match="under way"):
        desk.begin()
    second.note(second.seed, state="done")
    desk.begin()
    assert desk.errands.get(first.id) is first
    with pytest.raises(NotFound):
        desk.errands.get(second.id)


def test_of_n_nodes_one_that_comes_or_goes_moves_nobody_else():
    roster = Roster()
    here = {name: roster.come(name, "") for name in map(str, range(40))}
    before = {standing.node for standing in roster.chosen(Choice(count=10), task="t")}
    gone = min(before)
    roster.go(here[gone])
    after = {standing.node for standing in roster.chosen(Choice(count=10), task="t")}
    assert before - after == {gone}
    assert before != {standing.node for standing in roster.chosen(Choice(count=10), task="another")}


def test_under_one_name_the_last_that_came_stands_by():
    roster = Roster()
    first, second = roster.come("a", ""), roster.come("a", "east")
    assert lines(first) == []
    assert not roster.go(first)
    assert roster.all() == [second]


def test_words_are_read_as_they_were_written():
    preheat = Preheat(ask=ASK, nodes=Choice(location="east/r1"), pin=True, timeout=2.5)
    assert Preheat.decode(preheat.encode()) == preheat
    errand = Errand(id="x", ask=ASK, options={"revision": ("1",)}, pin=True)
    assert decode_errand(errand.encode()) == errand
    assert decode_errand(Heartbeat().encode()) == Heartbeat()
    report = ErrandReport(node="a", state="running", arrived=3, total=9, sources={"peer": 3}, source=SOURCE)
    assert ErrandReport.decode(report.encode()) == report


def test_what_another_release_may_say_is_passed_over():
    assert decode_errand(b'{"t":"song"}') is None
    assert decode_errand(b'{"t":"errand","id":"x","ask":{"url":"a://b"},"later":1}').ask.url == "a://b"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"t":"errand"}',
        b'{"t":"errand","id":"a/b","ask":{"url":"a://b"}}',
        b'{"t":"errand","id":"x","ask":"a://b"}',
        b'{"t":"errand","id":"x","ask":{"url":"a://b"},"options":{"a":"b"}}',
        b'{"t":"errand","id":"x","ask":{"url":"a://b"},"pin":1}',
        b" " * (1 << 20) + b'{"t":"heartbeat"}',
    ],
    ids=["nothing", "a list", "no id", "no word", "no ask", "no options", "no flag", "too long"],
)
def test_an_errand_in_other_words_is_none(line):
    with pytest.raises(WireError):
        decode_errand(line)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"node":"a","state":"lost"}',
        b'{"node":"a","state":"done","arrived":-1}',
        b'{"node":"a","state":"done","sources":{"peer":"much"}}',
        b'{"node":"a","state":"done","sources":{' + b",".join(b'"%d":1' % n for n in range(99)) + b"}}",
    ],
    ids=["nothing", "not its word", "less than nothing", "no number", "too many"],
)
def test_a_report_in_other_words_is_none(body):
    with pytest.raises(WireError):
        ErrandReport.decode(body)


def test_what_an_errand_says_is_not_shown_in_a_log():
    assert "topsecret" not in repr(Errand(id="topsecret", ask=ASK))


@pytest.mark.parametrize("text", ["", "0", "-1", "none", "location=", "location=/", "1e3", "²"])
def test_what_chooses_no_nodes_is_said(text):
    with pytest.raises(ValueError, match="location=ZONE/RACK"):
        Choice.parse(text)
