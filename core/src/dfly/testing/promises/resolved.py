"""What `stat` and `list` say about files, and that it is true."""

from __future__ import annotations

import hashlib

import pytest

from dfly.backend import Backend
from dfly.errors import NotAFile, UnsafePath
from dfly.paths import problem, refuse_unsafe
from dfly.testing.promises.broken import broken, expect, must, promise, read, tree_only
from dfly.testing.world import World
from dfly.values import Entry, Snapshot

__all__ = ["ResolvedPromises"]


class ResolvedPromises:
    """Promises of `stat` and `list`."""

    def test_stat_names_the_file(self, backend: Backend, world: World) -> None:
        """It gives an entry, whose `path` is the file's own name, fit to be written."""
        do = "return an Entry for the URL of one file"
        entry = must("stat.path", backend.stat, world.file, do=do)
        promise(isinstance(entry, Entry), "stat.path", f"stat({world.file}) gave {entry!r}", do=do)
        path = entry.path
        why = "has a folder in it" if "/" in path else problem(path)
        promise(why is None, "stat.path", f"path is {path!r}: {why}", do="give the last component of the file's name")

    def test_an_entry_is_true(self, backend: Backend, world: World) -> None:
        """Size and digests are those of the bytes; a size that is not known is None."""
        _true(backend.stat(world.file), world.content)
        if world.empty is not None:
            _true(backend.stat(world.empty), b"")

    def test_an_entry_is_repeatable(self, backend: Backend, world: World) -> None:
        """The same file gives the same entry, by the user's URL and by its own: two machines must agree."""
        first = backend.stat(world.file)
        for url in (world.file, first.url):
            again = must("stat.repeatable", backend.stat, url, do=_REPEATABLE)
            promise(
                again == first,
                "stat.repeatable",
                f"stat gave\n    {first}\nand then\n    {again}",
                do=_REPEATABLE,
            )

    def test_an_entry_url_is_native(self, backend: Backend, world: World) -> None:
        """Another machine resolves it with the same plugin, so it keeps the plugin's scheme."""
        schemes, url = type(backend).schemes, backend.stat(world.file).url
        native = url.partition("://")[0] in schemes
        promise(
            native, "entry.url", f"entry.url is {url}", do=f"begin it with {schemes[0]}://, as a user would type it"
        )

    def test_one_file_has_one_identity(self, backend: Backend, world: World) -> None:
        """Whoever asks and however the URL is signed; so that two callers' links are one download."""
        if not world.same:
            pytest.skip("World.same is not given")
        entry = backend.stat(world.file)
        for url in world.same:
            other = backend.stat(url)
            same = (other.identity, other.blob) == (entry.identity, entry.blob)
            promise(
                same,
                "entry.identity",
                f"{other.identity!r} and {entry.identity!r} are one file",
                do="leave signatures, user-info, revision and spelling out of identity and validator",
            )

    def test_a_tree_is_not_a_file(self, backend: Backend, world: World) -> None:
        """So that dfget can say `-r`."""
        if not world.trees:
            pytest.skip("World.trees is not given")
        for url in world.trees:
            do = "raise NotAFile from stat for a repository, folder or prefix"
            expect(NotAFile, "stat.not-a-file", backend.stat, url, do=do)

    def test_a_listing_is_complete_and_relative(self, backend: Backend, world: World) -> None:
        """A listing cut short would be a broken model that looks whole."""
        if not world.trees:
            pytest.skip("World.trees is not given")
        for url, files in world.trees.items():
            paths = [entry.path for entry in tree_only(backend.list, url).entries]
            try:
                refuse_unsafe(paths)
            except UnsafePath as error:
                broken(
                    "list.safe", error.message, do="give paths relative to what the URL names, with / between folders"
                )
            missing, extra = sorted(files.keys() - paths), sorted(set(paths) - files.keys())
            promise(
                not extra, "list.relative", f"list({url}) has {extra}", do="give paths relative to what the URL names"
            )
            promise(not missing, "list.complete", f"list({url}) lacks {missing}", do="follow every page, or raise")

    def test_a_listing_is_as_true_as_stat(self, backend: Backend, world: World) -> None:
        """Each entry describes its bytes, and its URL leads to the same content."""
        for url, files in world.trees.items():
            for entry in backend.list(url).entries:
                if entry.path not in files:
                    continue
                _true(entry, files[entry.path])
                do = "build both in one function: a file asked for alone shares the cache with its repository"
                alone = must("list.same-as-stat", backend.stat, entry.url, do=do)
                promise(
                    (alone.blob, alone.identity, alone.url) == (entry.blob, entry.identity, entry.url),
                    "list.same-as-stat",
                    f"list gave\n    {entry}\nstat of its url\n    {alone}",
                    do=do,
                )
                # a file of no bytes is a promise of its own
                got = read(backend, entry, 0, None, world) if files[entry.path] else b""
                promise(
                    got == files[entry.path],
                    "list.bytes",
                    f"{entry.url} leads to other bytes",
                    do="make entry.url name this file",
                )

    def test_a_listing_is_pinned(self, backend: Backend, world: World) -> None:
        """Nodes that resolve `source` get the same snapshot; `name` can be a file's or folder's name."""
        for url in (world.file, *world.trees):
            snapshot = backend.list(url)
            name = snapshot.name
            fine = problem(name) is None and "/" not in name
            promise(fine, "snapshot.name", f"name is {name!r}", do="give the last part of the URL that is a name")
            stable = backend.list(url).id == snapshot.id
            promise(stable, "stat.repeatable", f"list({url}) is another snapshot each time", do=_REPEATABLE)
            do = "put the pinned revision into source, and make both calls give equal entries"
            again = must("list.pinned", backend.list, snapshot.source, do=do)
            promise(again.id == snapshot.id, "list.pinned", f"list({snapshot.source}) is another snapshot", do=do)

    def test_one_file_is_a_listing_of_one(self, backend: Backend, world: World) -> None:
        """`list` of a file's URL is that file."""
        do = "return a snapshot whose only entry is what stat gives"
        entry, snapshot = backend.stat(world.file), must("list.one-file", backend.list, world.file, do=do)
        promise(isinstance(snapshot, Snapshot), "list.one-file", f"list({world.file}) gave {snapshot!r}", do=do)
        promise(
            snapshot.entries == (entry,) or entry != backend.stat(world.file),
            "list.one-file",
            f"list of one file's URL gave {snapshot.entries}",
            do=do,
        )

    def test_new_content_is_another_blob(self, backend: Backend, world: World) -> None:
        """A changed file is seen; its identity, the place, stays."""
        if world.change is None:
            pytest.skip("World.change is not given")
        old = backend.stat(world.file)
        content = world.change()
        new = backend.stat(world.file)
        _true(new, content)
        fresh = new.blob is None or new.blob != old.blob
        promise(
            fresh, "stat.fresh", f"blob {new.blob} names two contents", do="take validator from the origin, each time"
        )
        promise(
            new.identity == old.identity,
            "entry.identity",
            f"was {old.identity!r}, is {new.identity!r} after a change",
            do="leave the revision out of identity; it belongs into validator",
        )


_REPEATABLE = "derive everything from the origin: no clocks, no counters; entry.url must resolve to its own entry"


def _true(entry: Entry, content: bytes) -> None:
    size = entry.size is None or entry.size == len(content)
    promise(
        size, "entry.size", f"{entry.path}: size {entry.size}, has {len(content)} bytes", do="give None where unsure"
    )
    truth = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "sha512": hashlib.sha512(content).hexdigest(),
        "sha1": hashlib.sha1(content).hexdigest(),
        "git-sha1": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
        "md5": hashlib.md5(content).hexdigest(),
    }
    for digest in entry.digests:
        promise(
            digest.value == truth.get(digest.algorithm, digest.value),
            "entry.digests",
            f"{entry.path}: {digest}, the bytes have {truth.get(digest.algorithm)}",
            do="give only digests of the whole plain content, in hex; an ETag is none unless the hub says so",
        )
