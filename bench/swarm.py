"""The swarm benchmark: one hub, seed peers and N nodes as real processes on links of a chosen speed.

    python -m bench.swarm --nodes 16 --size 512 --origin 40 --nic 100

Needs root (network namespaces). Prints the bound F / min(R, B), what was reached, and what plain TCP reaches on the
same links; keeps the raw result in bench/results.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench import case as cases
from bench.report import nodes_table, swarm_summary, swarm_table
from bench.results import RESULTS, save
from bench.swarm_run import SwarmRun
from dfly.testing.cluster import requires_namespaces


def main(argv: list[str] | None = None) -> int:
    """Run one case, possibly several times. Exit code 1 where a run was not valid, 2 where none is possible."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.swarm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cases.add_arguments(parser)
    parser.add_argument("--runs", type=int, default=1, help="how often (1)")
    parser.add_argument("--baseline", type=float, default=5, metavar="SECONDS", help="of plain TCP, 0 for none (5)")
    parser.add_argument("--threads", action="store_true", help="read the CPU time of each thread, too")
    parser.add_argument("--root", type=Path, help="where files go (memory if they fit, else the disk)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where raw results are kept (bench/results)")
    given = parser.parse_args(argv)
    if reason := requires_namespaces():
        print(f"bench.swarm cannot run here: {reason}", file=sys.stderr)
        return 2
    # The cluster is taken down on the way out, which the default action of SIGTERM would skip.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    case = cases.from_arguments(given)
    raws = []
    for _ in range(given.runs):
        with tempfile.TemporaryDirectory(prefix="dfly-bench-", dir=given.root or room_for(case)) as root:
            raw = SwarmRun(case, root=Path(root), baseline_seconds=given.baseline, threads=given.threads).run()
        raws.append(raw)
        print(f"\n{nodes_table(raw)}\n\n{swarm_table([raw])}\nraw: {save(raw, directory=given.results)}", flush=True)
    if len(raws) > 1:
        print(f"\n{swarm_table(raws)}")
    return 0 if all(swarm_summary(raw)["valid"] for raw in raws) else 1


def room_for(case: cases.Case) -> Path:
    """Memory where the blob fits once for the hub, each seed peer and each node, twice over; else the disk."""
    memory = Path("/dev/shm")
    needed = 2 * case.size * (1 + case.seeds + case.nodes)
    if memory.is_dir() and shutil.disk_usage(memory).free > needed:
        return memory
    return Path(tempfile.gettempdir())


if __name__ == "__main__":
    sys.exit(main())
