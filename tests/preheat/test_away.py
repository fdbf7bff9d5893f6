"""A node that vanishes meanwhile, or comes back, or is not what it seems."""

import os
import signal

import attrs
import pytest
from aiohttp import web

from dfly.plugins import Plugins
from dfly.seed.running import in_thread, listening
from dfly.testing.swarm import Telling
from dfly.wire import Ask
from dfly.wire.errands import Errand, ErrandReport
from dfly_hf.testing import FixtureHub
from tests.daemon.conftest import some_bytes
from tests.preheat.conftest import DISTINCT, FIRST, MIB, MODEL, Job, until


def test_a_node_that_comes_back_goes_on(seed, node, operator, stand, origin):
    peer = seed()
    one = node("one", peer)
    stand(peer, 1)
    origin.hold(FIRST, MIB)
    job = Job(operator(peer), nodes="all", timeout=600)
    job.until(node=one.name, state="running")
    one.stop()
    job.until(node=one.name, state="away")
    one.start()
    job.until(node=one.name, state="running")
    origin.let_go()
    end = job.end()[one.name]
    assert (end["state"], end["bytes"]) == ("done", DISTINCT)
    assert origin.total == DISTINCT
    assert one.fetch().sources == {"cache": DISTINCT}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    with FixtureHub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        running.repo("o/r", {"model.bin": some_bytes(12 * MIB)})
        yield running


def test_a_node_that_is_killed_is_lost_and_the_others_are_not_kept_waiting(
    seed, node, operator, stand, hub, tmp_path, monkeypatch
):
    monkeypatch.setattr("dfly.seed.operators.errands.LOST_AFTER", 0.5)
    plugins = Plugins()
    peer = seed(plugins=plugins)
    stays = node("stays", peer, plugins=plugins)
    argv = ("--data-dir", tmp_path / "dies/data", "--socket", tmp_path / "dies/run/dfly.sock", "--join", peer.url)
    dies = Telling("dfdaemon", *argv, env=dict(os.environ))
    try:
        dies.lines_until(lambda line: "node at" in line)
        stand(peer, 2)
        name = (tmp_path / "dies/data/name").read_text().strip()
        hub.hold("model.bin", 8 * MIB)
        job = Job(operator(peer), ask={"url": "hf://o/r", "recursive": True}, nodes="all")
        job.until(node=name, state="running")
        dies.send_signal(signal.SIGKILL)
        job.until(node=name, state="lost")
        hub.let_go()
        end = job.end()
    finally:
        dies.end()
    assert (end[name]["state"], end[name]["error"]["type"]) == ("lost", "SwarmError")
    assert (end[""]["state"], end[stays.name]["state"]) == ("done", "done")


class Stranger:
    """Something that only looks like a seed peer: it sends a node wherever it likes, and resolves nothing."""

    def __init__(self, errand: Errand) -> None:
        self.errand, self.asked, self.reports = errand, [], []

    def serving(self):
        app = web.Application()
        app.router.add_get("/v1/errands", self._errands)
        app.router.add_post("/v1/errands/{id}/report", self._report)
        app.router.add_post("/v1/snapshots", self._snapshots)
        return listening(app, ("127.0.0.1", 0))

    async def _errands(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(self.errand.encode())
        await request.content.read()
        return response

    async def _report(self, request):
        self.reports.append(ErrandReport.decode(await request.read()))
        return web.json_response({})

    async def _snapshots(self, request):
        self.asked.append(Ask.decode(await request.read()))
        return web.json_response({"error": "SwarmError", "message": "not here"}, status=503)


@attrs.frozen
class Place:
    url: str


def test_a_stranger_in_a_seed_peers_place_sends_no_node_to_a_source(node, origin):
    """The node's network and rights are not lent to whoever it stands by at, even where a dfget there would go to the source."""
    stranger = Stranger(Errand(id="e1", ask=Ask(url=MODEL, recursive=True)))
    with in_thread(stranger.serving, name="stranger") as url:
        one = node("one", Place(url))
        assert one.config.joining.back_to_source
        until(lambda: stranger.reports and stranger.reports[-1].state == "failed")
        one.stop()
    assert stranger.reports[-1].error == "SwarmError"
    assert stranger.asked
    assert (origin.asked, origin.total) == ({}, 0)


def test_an_errand_whose_plugin_nobody_has_fails_with_what_to_install(node, origin):
    stranger = Stranger(Errand(id="e1", ask=Ask(url="wais://x", recursive=True)))
    with in_thread(stranger.serving, name="stranger") as url:
        one = node("one", Place(url))
        until(lambda: stranger.reports and stranger.reports[-1].state == "failed")
        one.stop()
    said = stranger.reports[-1]
    assert "wais://" in said.message
    assert "dfly-plugin-wais" in said.hint
