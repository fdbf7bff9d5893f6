"""What `covers` tells of a snapshot where no hub is there: the truth, or nothing."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import httpx

from dfly.backend import Backend
from dfly.errors import NotFound
from dfly.testing.promises.broken import promise, tree_only
from dfly.testing.world import World
from dfly.values import Snapshot

__all__ = ["CoveredPromises"]

_DO = "return only what the snapshot is known to hold all of; the inherited one knows a whole by its own names"


class CoveredPromises:
    """Promises of `covers`."""

    def test_a_snapshot_covers_its_own_source(self, backend: Backend, world: World) -> None:
        """Without a request: it is for when nobody can be asked."""
        for url in (world.file, *world.trees):
            snapshot = backend.list(url)
            found = _covered(backend, snapshot.source, snapshot)
            same = found is not None and found.entries == snapshot.entries
            promise(same, "covers", f"covers({snapshot.source}) is not the snapshot of that source", do=_DO)

    def test_a_snapshot_covers_no_more_than_it_holds(self, backend: Backend, world: World) -> None:
        """A file's snapshot is none of its repository: a model with files missing would look whole."""
        urls = (world.file, *world.trees)
        for url in urls:
            snapshot = backend.list(url)
            for asked in urls:
                found = _covered(backend, asked, snapshot, names=(url,))
                if found is None:
                    continue
                whole = snapshot if asked == url else backend.list(asked)
                promise(
                    _files(found) == _files(whole),
                    "covers",
                    f"covers({asked}), told from the snapshot of {url}, is {sorted(_files(found))}",
                    do=_DO,
                )

    def test_a_snapshot_does_not_cover_what_is_not_there(self, backend: Backend, world: World) -> None:
        """None, or NotFound."""
        for url in (world.file, *world.trees):
            snapshot = backend.list(url)
            for asked in filter(None, (world.missing, world.missing_repository, world.missing_revision)):
                try:
                    found = _covered(backend, asked, snapshot, names=(url,))
                except NotFound:
                    found = None
                promise(found is None, "covers", f"covers({asked}) from the snapshot of {url}", do=_DO)


def _covered(backend: Backend, url: str, snapshot: Snapshot, *, names: Collection[str] = ()) -> Snapshot | None:
    with _nobody_there(httpx.Client, type(backend.tools.client)) as asked:
        try:
            return tree_only(backend.covers, url, snapshot, names=names)
        finally:  # whatever it has made of it that nobody was there
            said = f"covers({url}) asked {', '.join(asked)}"
            promise(not asked, "covers", said, do="tell it from url and snapshot alone")


@contextmanager
def _nobody_there(*clients: type[httpx.Client]) -> Iterator[list[str]]:
    """What was asked of whom meanwhile. A connection that is open already needs no `connect`, hence `clients`."""
    asked: list[str] = []

    def send(_: httpx.Client, request: httpx.Request, **__: object) -> httpx.Response:
        asked.append(str(request.url))
        raise httpx.ConnectError("nobody is there", request=request)

    def connect(_: socket.socket, address: object) -> None:
        asked.append(str(address))
        raise ConnectionRefusedError

    with ExitStack() as patches:
        for client in clients:
            patches.enter_context(patch.object(client, "send", send))
        patches.enter_context(patch.object(socket.socket, "connect", connect))
        yield asked


def _files(snapshot: Snapshot) -> set[tuple[str, str | None]]:
    return {(entry.path, entry.blob) for entry in snapshot.entries}
