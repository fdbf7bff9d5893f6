"""The suite judges what it has seen, and says so where it has seen nothing."""

import json
from typing import Any

import pytest
from bench.case import MBIT, MIB, Case
from bench.rivals import RIVALS, run_rival
from bench.suite import plan
from bench.suite_report import control_plane, judge, report


def swarm(group: str, name: str, *, last: float, nodes: int = 16, **more: Any) -> dict[str, Any]:
    case = Case(nodes=nodes, size=100 * MIB, origin=50 * MBIT, nic=100 * MBIT)
    size = case.size
    times = [0.0, case.bound / 2, last]
    return {
        "kind": "swarm", "group": group, "name": name, "case": case.as_dict(), "aligned": True,
        "hub": {"content_bytes": more.get("hub", size)},
        "seeds": [{"name": "seed0", "out": size}],
        "nodes": [
            {"name": f"node{n}", "role": "ordinary", "done": last, "identical": True, "code": 0, "segments": [[1.0, 0]],
             "sources": {"peer": size}, "log": ""}
            for n in range(nodes)
        ],
        "links": {"time": times, "into": {f"node{n}": [0, size // 2, size] for n in range(nodes)},
                  "out": {"hub": [0, size // 2, size]}},
        "cpu": [[0.0, 0.0, 0.0], [last, last / 2, 2 * last]],
        "baseline": {},
    }  # fmt: skip


def rival(name: str, *, last: float, nodes: int) -> dict[str, Any]:
    rows = [{"name": f"node{n}", "done": last, "identical": True, "cpu": 1.0} for n in range(nodes)]
    case = swarm("rivals", name, last=1, nodes=nodes)["case"]
    return {"kind": "rival", "rival": "hf", "name": name, "case": case, "nodes": rows, "hub": {"content_bytes": 1}}


def verdict(verdicts, beginning: str):
    return next(v for v in verdicts if v.what.startswith(beginning))


def test_what_reaches_the_bound_holds_and_what_does_not_fails():
    bound = swarm("nodes", "16 nodes", last=1)["case"]["bound"]
    good = list(judge([swarm("nodes", "16 nodes", last=bound * 1.01)], []))
    assert verdict(good, "origin half the NIC").held is True
    bad = list(judge([swarm("nodes", "16 nodes", last=bound * 1.1)], []))
    assert verdict(bad, "origin half the NIC").held is False


def test_one_case_that_asks_the_hub_too_often_fails_all():
    size = 100 * MIB
    cases = [swarm("nodes", "8 nodes", last=20), swarm("trouble", "killed", last=20, hub=int(1.2 * size))]
    found = verdict(judge(cases, []), "hub bytes")
    assert (found.held, "killed" in found.seen) == (False, True)


def test_a_rival_that_is_faster_is_named():
    ours = [swarm("rivals", "8 nodes", last=20, nodes=8)]
    assert verdict(judge(ours, [rival("8 nodes", last=30, nodes=8)]), "faster").held is True
    lost = verdict(judge(ours, [rival("8 nodes", last=10, nodes=8)]), "faster")
    assert (lost.held, "hf" in lost.seen) == (False, True)


@pytest.mark.parametrize(("last", "held"), [(20.0, True), (20.1, True), (22.0, False)])
def test_one_node_by_itself_is_held_against_the_best_rival(last, held):
    ours = [swarm("alone", "1 node, no seed peer", last=last, nodes=1), swarm("rivals", "1 nodes", last=20, nodes=1)]
    others = [rival("1 nodes", last=20, nodes=1), rival("1 nodes", last=30, nodes=1)]
    assert verdict(judge(ours, others), "one node without a seed peer").held is held
    assert verdict(judge(ours, others), "one node through a seed peer").held is True


def test_a_run_that_was_starved_says_nothing():
    raw = swarm("nodes", "16 nodes", last=20)
    raw["cpu"] = [[0.0, 0.0, 0.0], [20.0, 39.0, 40.0]]
    assert {v.held for v in judge([raw], [])} == {None}


def test_a_folder_of_results_is_judged_again(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(swarm("nodes", "16 nodes", last=18)))
    (tmp_path / "b.json").write_text(json.dumps(swarm("rivals", "8 nodes", last=20, nodes=8)))
    (tmp_path / "c.json").write_text(json.dumps(rival("8 nodes", last=30, nodes=8)))
    held, text = report(tmp_path)
    assert "beside others" in text
    assert held is ("FAILS" not in text)
    assert "must hold" in (tmp_path / "report.md").read_text()


def control(*, cores: float, memory: float) -> dict[str, Any]:
    phase = {"seconds": 1.0, "seed_cpu": cores, "simulator_cpu": 0.2}
    return {
        "kind": "scale", "nodes": 1000, "rate": 60.0, "segments": 60, "heard": [60, 60], "stream_bytes": [1, 1],
        "phases": {"join": phase, "rest": phase, "run": phase}, "seed_memory": [50e6, memory], "reports": 1000,
        "report_ms": {}, "last_ms": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raws", "held"),
    [
        ([], None),
        ([control(cores=0.5, memory=100e6)], True),
        ([control(cores=1.1, memory=100e6)], False),
        ([control(cores=0.5, memory=100e6), control(cores=0.5, memory=600e6)], False),
    ],
    ids=["no run", "cheap", "one core and more", "once too large"],
)
def test_the_control_plane_is_judged_beside_the_swarm(raws, held, tmp_path):
    assert control_plane(raws).held is held
    for number, raw in enumerate(raws):
        (tmp_path / f"{number}.json").write_text(json.dumps(raw))
    all_held, text = report(tmp_path)
    assert all_held is (held is not False)
    assert ("seed cores" in text) is bool(raws)


def test_names_of_planned_cases_are_those_that_are_judged():
    planned = {(p.group, p.name) for p in plan(full=False)}
    for key in [("nodes", "16 nodes"), ("nodes", "8 nodes"), ("origin", "origin 1 × NIC")]:
        assert key in planned
    assert {("trouble", "one node ten times slower"), ("trouble", "two racks, a thin link")} <= planned


@pytest.mark.long
@pytest.mark.netns
@pytest.mark.parametrize("kind", RIVALS, ids=lambda kind: kind.name)
def test_every_rival_brings_the_blob_to_every_node(kind, tmp_path):
    if reason := kind.missing():
        pytest.skip(reason)
    case = Case(nodes=2, size=4 * MIB, origin=40 * MBIT, nic=100 * MBIT)
    raw = run_rival(kind, case, root=tmp_path)
    assert all(node["identical"] and node["done"] for node in raw["nodes"])
