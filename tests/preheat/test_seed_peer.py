"""Preheat of a seed peer: everything is there before anyone asks, under the ids that a later dfget has."""

import json
import threading

import pytest

import dfly
from dfly.backend import Secret
from dfly.cli.desk import Desk
from dfly.config import Joining
from dfly.testing.lent import QUICK
from dfly.testing.swarm import tree
from tests.preheat.conftest import DISTINCT, FILES, FIRST, MODEL, Done, until
from tests.swarm_e2e.origin import Origin


def get(seed, output, plugins, **given):
    joining = Joining(seed_peers=(seed.url,), interface="127.0.0.1", back_to_source=False)
    given = {"recursive": True, **given}
    return dfly.fetch(MODEL, str(output), joining=joining, plugins=plugins, patience=QUICK, **given)


def test_a_later_dfget_needs_no_hub(seed, dfctl, origin, plugins, here):
    peer = seed()
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--json")
    assert done.code == 0, done.err
    assert done.json["ok"]
    assert (done.seed_peer["state"], done.seed_peer["bytes"], done.seed_peer["sources"]) == (
        "done",
        DISTINCT,
        {"hub": DISTINCT},
    )
    assert origin.total == DISTINCT
    origin.away = True
    get(peer, here / "out", plugins)
    assert tree(here / "out") == FILES
    assert origin.total == DISTINCT


def test_nor_after_the_seed_peer_was_restarted(seed, dfctl, origin, plugins):
    peer = seed()
    assert dfctl(MODEL, "-r", "--seed-peer", peer.url).code == 0
    peer.stop()
    again = seed()
    origin.sent.clear()
    done = dfctl(MODEL, "-r", "--seed-peer", again.url, "--json")
    assert (done.code, done.seed_peer["sources"]) == (0, {"cache": DISTINCT})
    assert origin.total == 0


def test_the_choice_of_files_is_that_of_dfget(seed, dfctl, origin, plugins, here):
    peer = seed()
    done = dfctl(MODEL, "-r", "--include", "*.bin", "--exclude", "deep/", "--seed-peer", peer.url, "--json")
    assert done.json["preheats"][0]["files"] == 2
    tasks = [task["task"] for task in peer.stats()["tasks"]]
    get(peer, here / "out", plugins, include=["*.bin"], exclude=["deep/"])
    assert [task["task"] for task in peer.stats()["tasks"]] == tasks
    assert origin.total == len(FILES["model.bin"]) + len(FILES["other.bin"])


def test_several_sources_are_reported_one_by_one(seed, dfctl, origin):
    origin.hub.commit("other", {"a.bin": b"a" * 70_000})
    done = dfctl(MODEL, "memory://other", "-r", "--seed-peer", seed().url, "--json")
    assert [(one["url"], one["files"], one["ok"]) for one in done.json["preheats"]] == [
        (MODEL, len(FILES), True),
        ("memory://other", 1, True),
    ]


def test_a_source_that_is_not_there_is_named_and_the_others_are_fetched(seed, dfctl, origin):
    done = dfctl("memory://nothing", MODEL, "-r", "--seed-peer", seed().url, "--json")
    missing, model = done.json["preheats"]
    assert (done.code, done.json["ok"], missing["error"]["type"]) == (4, False, "NotFound")
    assert "memory://nothing" in done.err
    assert model["ok"]
    assert origin.total == DISTINCT


def test_what_cannot_be_fetched_is_named_file_by_file(seed, dfctl, origin):
    origin.lie(FIRST, times=100)
    done = dfctl(MODEL, "-r", "--seed-peer", seed().url, "--json")
    assert done.code == 10, done.err
    assert done.seed_peer["state"] == "failed"
    assert done.seed_peer["error"]["paths"] == ["deep/copy.bin", "model.bin"]
    assert "deep/copy.bin, model.bin" in done.err


def test_what_is_pinned_is_remembered_as_pinned(seed, dfctl, tmp_path):
    assert dfctl(MODEL, "-r", "--pin", "--seed-peer", seed().url).code == 0
    (kept,) = (tmp_path / "seed/snapshots").glob("*.json")
    assert json.loads(kept.read_text())["pinned"] is True


