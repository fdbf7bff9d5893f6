"""Content to serve, and what is on the disk afterwards."""

import random

from dfly.layout import Layout
from dfly.testing.swarm import tree

__all__ = ["KIB", "MIB", "ODD", "SEGMENT", "odd_repository", "size_of", "some_bytes", "tree"]

KIB, MIB = 1 << 10, 1 << 20
SEGMENT = Layout(1).segment_length

ODD = (
    "with space.txt",
    "hash#tag.md",
    "what?.md",
    "100%.txt",
    "%41.txt",
    "a+b.txt",
    "you&me.txt",
    "naïve–日本.txt",
    "deep/er/still/one.json",
    "semi;colon=.txt",
    "-dash.txt",
    ".hidden",
)


def some_bytes(size, seed=1) -> bytes:
    return random.Random(seed).randbytes(size)


def odd_repository() -> dict[str, bytes]:
    """Odd names, nothing, one byte, many small files, one of several segments, and the same content twice."""
    files = {name: some_bytes(200 + n, seed=n) for n, name in enumerate(ODD)}
    files |= {f"data/{n:03}.json": some_bytes(3000 + n, seed=100 + n) for n in range(100)}
    files |= {"empty": b"", "sub/empty": b"", "one": b"1"}
    files |= {
        "big #1.bin": some_bytes(2 * SEGMENT + MIB + 1, seed=7),
        "just above.bin": some_bytes(512 * KIB + 1, seed=8),
    }
    files |= {"copy/big.bin": files["big #1.bin"]}
    return files


def size_of(files) -> int:
    """Bytes of all distinct content."""
    return sum(map(len, set(files.values())))
