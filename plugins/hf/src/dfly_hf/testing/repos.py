"""Repositories, their history and refs. Commits are computed from content: always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from dfly_hf.testing.content import File, Files, git_hash, read_files


@attrs.frozen
class Commit:
    """A whole tree under a name of 40 hex digits."""

    id: str
    files: dict[str, File]
    parent: str | None
    title: str


@attrs.define(eq=False)
class Repo:
    """A repository; `commit` adds to it, `tag` and `branch` name what is there."""

    kind: str
    id: str
    private: bool = False
    gated: bool = False
    disabled: bool = False
    commits: dict[str, Commit] = attrs.field(factory=dict)
    refs: dict[str, str] = attrs.field(factory=dict)

    def commit(self, files: Files | Path, *, branch: str = "main", title: str = "Add files", id: str = "") -> str:  # noqa: A002
        """Make `files` the whole content of a branch. Returns the commit, which is `id` where one is given."""
        tree = read_files(files)
        ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
        parent = self.refs.get(ref)
        lines = [f"{file.oid} {path}" for path, file in tree.items()]
        name = id or git_hash("\n".join([self.kind, self.id, title, parent or "", *lines]).encode(), "commit")
        self.commits[name] = Commit(name, tree, parent, title)
        self.refs[ref] = name
        return name

    def tag(self, name: str, commit: str | None = None) -> None:
        """Name a commit, the head of main where none is given."""
        self.refs[f"refs/tags/{name}"] = commit or self.refs["refs/heads/main"]

    def branch(self, name: str, commit: str | None = None) -> None:
        """A branch at a commit, the head of main where none is given."""
        self.refs[f"refs/heads/{name}"] = commit or self.refs["refs/heads/main"]

    def find(self, revision: str, *, short_hashes: bool = False) -> Commit | None:
        """The commit that a branch, tag, ref or hash is."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        if short_hashes and len(revision) >= 7:
            found = [commit for name, commit in self.commits.items() if name.startswith(revision)]
            return found[0] if len(found) == 1 else None
        return self.commits.get(revision)

    def history(self, commit: Commit) -> list[Commit]:
        """The commit and what it came from, newest first."""
        found = [commit]
        while found[-1].parent is not None:
            found.append(self.commits[found[-1].parent])
        return found


def folders(files: dict[str, File]) -> dict[str, str]:
    """All folders that `files` lie in, with a hash of each."""
    found: dict[str, list[str]] = {}
    for path, file in files.items():
        parts = path.split("/")
        for depth in range(1, len(parts)):
            found.setdefault("/".join(parts[:depth]), []).append(f"{file.oid} {path}")
    return {folder: git_hash("\n".join(lines).encode(), "tree") for folder, lines in found.items()}


def row(path: str, file: File | None, oid: str = "", *, commit: Commit | None = None) -> dict[str, Any]:
    """One row of a listing; with `commit`, expanded."""
    if file is None:
        found: dict[str, Any] = {"type": "directory", "oid": oid, "size": 0, "path": path}
    else:
        found = {"type": "file", "oid": file.oid, "size": file.size, "path": path}
        if file.sha256:
            found["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
        if file.xet:
            found["xetHash"] = file.xet
    if commit is not None:
        found["lastCommit"] = {"id": commit.id, "title": commit.title, "date": "2026-01-01T00:00:00.000Z"}
    return found
