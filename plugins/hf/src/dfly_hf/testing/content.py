"""The files of a fixture repository, with the hashes that a hub would know them by.

A file is bytes in memory or a file on disk, which is never read as a whole: a sparse terabyte is as good as a small one
when its SHA-256 is given.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

import attrs

LFS_NAMES = (
    "*.safetensors",
    "*.bin",
    "*.gguf",
    "*.pt",
    "*.pth",
    "*.onnx",
    "*.h5",
    "*.parquet",
    "*.gz",
    "*.zip",
    "*.tar",
)
LFS_SIZE = 1 << 20


@attrs.frozen(kw_only=True)
class File:
    """One file: `data`, or `path` on disk. `oid` is git's hash: of the content, or of the LFS pointer (with `sha256`).

    A file with `xet` and no `sha256` is one that only Xet stores: the hub knows no digest of its bytes.
    """

    size: int
    oid: str
    data: bytes | None = attrs.field(default=None, repr=False)
    path: Path | None = None
    sha256: str | None = None
    xet: str | None = None

    @classmethod
    def of(
        cls, content: bytes | str | Path, *, lfs: bool = False, sha256: str | None = None, xet: str | None = None
    ) -> Self:
        """A file with its hashes. `sha256` spares reading a large one; `xet` without it is a file only Xet stores."""
        path = content if isinstance(content, Path) else None
        data = content.encode() if isinstance(content, str) else content if isinstance(content, bytes) else None
        size = len(data) if data is not None else os.stat(content).st_size
        if lfs or sha256:
            sha256 = sha256 or _digest(hashlib.sha256(), data, path)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            oid = git_hash(pointer)
        elif xet:
            oid = git_hash(xet.encode())
        else:
            oid = _digest(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), data, path)
        return cls(size=size, oid=oid, data=data, path=path, sha256=sha256, xet=xet)

    @property
    def stored_elsewhere(self) -> bool:
        """Whether the hub redirects to its content network for this file."""
        return self.sha256 is not None or self.xet is not None

    @property
    def etag(self) -> str:
        """What the hub calls the content."""
        return self.sha256 or self.xet or self.oid


Files = Mapping[str, bytes | str | Path | File]


def read_files(files: Files | Path) -> dict[str, File]:
    """The files of a mapping or a folder, by path; large ones and those with a known binary extension are LFS files."""
    if isinstance(files, Path):
        found = (path for path in files.rglob("*") if path.is_file())
        files = {path.relative_to(files).as_posix(): path for path in found}
    return {name: _file(name, content) for name, content in sorted(files.items())}


def git_hash(content: bytes, kind: str = "blob") -> str:
    """Git's object name for `content`."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


def _file(name: str, content: bytes | str | Path | File) -> File:
    if isinstance(content, File):
        return content
    size = os.stat(content).st_size if isinstance(content, Path) else len(content)
    return File.of(content, lfs=size >= LFS_SIZE or any(fnmatchcase(name, pattern) for pattern in LFS_NAMES))


def _digest(hasher: hashlib._Hash, data: bytes | None, path: Path | None) -> str:
    if data is not None:
        hasher.update(data)
    elif path is not None:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
    return hasher.hexdigest()