def test_time_that_is_up_is_said_and_the_fetch_goes_on(seed, dfctl, origin, plugins, here):
    origin.hold(FIRST, 1 << 20)
    peer = seed()
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--timeout", "3s", "--json")
    assert (done.code, done.seed_peer["state"]) == (13, "late")
    origin.let_go()
    get(peer, here / "out", plugins)
    assert tree(here / "out") == FILES


def test_progress_is_a_line_for_each_change_and_the_end_a_list(seed, dfctl):
    done: Done = dfctl(MODEL, "-r", "--seed-peer", seed().url)
    lines = done.err.splitlines()
    assert all(line.startswith(f"dfctl: {MODEL}: seed peer: ") for line in lines)
    assert lines[-1].startswith(f"dfctl: {MODEL}: seed peer: done, ")
    assert done.out.splitlines()[0].endswith(": 6 files")
    assert "seed peer  done" in done.out


def test_a_private_source_is_preheated_with_the_operators_token(seed, dfctl, plugins, here):
    vault = Origin(FILES, token="open sesame")
    private = type(plugins)(extra=[vault.backend])
    peer = seed(plugins=private)
    refused = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--memory-token", "wrong", plugins=private)
    assert refused.code == 5
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url, "--memory-token", "open sesame", plugins=private)
    assert done.code == 0, done.err
    sent = vault.total
    with pytest.raises(dfly.AccessDenied):
        get(peer, here / "no", private)
    get(peer, here / "out", private, options={"memory": {"token": "open sesame"}})
    assert tree(here / "out") == FILES
    assert vault.total == sent == DISTINCT


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-r"], "--seed-peer"),
        (["-r", "--seed-peer", "http://127.0.0.1:9", "--nodes", "few"], "location=ZONE/RACK"),
        (["--seed-peer", "http://127.0.0.1:9", "--include", "*.bin"], "add -r"),
    ],
    ids=["no seed peer", "no choice", "one file"],
)
def test_what_is_asked_for_wrongly_is_a_usage_error(dfctl, argv, said):
    done = dfctl(MODEL, *argv)
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.parametrize("insecure", ["", "0", "false", "No"])
def test_a_token_goes_to_no_seed_peer_in_the_clear(dfctl, monkeypatch, insecure):
    monkeypatch.setenv("DFLY_INSECURE", insecure)
    done = dfctl(MODEL, "-r", "--seed-peer", "http://seed.invalid:1", "--memory-token", "s3cret")
    assert (done.code, "plain HTTP" in done.err, "s3cret" in done.err) == (2, True, False)


def test_flags_of_a_plugin_that_only_the_seed_peer_has_work_too(seed, dfctl, plugins):
    vault = Origin(FILES, token="open sesame")
    peer = seed(plugins=type(plugins)(extra=[vault.backend]))
    argv = (MODEL, "-r", "--seed-peer", peer.url, "--json", "--memory-token")
    assert dfctl(*argv, "wrong", plugins=type(plugins)()).code == 5
    assert dfctl(*argv, "open sesame", plugins=type(plugins)()).json["ok"]


def test_a_seed_peer_that_goes_away_meanwhile_is_said(seed, dfctl, origin):
    origin.hold(FIRST, 1 << 20)
    peer = seed()

    def go() -> None:
        until(lambda: origin.sent[FIRST])
        peer.stop()

    leaving = threading.Thread(target=go)
    leaving.start()
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url)
    leaving.join()
    assert (done.code, "went away in the middle" in done.err) == (12, True), done.err


def test_one_seed_peer_that_does_not_answer_hands_over_to_the_next(seed, dfctl):
    peer, gone = seed(), seed("gone")
    gone.stop()
    both = ("--seed-peer", gone.url, "--seed-peer", peer.url)
    # of so many sources some are the one's and some the other's
    sources = [f"memory://none-{n}" for n in range(16)]
    done = dfctl(MODEL, *sources, "-r", *both, "--json")
    assert {found["at"] for found in done.json["preheats"]} == {peer.url}
    assert done.json["preheats"][0]["ok"]
    assert done.err.count(f"the seed peer {gone.url} does not answer: ") in range(1, 17)
    assert f": 6 files, at {peer.url}\n" in dfctl(MODEL, "-r", *both).out


