"""The files of a fixture repository and the SHA-256 that the hub lists for each, git files included."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

from dfly.testing.hub import Content, is_binary
from dfly.testing.hub import read_files as read
from dfly.testing.hub.contents import digest


@attrs.frozen(kw_only=True)
class File(Content):
    """One file. `lfs` files are served by the storage, the others by the hub itself."""

    sha256: str
    lfs: bool = False

    @classmethod
    def of(cls, content: bytes | Path, *, lfs: bool = False, sha256: str | None = None) -> Self:
        """A file with its hash; `sha256` spares reading a large one."""
        name = sha256 or digest(hashlib.sha256(), content)
        if isinstance(content, Path):
            return cls(size=content.stat().st_size, sha256=name, path=content, lfs=lfs)
        return cls(size=len(content), sha256=name, data=content, lfs=lfs)

    @property
    def etag(self) -> str:
        """What the hub calls the content."""
        return self.sha256


Files = Mapping[str, bytes | str | Path | File]


def read_files(files: Files | Path) -> dict[str, File]:
    """The files of a mapping or a folder, by path; large ones and those with a known binary extension are LFS files."""
    return read(files, lambda name, content, size: File.of(content, lfs=is_binary(name, size)))
