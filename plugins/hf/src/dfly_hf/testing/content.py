"""The files of a fixture repository, with the hashes that a hub would know them by.

A sparse terabyte is as good as a small file when its SHA-256 is given: it is never read as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import attrs

from dfly.testing.hub import Content, is_binary
from dfly.testing.hub import read_files as read
from dfly.testing.hub.contents import digest, measured


@attrs.frozen(kw_only=True)
class File(Content):
    """One file. `oid` is git's hash: of the content, or of the LFS pointer (with `sha256`).

    A file with `xet` and no `sha256` is one that only Xet stores: the hub knows no digest of its bytes.
    """

    oid: str
    sha256: str | None = None
    xet: str | None = None

    @classmethod
    def of(
        cls, content: bytes | str | Path, *, lfs: bool = False, sha256: str | None = None, xet: str | None = None
    ) -> Self:
        """A file with its hashes. `sha256` spares reading a large one; `xet` without it is a file only Xet stores."""
        raw, size = measured(content)
        if lfs or sha256:
            sha256 = sha256 or digest(hashlib.sha256(), raw)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            oid = git_hash(pointer)
        elif xet:
            oid = git_hash(xet.encode())
        else:
            oid = digest(hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False), raw)
        data, path = (None, raw) if isinstance(raw, Path) else (raw, None)
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
    return read(files, lambda name, content, size: File.of(content, lfs=is_binary(name, size)))


def git_hash(content: bytes, kind: str = "blob") -> str:
    """Git's object name for `content`."""
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
