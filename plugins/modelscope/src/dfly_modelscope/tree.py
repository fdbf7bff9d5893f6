"""A snapshot as the rows of the hub's listings, folders included.

A snapshot keeps of each file what its content is and which commit last touched it. Who made that commit, and when, it does
not keep: clients show that and do not need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dfly import DflyError, Entry, Snapshot
from dfly_modelscope.urls import RepoUrl


class Tree:
    """The files and folders of a whole repository, by path."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.files: Mapping[str, Entry] = {entry.path: entry for entry in snapshot.entries}
        self._commit = snapshot.revision
        self._folders = dict.fromkeys(folder for path in self.files for folder in _folders(path))

    def rows(self, root: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
        """What is below the folder `root`, "" being the repository; without `recursive` its own level."""
        below = f"{root}/" if root else ""
        for path in sorted({**self._folders, **self.files}):
            if path.startswith(below) and (recursive or "/" not in path[len(below) :]):
                yield self._row(path)

    def listing(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The data of a listing that shows these."""
        commit = self._commit
        return {"Files": rows, "LatestCommitter": {"Id": commit, "ShortId": commit[:8]} if commit else None}

    def _row(self, path: str) -> dict[str, Any]:
        entry = self.files.get(path)
        row = {"Path": path, "Name": path.rpartition("/")[2], "Type": "tree", "Size": 0, "Sha256": "", "Mode": "16384"}
        if entry is not None:
            sha256 = entry.digest("sha256") or ""
            row |= {"Type": "blob", "Size": entry.size or 0, "Sha256": sha256, "Mode": "33188"}
            row["Revision"] = _revision(entry)
        return row


def _revision(entry: Entry) -> str:
    try:
        return RepoUrl.parse(entry.url).revision or ""
    except DflyError:
        return ""


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
