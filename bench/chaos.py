"""A swarm under fire: random faults from a printed seed, and every node's file compared with the hub's at the end.

    python -m bench.chaos                       32 nodes, 20 faults, a seed of its own choice
    python -m bench.chaos --seed 7              that run again
    python -m bench.chaos --seeds 10            seeds 1 to 10
    python -m bench.chaos --write docs/chaos.md bench/results/chaos-*.json

Needs root (network namespaces). Exit code 1 where a run did not hold.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.case import MBIT, MIB
from bench.chaos_report import chaos_table, page, summary, troubles
from bench.chaos_run import Case, ChaosRun
from bench.results import RESULTS, save
from dfly.testing.cluster import requires_namespaces


def main(argv: list[str] | None = None) -> int:
    """Run it. Exit code 2 where it cannot be run here."""
    given = _parser().parse_args(argv)
    if given.write:
        raws = [json.loads(path.read_text()) for path in given.results_files]
        given.write.write_text(page(sorted(raws, key=lambda raw: int(raw["seed"]))))
        return 0
    if reason := requires_namespaces():
        print(f"bench.chaos cannot run here: {reason}", file=sys.stderr)
        return 2
    # The cluster is taken down on the way out, which the default action of SIGTERM would skip.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    case = Case(
        nodes=given.nodes,
        size=int(given.size * MIB),
        nic=given.nic * MBIT,
        origin=given.origin * MBIT,
        faults=given.faults,
        kinds=tuple(given.kind) if given.kind else None,
    )
    seeds = range(1, given.seeds + 1) if given.seeds else [given.seed or random.randrange(1, 100_000)]
    raws = []
    for seed in seeds:
        raws.append(one(case, seed, root=given.root, keep=given.keep))
        print(
            f"{chaos_table([raws[-1]])}\n{troubles(raws[-1])}\nraw: {save(raws[-1], directory=given.results)}",
            flush=True,
        )
    if len(raws) > 1:
        print(f"\n{chaos_table(raws)}")
    return 0 if all(summary(raw)["held"] for raw in raws) else 1


def one(case: Case, seed: int, *, root: Path | None, keep: bool = False) -> dict[str, Any]:
    """The raw result of one run."""
    print(f"seed {seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="dfly-chaos-", dir=root or _room_for(case)))
    try:
        return ChaosRun(case, seed, root=directory, say=lambda line: print(line, flush=True)).run()
    finally:
        if keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def _room_for(case: Case) -> Path:
    """Memory where the file fits once for everybody, twice over; else the disk."""
    memory = Path("/dev/shm")
    needed = 2 * case.size * (1 + case.seeds + case.nodes)
    fits = memory.is_dir() and shutil.disk_usage(memory).free > needed
    return memory if fits else Path(tempfile.gettempdir())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seed", type=int, help="make this run again")
    add("--seeds", type=int, metavar="N", help="seeds 1 to N")
    add("--nodes", type=int, default=32, help="how many nodes (32)")
    add("--faults", type=int, default=20, help="how many faults (20)")
    add("--size", type=float, default=512, metavar="MIB", help="the file (512 MiB)")
    add("--nic", type=float, default=75, metavar="MBIT", help="a node's and a seed peer's link (75 Mbit/s)")
    add("--origin", type=float, default=30, metavar="MBIT", help="the hub's rate (30 Mbit/s)")
    add("--kind", action="append", help="only faults of this kind; repeatable")
    add("--root", type=Path, help="where files go (memory if they fit, else the disk)")
    add("--keep", action="store_true", help="keep the files of the processes")
    add("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    add("--write", type=Path, metavar="PAGE", help="write this page from the raw results named, and run nothing")
    add("results_files", type=Path, nargs="*", metavar="RESULT", help="raw results for --write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
