"""The whole benchmark by one command: our swarm in every case, and what people use instead beside it.

    python -m bench.suite            # `make bench`: at most half an hour
    python -m bench.suite --full     # `make bench-full`: 1 GiB, and rivals up to 32 nodes, in an hour and a half

Each run leaves its raw result in a folder of its own, with the tables (`bench.suite_report`) and the plots
(`bench.plots`) made of them. What cannot run here says so. Needs root (network namespaces).
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from bench import scale
from bench.case import MBIT, MIB, Case
from bench.results import RESULTS, save
from bench.rivals import RIVALS, run_rival
from bench.suite_report import report
from bench.swarm import room_for
from bench.swarm_run import SwarmRun
from dfly.testing.cluster import requires_namespaces

NIC = 100 * MBIT


@attrs.frozen(kw_only=True)
class Planned:
    """A case under the `group` and `name` that the report knows it by, with the rivals that run beside it."""

    group: str
    name: str
    case: Case
    rivals: bool = False


def plan(*, full: bool) -> Iterator[Planned]:
    """What is run, in order. More than 16 nodes have slower links: else the CPU is measured."""
    size = (1024 if full else 256) * MIB
    for nodes in (1, 4, 8, 16):
        yield Planned(group="nodes", name=f"{nodes} nodes", case=Case(nodes=nodes, size=size, origin=NIC / 2, nic=NIC))
    wide = Case(nodes=32, size=size // 2, origin=NIC / 4, nic=NIC / 2)
    yield Planned(group="nodes", name="32 nodes, links half as fast", case=wide)
    thin = Case(nodes=8, size=size // 2, origin=0.2 * NIC, nic=NIC)
    yield Planned(group="origin", name="origin 0.2 × NIC", case=thin)
    # every link is to be full, so they are slower; and longer, for until all are full takes as long whatever the size
    even = Case(nodes=8, size=max(size, 512 * MIB), origin=NIC / 2, nic=NIC / 2)
    yield Planned(group="origin", name="origin 1 × NIC", case=even)
    warm = attrs.evolve(even, size=size, warm=True)
    yield Planned(group="origin", name="warm seed peer", case=warm)
    eight = Case(nodes=8, size=size, origin=NIC / 2, nic=NIC)
    yield Planned(group="trouble", name="two join at half", case=attrs.evolve(eight, late=2))
    yield Planned(group="trouble", name="seed peer killed at half", case=attrs.evolve(eight, seeds=2, kill_seed_at=0.5))
    yield Planned(group="trouble", name="one node ten times slower", case=attrs.evolve(eight, slow=1, size=size // 2))
    racks = attrs.evolve(eight, racks=2, thin=NIC)
    yield Planned(group="trouble", name="two racks, a thin link", case=racks)
    yield Planned(group="what", name="a real model", case=attrs.evolve(eight, source="model"))
    yield Planned(group="what", name="2,000 small files", case=attrs.evolve(eight, source="small"))
    # each node straight from the hub takes as many times as long as there are nodes
    small = 64 * MIB
    for nodes in (1, 4, 8):
        case = Case(nodes=nodes, size=small, origin=NIC / 2, nic=NIC)
        yield Planned(group="rivals", name=f"{nodes} nodes", case=case, rivals=True)
    if full:
        case = Case(nodes=16, size=small, origin=NIC / 2, nic=NIC)
        yield Planned(group="rivals", name="16 nodes", case=case, rivals=True)
        case = Case(nodes=32, size=small // 2, origin=NIC / 4, nic=NIC / 2)
        yield Planned(group="rivals", name="32 nodes, links half as fast", case=case, rivals=True)
    alone = Case(nodes=1, size=small, origin=NIC / 2, nic=NIC, seeds=0)
    yield Planned(group="alone", name="1 node, no seed peer", case=alone)


def main(argv: list[str] | None = None) -> int:
    """Run all, print the tables. Exit code 1 where something that must hold did not, 2 where nothing can run."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.suite", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="everything, larger")
    parser.add_argument("--groups", nargs="+", help="only these: nodes, origin, trouble, what, rivals, alone, control")
    parser.add_argument("--results", type=Path, help="the folder for results, tables and plots (bench/results/suite-…)")
    given = parser.parse_args(argv)
    if reason := requires_namespaces():
        print(f"bench.suite cannot run here: {reason}", file=sys.stderr)
        return 2
    # the clusters are taken down on the way out, which the default action of SIGTERM would skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = given.results or RESULTS / f"suite-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for planned in plan(full=given.full):
        if given.groups is None or planned.group in given.groups:
            for raw in _run(planned):
                save(raw | {"group": planned.group, "name": planned.name}, directory=folder)
            _say(f"{time.monotonic() - began:6.0f} s  {planned.group}: {planned.name}")
    if given.groups is None or "control" in given.groups:
        with tempfile.TemporaryDirectory(prefix="dfly-bench-") as root:
            save(scale.run(scale.MUST_NODES, rate=scale.MUST_RATE, seconds=15, root=Path(root)), directory=folder)
        _say(f"{time.monotonic() - began:6.0f} s  control: {scale.MUST_NODES} simulated nodes")
    held, text = report(folder)
    print(text)
    return 0 if held else 1


def _run(planned: Planned) -> Iterator[dict[str, Any]]:
    case = planned.case
    # plain TCP on the same links is what anything can reach: measured where the origin is no limit
    baseline = 3.0 if case.warm or case.origin >= case.nic else 0.0
    with tempfile.TemporaryDirectory(prefix="dfly-bench-", dir=room_for(case)) as root:
        yield SwarmRun(case, root=Path(root), baseline_seconds=baseline).run()
    for rival in RIVALS if planned.rivals else ():
        if reason := rival.missing():
            _say(f"{rival.name} is left out: {reason}")
            continue
        with tempfile.TemporaryDirectory(prefix="dfly-bench-", dir=room_for(case)) as root:
            try:
                raw = run_rival(rival, case, root=Path(root))
            except (RuntimeError, OSError) as error:
                _say(f"{rival.name} is left out: {error}")
                continue
        yield raw


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
