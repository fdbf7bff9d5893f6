"""`GET /v1/operator/export`: snapshots that are here complete, as one archive (`dfly.store.archive`), to be carried elsewhere.

What goes along is what the source says of itself and what it was called, nothing of whoever asked for it. A file that its
source could not pin is pinned now, by the SHA-256 of what is here.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import attrs
import structlog
from aiohttp import web

from dfly.backend import build_options
from dfly.errors import NotFound, OutputError, UsageError
from dfly.packs import entry_blob
from dfly.plugins import Plugins
from dfly.seed.answers import no_more_words
from dfly.seed.catalog import Opener
from dfly.seed.faces import OPERATOR
from dfly.seed.operators.meant import meant
from dfly.seed.operators.remembered import Remembered
from dfly.store import archive
from dfly.store.blobs import Committed
from dfly.store.manifest import MOST_NAMES, Archived, ArchivedBlob, Manifest
from dfly.values import Digest, Entry, bare_url

_log = structlog.get_logger(__name__)

_MOST_SNAPSHOTS = 1000

_Choice = tuple[bool, tuple[str, ...], tuple[str, ...]]


class Holdings(Protocol):
    """Where the blobs are (`dfly.store.blobs.BlobStore`)."""

    def committed(self, blob: str) -> Committed | None:
        """One that is here and whole."""


def _nothing_held(_: Iterable[str]) -> AbstractContextManager[None]:
    return nullcontext()


@attrs.frozen(kw_only=True)
class Export:
    """A Face. `remembered` gives all snapshots, the latest used last; `holding` keeps blobs here meanwhile."""

    remembered: Callable[[], Sequence[Remembered]]
    store: Holdings
    plugins: Plugins
    backends: Opener
    holding: Callable[[Iterable[str]], AbstractContextManager[None]] = _nothing_held

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_get(OPERATOR + "export", self.export, allow_head=False)

    async def export(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/operator/export?snapshot=…: the archive. One that breaks off is an error that the log tells of."""
        names = request.query.getall("snapshot", [])
        if not 0 < len(names) <= _MOST_SNAPSHOTS:
            raise UsageError(f"name 1 to {_MOST_SNAPSHOTS} snapshots", hint="dfctl ls shows them")
        manifest, paths = await asyncio.to_thread(self.pack, names)
        response = web.StreamResponse(headers={"Content-Type": "application/x-tar"})
        response.content_length = await asyncio.to_thread(archive.length, manifest)
        _log.info("archive.exporting", snapshots=len(manifest.snapshots), bytes=response.content_length)
        chunks = archive.write(manifest, lambda blob: _content(paths[blob.id]))
        with no_more_words(request):
            await response.prepare(request)
            with self.holding(paths):
                while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
                    await response.write(chunk)
            await response.write_eof()
        return response

    def pack(self, names: Iterable[str]) -> tuple[Manifest, Mapping[str, str]]:
        """What goes into an archive of these, and the file of each blob. Raises NotFound for what is not here complete."""
        chosen = {record.task: record for name in names for record in self._chosen(name)}
        blobs: dict[str, tuple[ArchivedBlob, str]] = {}
        snapshots: dict[str, Archived] = {}
        for record in chosen.values():
            archived = self._archived(record, blobs)
            same = snapshots.get(archived.snapshot.id)
            snapshots[archived.snapshot.id] = archived if same is None else _joined(same, archived)
        manifest = Manifest(snapshots=snapshots.values(), blobs=[blob for blob, _ in blobs.values()])
        return manifest, {blob.id: path for blob, path in blobs.values()}

    def _chosen(self, name: str) -> Sequence[Remembered]:
        """What `name` means now: the whole of its source where that was ever asked for, else every part."""
        records = self.remembered()
        found = meant(name, records) or [record for record in records if self._is_another_name(name, record)]
        if not found:
            raise NotFound(
                f"{bare_url(name)} is not known here", kind="snapshot", hint="dfctl ls shows what is; fetch it first"
            )
        latest: dict[_Choice, Remembered] = {}
        for record in found:
            before = latest.get(_choice(record))
            if before is None or record.urls.get(name, 0.0) >= before.urls.get(name, 0.0):
                latest[_choice(record)] = record
        whole = latest.get((True, (), ()))
        return list(latest.values()) if whole is None else [whole]

    def _is_another_name(self, name: str, record: Remembered) -> bool:
        """Whether the plugin takes `name` for the whole of this."""
        try:
            backend_class = self.plugins.backend_for(name)
            backend = self.backends.get(backend_class, build_options(backend_class, {}))
            found = backend.covers(name, record.snapshot, names=record.alone, revisions=record.revisions)
        except (UsageError, NotFound):
            return False
        return found is not None and found.entries == record.snapshot.entries

    def _archived(self, record: Remembered, blobs: dict[str, tuple[ArchivedBlob, str]]) -> Archived:
        entries, missing = [], []
        for entry in record.snapshot.entries:
            held = self._held(entry_blob(entry, record.snapshot, task=record.task)) if entry.size != 0 else None
            if entry.size != 0 and held is None:
                missing.append(entry)
                continue
            entries.append(entry if held is None else _pinned(entry, held))
            if held is not None and held.size:
                blob = ArchivedBlob(str(entries[-1].blob), held.size, held.sha256)
                blobs[blob.id] = blob, held.path
        if missing:
            raise NotFound(
                f"{record.snapshot.source} is not complete here: {len(missing)} of {len(record.snapshot.entries)} files are "
                f"missing, {missing[0].path} first",
                hint="fetch it once more with dfctl preheat or dfget, then export it",
            )
        rivals = [other for other in self.remembered() if _same_place(other, record)]
        return Archived(
            snapshot=attrs.evolve(record.snapshot, entries=entries, public=False),
            recursive=record.ask.recursive,
            include=record.ask.include,
            exclude=record.ask.exclude,
            names=[name for name in record.alone if not any(_means_later(r, name, record) for r in rivals)],
            revisions=[
                name
                for name in record.revisions
                if not any(name in r.revisions and _came(r) > _came(record) for r in rivals)
            ],
        )

    def _held(self, blob: str) -> Committed | None:
        try:
            return self.store.committed(blob)
        except ValueError:  # no id
            return None


