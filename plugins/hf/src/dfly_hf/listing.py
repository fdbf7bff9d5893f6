"""A snapshot in the words of the hub's listings: rows of files and folders with the hashes that git and LFS give them.

What the hub says of an LFS file's row follows from its content: git keeps a pointer of three lines, whose hash is the row's.
No row names a Xet hash: a client that sees one fetches by Xet, past the swarm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import attrs

from dfly import Entry, Snapshot

_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def etag(entry: Entry) -> str:
    """What the hub calls the content of a file: SHA-256 for LFS, else git's hash, else Xet's."""
    named = entry.digest("sha256") or entry.digest("git-sha1")
    return named or (entry.validator or "").rpartition(":")[2]


def is_lfs(entry: Entry) -> bool:
    """Whether the hub keeps the content outside of git, and so has a word of its own for its size and hash."""
    return entry.digest("git-sha1") is None


@attrs.frozen(eq=False, slots=False)
class Listing:
    """The files and folders of a whole repository."""

    snapshot: Snapshot

    @cached_property
    def files(self) -> dict[str, Entry]:
        """By path."""
        return {entry.path: entry for entry in self.snapshot.entries}

    @cached_property
    def folders(self) -> dict[str, str]:
        """Git's hash of each folder, by path."""
        return _folders(self.snapshot.entries)

    def row(self, path: str) -> dict[str, Any] | None:
        """One row; None where there is no such path."""
        entry = self.files.get(path)
        if entry is not None:
            return {"type": "file", **_named(entry), "path": path}
        oid = self.folders.get(path)
        return None if oid is None else {"type": "directory", "oid": oid, "size": 0, "path": path}

    def below(self, folder: str, *, recursive: bool) -> Iterator[str]:
        """The paths in a folder ("" for the repository), sorted."""
        start = f"{folder}/" if folder else ""
        for path in self._sorted:
            if path.startswith(start) and (recursive or "/" not in path[len(start) :]):
                yield path

    def siblings(self, *, blobs: bool) -> list[dict[str, Any]]:
        """The files as a repository's description lists them."""
        if not blobs:
            return [{"rfilename": path} for path in sorted(self.files)]
        return [_sibling(path, self.files[path]) for path in sorted(self.files)]

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted((*self.files, *self.folders))


def _named(entry: Entry) -> dict[str, Any]:
    """The hash and size of a row."""
    size, sha256 = entry.size or 0, entry.digest("sha256")
    if sha256 is None:
        return {"oid": _oid(entry), "size": size}
    length = len(_POINTER.format(oid=sha256, size=size))
    return {"oid": _oid(entry), "size": size, "lfs": {"oid": sha256, "size": size, "pointerSize": length}}


def _sibling(path: str, entry: Entry) -> dict[str, Any]:
    row = _named(entry)
    found = {"rfilename": path, "size": row["size"], "blobId": row["oid"]}
    if "lfs" in row:
        found["lfs"] = {"sha256": row["lfs"]["oid"], "size": row["size"], "pointerSize": row["lfs"]["pointerSize"]}
    return found


def _oid(entry: Entry) -> str:
    plain = entry.digest("git-sha1")
    if plain is not None:
        return plain
    sha256 = entry.digest("sha256")
    # of a file that only Xet has, the hub shows a hash of something that nobody downloads
    kept = _POINTER.format(oid=sha256, size=entry.size or 0) if sha256 else etag(entry)
    return _git("blob", kept.encode())


def _folders(entries: Sequence[Entry]) -> dict[str, str]:
    """As git hashes trees, if all files have the usual mode."""
    children: dict[str, dict[str, tuple[str, str]]] = {}
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        children.setdefault(folder, {})[name] = ("100644", _oid(entry))
        while folder:
            folder = folder.rpartition("/")[0]
            children.setdefault(folder, {})
    found: dict[str, str] = {}
    for folder in sorted(children, key=lambda path: -path.count("/") if path else 1):
        rows = sorted(children[folder].items(), key=lambda row: row[0] + ("/" if row[1][0] == "40000" else ""))
        content = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(oid) for name, (mode, oid) in rows)
        oid = _git("tree", content)
        if folder:
            found[folder] = oid
            above, _, name = folder.rpartition("/")
            children[above][name] = ("40000", oid)
    return found


def _git(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()
