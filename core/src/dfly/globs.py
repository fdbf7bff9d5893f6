"""File patterns as the Hugging Face Hub's own tools read them, for every source.

`fnmatch` on the whole path: case-sensitive, `*` crosses `/`, a trailing `/` means everything below. Include, then exclude.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from dfly.values import Entry

T = TypeVar("T")


def select(entries: Iterable[Entry], *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Entry]:
    """The entries that match any of `include` (all, where it is empty) and none of `exclude`."""
    return [entry for entry in entries if matches(entry.path, include=include, exclude=exclude)]


def matches(path: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Whether one path is selected.

    >>> matches("onnx/model.onnx", include=["*.onnx"]), matches("a/b.bin", exclude=["a/"])
    (True, False)
    """
    allowed = not include or any(fnmatchcase(path, _pattern(p)) for p in include)
    return allowed and not any(fnmatchcase(path, _pattern(p)) for p in exclude)


def _pattern(pattern: str) -> str:
    pattern = pattern.replace("\\", "/")
    return pattern + "*" if pattern.endswith("/") else pattern
