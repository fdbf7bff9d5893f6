"""File patterns as the Hugging Face Hub's own tools read them, for every source.

`fnmatch` on the whole path: case-sensitive, `*` crosses `/`, a trailing `/` means everything below. Include, then exclude.
"""

import re
from collections.abc import Iterable, Sequence
from fnmatch import translate

from dfly.values import Entry


def select(entries: Iterable[Entry], *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[Entry]:
    """The entries that match any of `include` (all, where it is empty) and none of `exclude`."""
    # read once: fnmatch's own memory is shorter than a stranger's list of patterns may be
    wanted, unwanted = _Patterns(include), _Patterns(exclude)
    return [entry for entry in entries if wanted.allow(entry.path) and not unwanted.match(entry.path)]


def matches(path: str, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Whether one path is selected.

    >>> matches("onnx/model.onnx", include=["*.onnx"]), matches("a/b.bin", exclude=["a/"])
    (True, False)
    """
    return _Patterns(include).allow(path) and not _Patterns(exclude).match(path)


class _Patterns:
    def __init__(self, patterns: Sequence[str]) -> None:
        self._compiled = [re.compile(translate(_pattern(pattern))) for pattern in patterns]

    def match(self, path: str) -> bool:
        return any(compiled.match(path) for compiled in self._compiled)

    def allow(self, path: str) -> bool:
        return not self._compiled or self.match(path)


def _pattern(pattern: str) -> str:
    pattern = pattern.replace("\\", "/")
    return pattern + "*" if pattern.endswith("/") else pattern
