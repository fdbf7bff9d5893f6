"""The control plane's benchmark: simulated nodes hear what a real seed peer says, and its figures are those that were seen."""

import pytest
from bench.report import number
from bench.scale import run, scale_table, summary
from bench.scale_seed import Programme

from dfly.layout import Layout


def a_result(**more):
    phase = {"seconds": 10.0, "seed_cpu": 4.0, "simulator_cpu": 2.0}
    return {
        "nodes": 1000, "rate": 60.0, "segments": 600, "heard": [600, 600], "stream_bytes": [300_000, 400_000],
        "phases": {"join": phase, "rest": phase, "run": phase}, "seed_memory": [50_000_000, 0, 0, 80_000_000],
        "reports": 10_000, "reports_late": 0, "report_ms": {"median": 1.0},
        "first_ms": {"median": 20.0}, "last_ms": {"median": 40.0, "p95": 60.0, "worst": 80.0},
    } | more  # fmt: skip


def test_every_simulated_node_hears_of_every_segment(tmp_path):
    raw = run(8, rate=50, seconds=0.6, root=tmp_path, rest=0.1)
    assert raw["heard"] == [30, 30]
    assert raw["reports"] > 0
    assert 0 <= raw["first_ms"]["median"] <= raw["last_ms"]["median"]
    assert summary(raw)["whole"]


def test_figures_are_per_second_and_per_node():
    s = summary(a_result())
    assert (s["cores"], s["memory_per_node"], s["cpu_per_node"], s["simulator"]) == (0.4, 30_000, 400, 0.2)


@pytest.mark.parametrize(
    ("more", "must"),
    [
        ({}, True),
        ({"heard": [599, 600]}, False),
        ({"seed_memory": [50_000_000, 0, 0, 501_000_000]}, False),
        ({"phases": {name: {"seconds": 1.0, "seed_cpu": 1.1, "simulator_cpu": 0} for name in ("join", "rest", "run")}}, False),
        ({"nodes": 5000}, None),
    ],
    ids=["all well", "one heard less", "memory", "cpu", "other numbers"],
)  # fmt: skip
def test_what_must_hold_is_judged_at_a_thousand_nodes(more, must):
    raw = a_result(**more)
    assert summary(raw)["must"] is must
    assert {True: "holds", False: "FAILS", None: "–"}[must] in scale_table([raw]).splitlines()[-1]


@pytest.mark.parametrize("segments", [1, 30, 1200, 3000])
def test_a_programme_has_room_for_its_segments(segments):
    programme = Programme(segments, 60)
    layout = Layout(programme.size)
    told = [programme.segment(number) for number in range(segments)]
    assert len(set(told)) == segments
    assert max(index for _, index in told) < layout.segments
    assert max(blob for blob, _ in told) < len(programme.names)


def test_a_figure_that_is_missing_is_a_dash():
    assert number(None) in scale_table([a_result(last_ms={}, report_ms={})])
