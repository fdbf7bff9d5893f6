"""The cache that a hub's own tools keep: what a plugin says of its layout, so that the core can fill it for them.

Such caches are alike: the content lies once under its hash, a revision is a folder of symbolic links to it, and a small file
says which revision a branch is. A layout only names these places; the core fetches, verifies, links and writes, in an order
in which whoever reads the cache meanwhile sees nothing that is not whole.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dfly.values import Entry, Snapshot


@attrs.frozen(kw_only=True)
class CachedFile:
    """One file in a cache. Its content is the file `blob`, and `link` a symbolic link to that.

    `lock` is the file that the hub's tools lock (flock) while they bring the content; "" where they lock nothing.
    Entries of one content may have one `blob`, which has one `lock` then.
    """

    entry: Entry
    blob: str
    link: str
    lock: str = ""


@attrs.frozen(kw_only=True)
class CachePlan:
    """Where a snapshot goes in a cache. Every path is relative to the cache's own folder, with `/`.

    `root` is the repository's folder, and holds all blobs and links; `view` is the revision's folder below it, and holds all
    links. `aside` is a folder that the cache's readers pass over: where a new repository's folder waits until it looks like one.
    `notes` are small files, path → text, made before the links and only where there are none; `refs` are what tells that the
    revision is there (a branch's commit), written last and whenever they say something else.
    """

    root: str
    view: str
    files: tuple[CachedFile, ...]
    aside: str
    notes: Mapping[str, str] = attrs.field(factory=dict)
    refs: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CacheOrder:
    """What a user asked for: the URL as it was typed, and the backend's options.

    `whole` says that the snapshot is everything below the URL, and nothing was left out by globs.
    """

    url: str
    settings: Any = attrs.field(repr=False)
    whole: bool


@attrs.frozen(kw_only=True)
class CacheLayout:
    """The cache of a hub's own tools; a backend that has one gets the flag `--<prefix>-cache [DIR]`.

    `directory(environment)` is where the tools keep it. `arrange(snapshot, order)` says where the snapshot's files go. Both are
    pure functions. `arrange` raises Unsupported for what the cache cannot hold.
    """

    help: str
    directory: Callable[[Mapping[str, str]], str]
    arrange: Callable[[Snapshot, CacheOrder], CachePlan]
