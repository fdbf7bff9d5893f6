"""The cache that the hub's own tools keep, as huggingface_hub 1.x and 2.x read it; `--hf-cache` fills it.

    CACHEDIR.TAG
    models--owner--repo/blobs/<etag>                   SHA-256 of large files, git's hash of small ones
    models--owner--repo/snapshots/<commit>/<path>      links to the blobs
    models--owner--repo/trees/<commit>.json            what the commit holds: tells a whole snapshot from a part of one
    models--owner--repo/refs/<revision>                the commit that a branch, tag or short hash was
    .locks/models--owner--repo/<etag>.lock             held while the blob is brought

A repository is kept under the name that it was asked by, even where the hub has renamed it: it will be asked for by that name.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from dfly import CachedFile, CacheLayout, CacheOrder, CachePlan, Endpoint, Entry, Snapshot, Unsupported
from dfly_hf.urls import DEFAULT_REVISION, RepoUrl

_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This file is a cache directory tag created by dfly, for huggingface_hub.
# For information about cache directory tags, see:
#\thttps://bford.info/cachedir/
"""
_TREE_VERSION = 1


def directory(env: Mapping[str, str]) -> str:
    """Where the hub's tools keep the cache: HF_HUB_CACHE, HF_HOME/hub, or ~/.cache/huggingface/hub."""
    home = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    place = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return os.path.expandvars(os.path.expanduser(place))


def arrange(snapshot: Snapshot, order: CacheOrder) -> CachePlan:
    """Where the files of `snapshot` go. Raises Unsupported for a file that the hub gave no hash."""
    asked = RepoUrl.parse(order.url, endpoint=Endpoint.parse(order.settings.endpoint))
    pinned = RepoUrl.parse(snapshot.source)
    if not pinned.pinned:
        raise Unsupported(f"{pinned} names no commit, and the cache keeps files by commit")
    commit, root = str(pinned.revision), "--".join([asked.kind, *asked.repo.split("/")])
    revision = order.settings.revision or asked.revision or DEFAULT_REVISION
    files = tuple(_file(entry, root=root, commit=commit) for entry in snapshot.entries)
    notes = {"CACHEDIR.TAG": _TAG}
    if order.whole and not pinned.path and all(entry.digests for entry in snapshot.entries):
        notes[f"{root}/trees/{commit}.json"] = _tree(snapshot.entries)
    return CachePlan(
        root=root,
        view=f"{root}/snapshots/{commit}",
        files=files,
        aside=".locks",
        notes=notes,
        refs={} if revision.lower() == commit else {f"{root}/refs/{revision}": commit},
    )


LAYOUT = CacheLayout(
    help="the cache of huggingface_hub, transformers and others, for local_files_only; "
    "without DIR where they keep it: HF_HUB_CACHE, HF_HOME/hub, ~/.cache/huggingface/hub",
    directory=directory,
    arrange=arrange,
)


def _file(entry: Entry, *, root: str, commit: str) -> CachedFile:
    etag = _etag(entry)
    return CachedFile(
        entry=entry,
        blob=f"{root}/blobs/{etag}",
        # a snapshot of a folder, or of one file, is a part of the same view
        link=f"{root}/snapshots/{commit}/{RepoUrl.parse(entry.url).path}",
        lock=f".locks/{root}/{etag}.lock",
    )


def _etag(entry: Entry) -> str:
    """What the hub sends as the file's ETag."""
    known = [entry.digest("sha256"), entry.digest("git-sha1")]
    validator = entry.validator or ""
    if validator.startswith("xet:"):
        known.append(validator.removeprefix("xet:"))
    for etag in known:
        if etag and etag.isalnum():
            return etag
    raise Unsupported(
        f"{entry.path}: the hub gives no hash of it, by which the cache could keep it",
        hint="leave it out with --exclude, or fetch to a folder with -O",
    )


def _tree(entries: tuple[Entry, ...]) -> str:
    """The commit's listing, which the tools write as well, but for Xet's hashes: they ask for those."""
    files = {RepoUrl.parse(entry.url).path: _row(entry) for entry in entries}
    return json.dumps({"format_version": _TREE_VERSION, "files": dict(sorted(files.items()))}, indent=1)


def _row(entry: Entry) -> dict[str, Any]:
    size, sha256 = entry.size or 0, entry.digest("sha256")
    if sha256 is None:
        return {"size": size, "blob_id": _etag(entry)}
    # what git keeps of a large file is this pointer to it
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    git = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False)
    return {"size": size, "blob_id": git.hexdigest(), "lfs_sha256": sha256, "lfs_size": size}
