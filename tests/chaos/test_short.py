"""Six random faults on eight nodes: `bench.chaos`, short."""

from pathlib import Path

import pytest
from bench.case import MBIT, MIB
from bench.chaos_faults import KINDS, plan
from bench.chaos_report import chaos_table, page, summary, troubles
from bench.chaos_run import Case, ChaosRun

#: Without what costs the hub a share of so small a file: what was sent and not read yet when a connection is cut, too.
CHEAP = tuple(kind for kind in KINDS if kind not in ("seed kill", "seed flip", "hub cut"))


@pytest.mark.netns
@pytest.mark.timeout(300)
def test_after_six_faults_every_node_has_the_hubs_bytes_and_the_hub_was_asked_once(tmp_path: Path) -> None:
    case = Case(nodes=8, size=32 * MIB, nic=60 * MBIT, origin=24 * MBIT, faults=6, kinds=CHEAP)
    said: list[str] = []
    raw = ChaosRun(case, 5, root=tmp_path, say=said.append).run()
    assert summary(raw)["held"], "\n".join([*said, chaos_table([raw]), troubles(raw)])
    assert len(raw["happened"]) >= 6
    assert "holds" in page([raw])


def test_a_seed_gives_the_same_faults_again_and_every_kind_occurs() -> None:
    first = plan(7, faults=20, nodes=32, span=50.0)
    assert first == plan(7, faults=20, nodes=32, span=50.0)
    assert first != plan(8, faults=20, nodes=32, span=50.0)
    assert {fault.kind for fault in first} == set(KINDS)
    assert [fault.at for fault in first] == sorted(fault.at for fault in first)
