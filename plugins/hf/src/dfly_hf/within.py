"""What a URL names inside a snapshot that is at hand, where no hub can be asked."""

from __future__ import annotations

import attrs

from dfly import NotFound, Snapshot
from dfly_hf.revisions import near
from dfly_hf.urls import RepoUrl


def within(asked: RepoUrl, own: RepoUrl, snapshot: Snapshot) -> Snapshot | None:
    """The part of `snapshot`, which is at `own`, that is at the path of `asked`; None where that reaches beyond it.

    Raises NotFound, with near matches, for a path inside it that is not there.
    """
    if asked.path == own.path:
        return attrs.evolve(snapshot, name=asked.name)
    # a file holds nothing: its only entry has its own name
    folder = f"{own.path}/" if own.path else ""
    if not asked.path.startswith(folder):
        return None
    path, at = asked.path[len(folder) :], attrs.evolve(own, path=asked.path)
    found = snapshot.below(path)
    if not found:
        hint = near(asked.path, (folder + entry.path for entry in snapshot.entries))
        raise NotFound(
            f"{own.repository} has no file or folder {asked.path!r} at {own.revision}", hint=hint, url=str(at)
        )
    return attrs.evolve(snapshot, source=str(at), name=asked.name, entries=found)
