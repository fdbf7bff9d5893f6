"""What is fetched in benchmarks, and whether it came through whole."""

import filecmp
import os
from collections.abc import Iterator
from pathlib import Path


def identical(output: Path, blob: Path) -> bool:
    """Whether a node has the hub's bytes."""
    return output.exists() and filecmp.cmp(output, blob, shallow=False)


def same_tree(output: Path, repository: Path) -> bool:
    """Whether a node has all of the hub's files, and no others."""
    wanted, found = (
        {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
        for folder in (repository, output)
    )
    return wanted.keys() == found.keys() and all(identical(found[name], wanted[name]) for name in wanted)


def write_blob(path: Path, size: int) -> None:
    """A blob of `size` bytes in which no two pieces are alike and nothing can be compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for chunk in _noise(size):
            file.write(chunk)


def _noise(size: int) -> Iterator[bytes]:
    while size > 0:
        chunk = os.urandom(min(size, 1 << 22))
        size -= len(chunk)
        yield chunk
