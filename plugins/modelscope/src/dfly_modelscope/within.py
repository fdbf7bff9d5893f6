"""What a URL names inside a snapshot that is at hand, where no hub can be asked."""

from __future__ import annotations

import attrs

from dfly import Snapshot
from dfly_modelscope.envelope import no_file
from dfly_modelscope.listing import near
from dfly_modelscope.urls import RepoUrl


def within(asked: RepoUrl, own: RepoUrl, snapshot: Snapshot) -> Snapshot | None:
    """The part of `snapshot`, which is at `own`, that is at the path of `asked`; None where that reaches beyond it.

    Raises NotFound, with near matches, for a path inside it that is not there.
    """
    if asked.path == own.path:
        return attrs.evolve(snapshot, name=asked.name)
    folder = f"{own.path}/" if own.path else ""
    if not asked.path.startswith(folder):
        return None
    at, found = attrs.evolve(own, path=asked.path), snapshot.below(asked.path[len(folder) :])
    if not found:
        raise no_file(at, hint=near(asked.path, (folder + entry.path for entry in snapshot.entries)))
    return attrs.evolve(snapshot, source=str(at), name=asked.name, entries=found)
