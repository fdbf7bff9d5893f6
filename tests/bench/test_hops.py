"""A long ring: what a segment waits for, and what one hop costs, of what was seen."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench import sessions
from bench.hops_report import distance, hops_summary, hops_table, share, spread


def a_result(**more):
    # a ring of four; the first segment enters at node 1, the second at node 3; a hop takes 0.1 s
    return {
        "case": {"nodes": 4, "size": 2_000_000, "files": 1, "rate": 1e6, "bound": 2.0}, "in_order": True,
        "published": [1.0, 2.0], "verified": [[1.3, 1.2, 1.3, 1.4], [2.3, 2.4, 2.3, 2.2]], "done": [2.3, 2.4, 2.3, 2.2],
        "node_cpu": [0.5] * 4, "node_memory": [30 << 20] * 4, "egress": {"web seed": 2_000_000}, "hub_bytes": 2_000_000,
        "cpu": [[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [2.0, 1.0, 4.0], [3.0, 3.0, 6.0]],
    } | more  # fmt: skip


def test_a_hop_is_told_from_the_way_to_the_first_node():
    s = hops_summary(a_result())
    assert s["entered"]["median"] == pytest.approx(0.2)
    assert (s["hop"]["median"], s["hop"]["max"]) == (pytest.approx(0.1), pytest.approx(0.1))
    assert s["verified"]["max"] == pytest.approx(0.4)
    assert (s["last/bound"], s["seed_egress"], s["hub"]) == (pytest.approx(1.2), 1, 1)


def test_a_busy_machine_or_a_ring_in_another_order_makes_a_run_invalid():
    assert hops_summary(a_result())["valid"]
    assert "INVALID" not in hops_table([a_result()])
    for bad in ({"in_order": False}, {"cpu": [[0.0, 0.0, 0.0], [3.0, 5.0, 6.0]]}):
        assert not hops_summary(a_result(**bad))["valid"]
        assert "INVALID" in hops_table([a_result(**bad)])


def test_the_machine_is_looked_at_while_a_segment_is_on_its_way():
    readings = [[0.0, 0.0, 0.0], [1.0, 0.0, 2.0], [2.0, 2.0, 4.0], [3.0, 2.0, 6.0]]
    assert share(readings, [(1.0, 1.5)]) == 1
    assert share(readings, [(0.0, 3.0)]) == pytest.approx(1 / 3)
    assert share(readings, []) == 0


def test_hops_are_counted_the_shorter_way_round():
    assert [distance(1, other, 6) for other in range(6)] == [1, 0, 1, 2, 3, 2]


def test_of_nothing_there_is_no_spread():
    assert spread([]) == {}


def test_real_nodes_in_a_ring_are_timed_from_publication_on(tmp_path):
    argv = [sys.executable, "-m", "bench.hops", "--nodes", "3", "--size", "2", "--files", "2", "--rate", "50"]
    argv += ["--root", str(tmp_path), "--results", str(tmp_path / "results")]
    done = subprocess.run(argv, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=110)
    (path,) = (tmp_path / "results").glob("hops-*.json")
    raw, s = json.loads(path.read_text()), hops_summary(json.loads(path.read_text()))
    assert done.stdout, done.stderr
    assert (len(raw["published"]), [len(row) for row in raw["verified"]]) == (2, [3, 3])
    assert raw["in_order"]
    assert 0 < s["verified"]["median"] <= s["verified"]["max"] < s["total"]
    assert s["hub"] == 1


def test_bare_sessions_in_a_ring_are_timed_in_the_same_way(tmp_path):
    argv = ["--nodes", "3", "--size", "4", "--rate", "50", "--root", str(tmp_path), "--results", str(tmp_path)]
    sessions.main(argv)
    (path,) = tmp_path.glob("hops-*.json")
    raw = json.loads(path.read_text())
    assert [len(row) for row in raw["verified"]] == [3, 3]
    assert all(min(row) > at for at, row in zip(raw["published"], raw["verified"], strict=True))
    assert hops_summary(raw)["verified"]["median"] > 0
