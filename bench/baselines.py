"""What the same links carry without us: plain TCP between the nodes, in a ring and between all pairs.

The bound assumes a NIC that is full of payload; headers and TCP itself leave less, and this says how much.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfly.testing.cluster import Cluster, Host

PORT = 7100
_PEER = str(Path(__file__).with_name("tcp_peer.py"))


def all_pairs_tcp(cluster: Cluster, nodes: Sequence[Host], *, nic: float, seconds: float = 5.0) -> dict[str, Any]:
    """Payload that each node receives, as a share of `nic`, while all send at once: mean and worst, by shape."""
    if len(nodes) < 2:
        return {}
    count = len(nodes)
    ring = [sorted({(i - 1) % count, (i + 1) % count}) for i in range(count)]
    pairs = [[j for j in range(count) if j != i] for i in range(count)]
    return {
        "ring": _measure(nodes, ring, nic=nic, seconds=seconds, port=PORT),
        "pairs": _measure(nodes, pairs, nic=nic, seconds=seconds, port=PORT + 1),
    }


def _measure(
    nodes: Sequence[Host], neighbours: Sequence[Sequence[int]], *, nic: float, seconds: float, port: int
) -> dict[str, float]:
    start = time.time() + 1 + 0.15 * len(nodes)  # a Python needs a while to start, and so many share the CPUs
    timing = [str(port), f"{start:.3f}", str(seconds)]
    running = []
    for node, others in zip(nodes, neighbours, strict=True):
        peers = [nodes[other].address for other in others]
        argv = [sys.executable, "-S", "-E", _PEER, node.address, *timing, *peers]
        running.append(node.popen(argv, out=node.directory / f"tcp-{port}.out"))
    shares = []
    for process in running:
        if process.wait(start - time.time() + seconds + 30):
            raise RuntimeError(f"the TCP baseline failed:\n{process.tail()}")
        shares.append(int(process.out.read_text().split()[-1]) / seconds / nic)
    return {"mean": sum(shares) / len(shares), "worst": min(shares)}
