"""Repositories, with the rows that the hub lists of them.

A commit's name is computed from content, so it is always the same. A row's `Revision` is the last commit that touched the
file, or anything below the folder, as git counts it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import attrs

from dfly_modelscope.testing.content import File, Files, read_files


@attrs.frozen
class Commit:
    """A whole tree; `touched` has the last commit of each file and folder in it."""

    id: str
    files: dict[str, File]
    touched: dict[str, str]


@attrs.define(eq=False)
class Repo:
    """A repository; `commit` adds to a branch, `tag` names what is there."""

    kind: str
    id: str
    private: bool = False
    #: Listed to everybody, given to those with a grant.
    gated: bool = False
    commits: dict[str, Commit] = attrs.field(factory=dict)
    branches: dict[str, str] = attrs.field(factory=dict)
    tags: dict[str, str] = attrs.field(factory=dict)

    def commit(self, files: Files | Path, *, branch: str = "master") -> str:
        """Make `files` the whole content of a branch. Returns the commit."""
        tree = read_files(files)
        parent = self.commits.get(self.branches.get(branch, ""))
        lines = [parent.id if parent else "", self.kind, self.id, *(f"{f.sha256} {path}" for path, f in tree.items())]
        name = hashlib.sha1("\n".join(lines).encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        self.commits[name] = Commit(name, tree, _touched(name, tree, parent))
        self.branches[branch] = name
        return name

    def tag(self, name: str, commit: str | None = None) -> None:
        """Name a commit, the head of master where none is given."""
        self.tags[name] = commit or self.branches["master"]

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, tag or hash is."""
        name = self.branches.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(name)


def rows(commit: Commit, root: str, *, recursive: bool) -> list[dict[str, Any]]:
    """What is listed below `root`, folders included."""
    below = f"{root.strip('/')}/" if root.strip("/") else ""
    found: dict[str, dict[str, Any]] = {}
    for path, file in commit.files.items():
        if not path.startswith(below):
            continue
        parts = path.removeprefix(below).split("/")
        for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
            folder = below + "/".join(parts[:depth])
            found.setdefault(folder, _row(folder, None, commit))
        if recursive or len(parts) == 1:
            found[path] = _row(path, file, commit)
    return list(found.values())


def _row(path: str, file: File | None, commit: Commit) -> dict[str, Any]:
    return {
        "CommitMessage": "Add files",
        "CommittedDate": 1767225600,
        "CommitterName": "fixture",
        "InCheck": False,
        "IsLFS": file is not None and file.lfs,
        "Mode": "33188" if file else "16384",
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Revision": commit.touched[path],
        "Sha256": file.sha256 if file else "",
        "Size": file.size if file else 0,
        "Type": "blob" if file else "tree",
    }


def _touched(name: str, files: dict[str, File], parent: Commit | None) -> dict[str, str]:
    before = parent.files if parent else {}
    changed = {path for path in {*files, *before} if files.get(path) != before.get(path)}
    changed |= {folder for path in changed for folder in _folders(path)}
    known = parent.touched if parent else {}
    there = {*files, *(folder for path in files for folder in _folders(path))}
    return {path: name if path in changed else known[path] for path in there}


def _folders(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
