"""The files of a fixture repository and the SHA-256 that the hub lists for each, git files included.

A file is bytes in memory or a file on disk; one whose hash is given is never read as a whole, however large.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

#: What git keeps outside itself: these, and everything of LFS_SIZE bytes or more.
LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".parquet", ".gz", ".zip", ".tar")
LFS_SIZE = 1 << 20


@attrs.frozen(kw_only=True)
class File:
    """One file: `data`, or `path` on disk. `lfs` files are served by the storage, the others by the hub itself."""

    size: int
    sha256: str
    data: bytes | None = attrs.field(default=None, repr=False)
    path: Path | None = None
    lfs: bool = False

    @classmethod
    def of(cls, content: bytes | Path, *, lfs: bool = False, sha256: str | None = None) -> Self:
        """A file with its hash; `sha256` spares reading a large one."""
        if isinstance(content, Path):
            return cls(size=content.stat().st_size, sha256=sha256 or _hash(content), path=content, lfs=lfs)
        return cls(size=len(content), sha256=sha256 or hashlib.sha256(content).hexdigest(), data=content, lfs=lfs)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)`."""
        if self.data is not None:
            return self.data[start:stop]
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


Files = Mapping[str, bytes | Path | File]


def read_files(files: Files | Path) -> dict[str, File]:
    """The files of a mapping or a folder, by path, sorted."""
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.is_file()}
    return {name: _file(name, content) for name, content in sorted(files.items())}


def _file(name: str, content: bytes | Path | File) -> File:
    if isinstance(content, File):
        return content
    size = content.stat().st_size if isinstance(content, Path) else len(content)
    return File.of(content, lfs=size >= LFS_SIZE or name.endswith(LFS_SUFFIXES))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
