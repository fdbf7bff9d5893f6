"""The swarm benchmark with stand-ins for hub, seed peer and node: what it sees and how it judges."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import commands
from bench.case import Case
from bench.report import nodes_table, swarm_summary, swarm_table
from bench.results import save
from bench.swarm_run import SwarmRun

pytestmark = pytest.mark.netns
STAND_IN = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
SIZE = 1 << 20


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    def hub(directory: Path, *, host: str, rate: float) -> list[str]:
        return [*STAND_IN, "hub", host, str(commands.HUB_PORT), str(directory / commands.BLOB)]

    def seed_peer(address: str, data: Path) -> list[str]:
        return [*STAND_IN, "seed", address, str(commands.SEED_PORT), f"http://10.77.0.1:{commands.HUB_PORT}/"]

    def node(output: Path, seeds: list[str], **_: object) -> list[str]:
        return [*STAND_IN, "node", f"http://{seeds[0]}:{commands.SEED_PORT}/", str(output)]

    for function in (hub, seed_peer, node):
        monkeypatch.setattr(commands, function.__name__, function)


def run(root: Path, baseline_seconds: float = 0, *, threads: bool = False, **case: Any) -> dict[str, Any]:
    raw = SwarmRun(Case(size=SIZE, **case), root=root, baseline_seconds=baseline_seconds, threads=threads).run()
    return dict(json.loads(json.dumps(raw)))


@pytest.mark.usefixtures("stand_ins")
def test_a_run_is_seen_from_hub_to_last_node(tmp_path: Path) -> None:
    raw = run(tmp_path, nodes=3, slow=1, late=1, slow_factor=2)
    summary = swarm_summary(raw)
    assert raw["aligned"]
    assert summary["complete"]
    assert summary["hub"] == 1
    assert 3 <= summary["seed_egress"] < 3.5
    assert [node["role"] for node in raw["nodes"]] == ["ordinary", "slow", "late"]
    assert all(node["sources"] == {"seed-peer": SIZE} for node in raw["nodes"])
    assert summary["five_percent_left_hub"] > 0
    assert 0 < summary["first_segment"] <= summary["last"]
    assert summary["first"] == summary["last"] == raw["nodes"][0]["done"]
    # who is late is started after the hub was let go, and all others before
    assert [node["started"] > 0 for node in raw["nodes"]] == [False, False, True]
    assert summary["last_late"] > raw["nodes"][2]["started"]
    assert raw["links"]["into"]["node0"][-1] >= SIZE
    assert summary["cpu_per_gb"]["seed"] > 0
    assert "node2" in nodes_table(raw)
    assert "3 × 1 MiB" in swarm_table([raw])


@pytest.mark.usefixtures("stand_ins")
def test_a_warm_seed_peer_has_everything_before_the_clock_starts(tmp_path: Path) -> None:
    raw = run(tmp_path, nodes=2, warm=True, threads=True)
    summary = swarm_summary(raw)
    assert raw["aligned"]
    assert summary["complete"]
    assert raw["links"]["out"]["hub"][0] >= SIZE
    assert (summary["hub"], summary["five_percent_left_hub"]) == (1, None)
    assert all(node["started"] < 0 < node["done"] for node in raw["nodes"])
    assert 0 < summary["busiest_thread_per_gb"]["seed"] <= summary["cpu_per_gb"]["seed"]
    assert "busiest thread, core s / GB: seed" in nodes_table(raw)


@pytest.mark.usefixtures("stand_ins")
def test_wrong_bytes_make_a_run_invalid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        commands, "node", lambda output, seeds, **_: [sys.executable, "-c", f"open({str(output)!r}, 'w')"]
    )
    raw = run(tmp_path, nodes=1)
    assert not swarm_summary(raw)["valid"]
    assert "only 0 of 1 nodes right" in swarm_table([raw])


@pytest.mark.long
@pytest.mark.usefixtures("stand_ins")
def test_plain_tcp_on_the_same_links_stands_beside(tmp_path: Path) -> None:
    raw = run(tmp_path, nodes=2, baseline_seconds=0.1)
    assert 0 < raw["baseline"]["pairs"]["worst"] <= raw["baseline"]["pairs"]["mean"] < 2


def test_a_raw_result_is_never_overwritten(tmp_path: Path) -> None:
    raw = {"kind": "swarm", "when": "2030-01-01T00:00:00+00:00"}
    assert save(raw, directory=tmp_path) != save(raw, directory=tmp_path)
