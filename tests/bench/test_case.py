"""Cases and figures: the bound, who is slow and who is late, and what makes a run invalid."""

import argparse

import pytest
from bench.case import Case, add_arguments, from_arguments
from bench.report import sparkline, swarm_summary


def test_the_bound_is_the_blob_over_the_slower_of_hub_and_nic() -> None:
    assert Case(size=1000, origin=10, nic=100).bound == 100
    assert Case(size=1000, origin=100, nic=10, nodes=500).bound == 100
    assert Case(size=1000, origin=10, nic=100, warm=True).bound == 10


def test_flags_are_in_mib_and_mbit() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    case = from_arguments(parser.parse_args(["--size", "512", "--origin", "40", "--nic", "100", "--thin", "8"]))
    assert (case.size, case.origin, case.nic, case.thin) == (512 << 20, 5e6, 12.5e6, 1e6)


def test_the_last_nodes_are_late_and_those_before_them_slow() -> None:
    case = Case(nodes=4, slow=1, late=2)
    assert [case.role(index) for index in range(4)] == ["ordinary", "slow", "late", "late"]


def test_racks_are_as_even_as_can_be() -> None:
    assert Case(nodes=5, racks=2).rack_sizes == [3, 2]


def a_result(*, busy: float) -> dict[str, object]:
    node = {"role": "ordinary", "identical": True, "code": 0, "log": "", "sources": {}}
    done = [{"name": f"node{i}", "done": 10.0 + i, "segments": [[1.0 + i, 0]], **node} for i in range(2)]
    counts = {"hub": [0, 60, 1100, 1100], "node0": [0, 0, 500, 1000], "node1": [0, 0, 500, 1000]}
    return {
        "case": Case(size=1000, origin=100, nic=1000, nodes=2).as_dict(),
        "aligned": True,
        "hub": {"content_bytes": 1000},
        "seeds": [{"name": "seed0", "out": 1200, "cpu": 1.0}],
        "nodes": done,
        "links": {"time": [0.0, 0.5, 5.0, 11.0], "into": counts, "out": counts},
        "cpu": [[-1.0, 0.0, 0.0], [0.0, 0.0, 2.0], [11.0, 22.0 * busy, 24.0], [20.0, 40.0, 42.0]],
        "baseline": {"pairs": {"mean": 0.9}},
    }


def test_figures_are_computed_from_what_was_seen() -> None:
    summary = swarm_summary(a_result(busy=0.5))
    assert (summary["first"], summary["last"], summary["first_segment"]) == (10, 11, 2)
    assert summary["last/bound"] == pytest.approx(1.1)
    assert summary["last/first"] == pytest.approx(1.1)
    assert summary["bound/last/tcp_pairs"] == pytest.approx(10 / 11 / 0.9)
    assert (summary["hub"], summary["seed_egress"]) == (1, 1.2)
    # 55 bytes on the wire are 5 % of the content, which was 1,100 on the wire.
    assert summary["five_percent_left_hub"] == 0.5
    assert summary["node_use"] == pytest.approx(1 / 11)
    assert summary["cpu"] == pytest.approx(0.5)
    assert summary["valid"]


def test_a_run_that_used_up_the_cpu_is_invalid() -> None:
    assert not swarm_summary(a_result(busy=0.81))["valid"]


def test_a_sparkline_is_blank_for_idle_and_full_for_busy() -> None:
    assert sparkline([0, 1, 2]) == " ██"