def _choice(record: Remembered) -> _Choice:
    return record.ask.recursive, record.ask.include, record.ask.exclude


def _same_place(one: Remembered, other: Remembered) -> bool:
    """Whether these are two revisions of one thing: a branch means only the later one."""
    here, there = (r.snapshot.source.replace(r.snapshot.revision or "\0", "") for r in (one, other))
    return one.task != other.task and here == there and _choice(one) == _choice(other)


def _means_later(rival: Remembered, name: str, record: Remembered) -> bool:
    return rival.urls.get(name, 0.0) > record.urls.get(name, 0.0)


def _came(record: Remembered) -> float:
    return max(record.urls.values(), default=record.resolved)


def _joined(one: Archived, other: Archived) -> Archived:
    """The same files, remembered twice: for private and for public, or chosen by other patterns."""
    return attrs.evolve(
        one if one.recursive and not (one.include or one.exclude) else other,
        names=sorted({*one.names, *other.names})[:MOST_NAMES],
        revisions=sorted({*one.revisions, *other.revisions})[:MOST_NAMES],
    )


def _pinned(entry: Entry, held: Committed) -> Entry:
    if entry.blob is not None:
        return attrs.evolve(entry, size=held.size)
    return attrs.evolve(entry, size=held.size, digests=(*entry.digests, Digest("sha256", held.sha256)))


def _content(path: str) -> Iterator[bytes]:
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(archive.CHUNK):
                yield chunk
    except OSError as error:
        raise OutputError.from_os(error, path) from error
