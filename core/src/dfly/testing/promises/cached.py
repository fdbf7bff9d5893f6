"""What a backend's `cache_layout` says: that there is a place for everything, and always the same."""

from __future__ import annotations

import pytest

from dfly.backend import Backend
from dfly.caches import CacheLayout, CacheOrder, CachePlan
from dfly.errors import PluginError, UnsafePath
from dfly.output.linked import LinkedCache
from dfly.testing.promises.broken import broken, must, promise
from dfly.testing.world import World
from dfly.values import Snapshot

__all__ = ["CachedPromises"]

_PURE = "derive everything from the snapshot and the order: no clocks, no files"


class CachedPromises:
    """Promises of `cache_layout`."""

    def test_a_cache_has_a_place_for_every_file(self, backend: Backend, world: World) -> None:
        """Below the cache's own folder, the same each time."""
        layout = _layout(backend)
        for url in (world.file, *world.trees):
            snapshot = backend.list(url)
            plan = _plan(layout, backend, snapshot, url)
            promise(
                plan == _plan(layout, backend, snapshot, url),
                "cache",
                f"{url} is laid out in another way each time",
                do=_PURE,
            )
            try:
                LinkedCache("/cache", plan)
            except (PluginError, UnsafePath) as error:
                broken("cache", f"{url}: {error.message}", do="keep blobs below root, links below view, and no `..`")
            kept = {file.entry for file in plan.files}
            promise(
                kept == set(snapshot.entries) and len(plan.files) == len(kept),
                "cache",
                f"{url} has {len(snapshot.entries)} files, and the cache places for {len(plan.files)}",
                do="return one CachedFile for each entry",
            )

    def test_a_blob_is_one_content(self, backend: Backend, world: World) -> None:
        """Else one file would be found where another is meant."""
        layout = _layout(backend)
        contents: dict[str, object] = {}
        for url in (world.file, *world.trees):
            for file in _plan(layout, backend, backend.list(url), url).files:
                promise(
                    contents.setdefault(file.blob, file.entry.blob) == file.entry.blob,
                    "cache",
                    f"{file.blob} would be the content of two different files",
                    do="name a blob after its content: a digest, or a validator that is the content's own",
                )

    def test_a_file_alone_has_the_link_that_it_has_in_the_whole(self, backend: Backend, world: World) -> None:
        """Both are parts of one view."""
        layout = _layout(backend)
        for url in world.trees:
            snapshot = backend.list(url)
            for file in _plan(layout, backend, snapshot, url).files:
                entry = backend.stat(file.entry.url)
                alone = Snapshot(source=entry.url, name=entry.path, entries=(entry,))
                (found,) = _plan(layout, backend, alone, entry.url, whole=False).files
                promise(
                    (found.blob, found.link) == (file.blob, file.link),
                    "cache",
                    f"{entry.url} is at {found.link} alone, and at {file.link} with the others",
                    do="take the path from entry.url: entry.path is relative to what was asked for",
                )


def _layout(backend: Backend) -> CacheLayout:
    layout = type(backend).cache_layout
    if layout is None:
        pytest.skip("fills no cache of its hub's tools")
    promise(
        isinstance(layout.directory({"HOME": "/home/somebody"}), str),
        "cache",
        "directory is no path",
        do="return a str",
    )
    return layout


def _plan(layout: CacheLayout, backend: Backend, snapshot: Snapshot, url: str, *, whole: bool = True) -> CachePlan:
    order = CacheOrder(url=url, settings=backend.settings, whole=whole)
    return must("cache", layout.arrange, snapshot, order, do="arrange what `list` and `stat` give")
