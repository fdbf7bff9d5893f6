"""The files of a repository: bytes in memory, or files on disk that are never read as a whole, however large they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs

if TYPE_CHECKING:
    import hashlib

#: What git keeps outside itself: these, and everything of LFS_SIZE bytes or more.
LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".parquet", ".gz", ".zip", ".tar")
LFS_SIZE = 1 << 20


@attrs.frozen(kw_only=True)
class Content:
    """One file: `data`, or the file at `path`, of `size` bytes. A hub's own class adds the hashes that the hub knows it by."""

    size: int
    data: bytes | None = attrs.field(default=None, repr=False)
    path: Path | None = None

    @property
    def etag(self) -> str:
        """What the hub calls this content; no two contents have one name."""
        raise NotImplementedError

    def read(self, start: int, stop: int) -> bytes:
        """Bytes `[start, stop)`."""
        if self.data is not None:
            return self.data[start:stop]
        assert self.path is not None
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


C = TypeVar("C", bound=Content)
Raw = bytes | str | Path


def read_files(files: Mapping[str, Raw | C] | Path, make: Callable[[str, bytes | Path, int], C]) -> dict[str, C]:
    """The files of a mapping or a folder, by path, sorted; `make(name, content, size)` is called for what is no content yet."""
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.is_file()}
    found: dict[str, C] = {}
    for name, content in sorted(files.items()):
        if isinstance(content, Content):
            found[name] = content
        else:
            raw, size = measured(content)
            found[name] = make(name, raw, size)
    return found


def measured(content: Raw) -> tuple[bytes | Path, int]:
    """The content, text as UTF-8, and its size in bytes."""
    raw = content.encode() if isinstance(content, str) else content
    return raw, raw.stat().st_size if isinstance(raw, Path) else len(raw)


def is_binary(name: str, size: int) -> bool:
    """Whether a file would be kept outside git: by its extension, or because it is large."""
    return size >= LFS_SIZE or name.endswith(LFS_SUFFIXES)


def digest(hasher: hashlib._Hash, content: bytes | Path) -> str:
    """The hex digest of `content` after what `hasher` has seen already."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
    else:
        hasher.update(content)
    return hasher.hexdigest()
