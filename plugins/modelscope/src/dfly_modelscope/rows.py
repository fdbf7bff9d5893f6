"""The rows of a listing, checked field by field, and what a listing says about the commit it shows."""

import re
from collections.abc import Iterable
from typing import Any

import attrs

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
_HEX64 = re.compile(r"[0-9a-fA-F]{64}")
_SHORT = re.compile(r"[0-9a-fA-F]{7,40}")


@attrs.frozen
class Row:
    """One file or folder. `size` is None where the hub does not know it; `revision` is the last commit that touched it."""

    path: str
    is_file: bool
    size: int | None = None
    sha256: str | None = None
    revision: str | None = None


@attrs.frozen
class Page:
    """What the hub lists in one place. `complete` is False where it may know of more; `tip` as in `commit_of`."""

    rows: tuple[Row, ...]
    complete: bool = True
    tip: str = ""

    @property
    def commit(self) -> str | None:
        """The commit that is listed, in full; None where the hub does not tell.

        The hub names its head by eight digits. The rest stands in the row of whatever that commit touched.
        """
        if _HEX40.fullmatch(self.tip):
            return self.tip
        if not self.tip:
            return None
        found = {row.revision for row in self.rows if row.revision and row.revision.startswith(self.tip)}
        return found.pop() if len(found) == 1 else None


def row_of(item: Any) -> Row | None:
    """Read one row; None where it cannot be read.

    Size 0 stands for an empty file and for a size that the hub does not know: only the hash of nothing tells them apart.
    """
    if not isinstance(item, dict):
        return None
    field = {key.lower(): value for key, value in item.items() if isinstance(key, str)}
    path, kind, size = field.get("path"), field.get("type") or "blob", field.get("size")
    if not isinstance(path, str) or not path or not isinstance(kind, str):
        return None
    revision = _hex(_HEX40, field.get("revision"))
    if kind in ("tree", "commit"):
        return Row(path, is_file=False, revision=revision)
    if kind not in ("blob", "file") or not (size is None or (isinstance(size, int) and size >= 0)):
        return None
    sha256 = _hex(_HEX64, field.get("sha256"))
    known = size if size or sha256 == EMPTY_SHA256 else None
    return Row(path, is_file=True, size=known, sha256=sha256, revision=revision)


def tip_of(data: Any) -> str:
    """The head commit as a listing's `LatestCommitter` names it: in full, by its first digits, or "" for not at all."""
    latest = data.get("LatestCommitter") if isinstance(data, dict) else None
    if not isinstance(latest, dict):
        return ""
    return next((found for key in ("Id", "Revision", "ShortId") if (found := _hex(_SHORT, latest.get(key)))), "")


def same_tip(one: str, other: str) -> bool:
    """Whether two names of a commit, either of which may be short or "", can be the same commit's."""
    return one.startswith(other) or other.startswith(one)


def merged(pages: Iterable[Page]) -> Page:
    """The pages of one listing as one."""
    pages = list(pages)
    rows = tuple(row for page in pages for row in page.rows)
    return Page(rows, complete=all(page.complete for page in pages), tip=pages[0].tip)


def _hex(shape: re.Pattern[str], value: Any) -> str | None:
    return value.lower() if isinstance(value, str) and shape.fullmatch(value) else None