def test_one_that_goes_away_before_it_has_told_anything_is_said_too(seed, dfctl, origin, monkeypatch):
    origin.hold(FIRST, 1 << 20)
    peer, lines = seed(), Desk.lines
    monkeypatch.setattr(Desk, "lines", lambda *given, **more: (peer.stop(), lines(*given, **more))[1])
    done = dfctl(MODEL, "-r", "--seed-peer", peer.url)
    assert (done.code, "went away in the middle" in done.err) == (12, True), done.err


def test_only_operators_may_order_it(seed, operator, dfctl, monkeypatch):
    peer = seed(cluster_token=Secret("cluster"), operator_token=Secret("operator"))
    order = {"ask": {"url": MODEL, "recursive": True}}
    for token in ("none", "cluster"):
        answer = operator(peer, Authorization=f"Bearer {token}").post("preheat", json=order)
        assert answer.status_code == 401
    refused = dfctl(MODEL, "-r", "--seed-peer", peer.url)
    assert (refused.code, refused.err) == (
        5,
        "dfctl: this asks for the operator token of the seed peer\n"
        "give --operator-token-file, or set DFLY_OPERATOR_TOKEN\n",
    )
    for variable, token in (("DFLY_CLUSTER_TOKEN", "cluster"), ("DFLY_OPERATOR_TOKEN", "wrong")):
        monkeypatch.setenv(variable, token)
        refused = dfctl(MODEL, "-r", "--seed-peer", peer.url)
        assert "the operator token of the seed peer, and what was given is another" in refused.err
    monkeypatch.setenv("DFLY_OPERATOR_TOKEN", "operator")
    assert dfctl(MODEL, "-r", "--seed-peer", peer.url).code == 0


def test_one_that_is_forgotten_is_not_found(seed, operator):
    assert operator(seed()).get("preheat/0123").status_code == 404


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"ask": {"url": MODEL}, "nodes": "some"},
        {"ask": {"url": MODEL}, "nodes": 3},
        {"ask": {"url": MODEL}, "pin": "yes"},
        {"ask": {"url": MODEL}, "timeout": -1},
        {"ask": {"url": 1}},
    ],
    ids=["nothing", "no choice", "a number", "no flag", "no time", "no url"],
)
def test_an_order_in_other_words_is_refused(seed, operator, order):
    answer = operator(seed()).post("preheat", json=order)
    assert (answer.status_code, answer.json()["error"]) == (400, "WireError")


def test_the_report_has_the_fields_that_are_promised(seed, node, dfctl, stand):
    peer = seed()
    node("one", peer)
    stand(peer, 1)
    argv = ("memory://nothing", MODEL, "-r", "--seed-peer", peer.url, "--nodes", "all", "--json")
    refused, model = dfctl(*argv).json["preheats"]
    assert model.keys() == {"url", "source", "at", "files", "ok", "error", "seed_peer", "nodes"} == refused.keys()
    assert model["at"] == peer.url == refused["at"]
    progress = {"state", "bytes", "total", "seconds", "sources", "error"}
    assert model["seed_peer"].keys() == progress
    assert model["nodes"][0].keys() == progress | {"node", "location"}
    assert refused["error"].keys() == {"type", "message", "hint"}
    assert (refused["source"], refused["seed_peer"], refused["nodes"]) == ("", None, [])


def test_who_presses_ctrl_c_is_told_that_it_goes_on(seed, dfctl, monkeypatch):
    def pressed(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("dfly.cli.desk.Desk.lines", pressed)
    done = dfctl(MODEL, "-r", "--seed-peer", seed().url)
    assert (done.code, "goes on" in done.err) == (130, True)


def test_a_hub_that_lists_nothing_in_time_is_not_waited_for(seed, dfctl, origin):
    held = threading.Event()
    before, origin.ask = origin.ask, lambda what: (held.wait(30), before(what))
    try:
        done = dfctl(MODEL, "-r", "--seed-peer", seed().url, "--timeout", "0.5s")
    finally:
        held.set()
    assert (done.code, "was not listed within 0.5 s" in done.err) == (13, True), done.err
