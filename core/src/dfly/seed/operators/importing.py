"""`POST /v1/operator/import`: an archive becomes snapshots that this seed peer answers with, and asks nobody for.

The body is read as it comes, by a thread that verifies each blob before it is committed. The snapshots are remembered when all of
it was right, so an archive that is not leaves at most blobs that nobody asks for. What is here already is read past.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence

import attrs
import structlog
from aiohttp import web

from dfly.errors import IntegrityError, InUse, OutputError, UsageError
from dfly.layout import SMALL
from dfly.plugins import Plugins
from dfly.seed.faces import OPERATOR
from dfly.seed.mirroring import Mirror
from dfly.seed.operators.remembered import Memory
from dfly.store import archive
from dfly.store.blobs import BlobStore
from dfly.store.hashing import new_hash, supported
from dfly.store.manifest import Archived, ArchivedBlob, Manifest
from dfly.values import Digest, Entry, bare_url
from dfly.wire import Ask

_log = structlog.get_logger(__name__)

#: Seconds without a byte of the body: somebody may be changing tapes.
_PATIENCE = 3600.0
#: Bytes that the disk keeps for others.
_SPARE = 64 << 20


@attrs.frozen(kw_only=True)
class Outcome:
    """What an import did: snapshots by source, blobs and bytes that are new, and blobs that were here."""

    snapshots: tuple[str, ...]
    blobs: int
    bytes: int
    here: int


@attrs.define(kw_only=True, eq=False)
class Import:
    """A Face. One archive at a time."""

    mirror: Mirror
    memory: Memory
    plugins: Plugins
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock)

    @property
    def _store(self) -> BlobStore:
        return self.mirror.store

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """See Face."""
        router.add_post(OPERATOR + "import", self.bring)

    async def bring(self, request: web.Request) -> web.Response:
        """POST /v1/operator/import: the archive is the body, however large."""
        if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise web.HTTPUnsupportedMediaType
        if self._turn.locked():
            raise InUse("another archive is being imported here", hint="wait until it is done, then import this one")
        loop = asyncio.get_running_loop()

        def read(most: int) -> bytes:
            return asyncio.run_coroutine_threadsafe(_next(request, most), loop).result()

        async with self._turn:
            outcome = await asyncio.to_thread(self.take, read)
        return web.json_response(attrs.asdict(outcome))

    def take(self, read: archive.Read) -> Outcome:
        """Import what `read` gives. Raises UsageError and IntegrityError for the archive, OutputError for the disk."""
        reader = archive.Reader(read)
        manifest = reader.manifest
        for archived in manifest.snapshots:
            self.plugins.backend_for(archived.snapshot.source)
        lacking = {blob.id for blob in manifest.blobs if not self._has(blob)}
        self._refuse_full(sum(blob.size for blob in manifest.blobs if blob.id in lacking))
        files = manifest.entries()
        for blob, chunks in reader.blobs():
            if blob.id in lacking and not self._has(blob):
                self._keep(blob, files[blob.id], chunks)
            else:
                for _ in chunks:
                    pass
        self._sync(manifest, lacking)
        if any(blob.id not in self._store for blob in manifest.blobs):
            raise OutputError("blobs of the archive were removed while it was imported", hint="import it again")
        for archived in manifest.snapshots:
            self._remember(archived)
        outcome = Outcome(
            snapshots=tuple(archived.snapshot.source for archived in manifest.snapshots),
            blobs=len(lacking),
            bytes=sum(blob.size for blob in manifest.blobs if blob.id in lacking),
            here=len(manifest.blobs) - len(lacking),
        )
        _log.info("archive.imported", snapshots=len(outcome.snapshots), blobs=outcome.blobs, bytes=outcome.bytes)
        return outcome

    def _has(self, blob: ArchivedBlob) -> bool:
        held = self._store.committed(blob.id)
        if held is None:
            return False
        if held.sha256 != blob.sha256:
            raise IntegrityError(
                f"blobs/{blob.id}",
                algorithm="sha256",
                expected=held.sha256,
                actual=blob.sha256,
                hint="this seed peer has other content under this id: one of the two sources lies, or changed behind a tag",
            )
        return True

    def _refuse_full(self, needed: int) -> None:
        where = self._store.directory
        system = os.statvfs(where)
        free = system.f_bavail * system.f_frsize - _SPARE
        if needed > free:
            raise OutputError(
                f"{where}: the archive needs {needed:,} bytes more, and {max(free, 0):,} are free",
                hint="free some space (dfctl rm), or give the seed peer a larger --data-dir",
            )

    def _keep(self, blob: ArchivedBlob, entries: Sequence[Entry], chunks: Iterator[bytes]) -> None:
        """Verify a blob and commit it."""
        expected = {digest: entry.path for entry in entries for digest in entry.digests if supported(digest.algorithm)}
        sources = tuple(dict.fromkeys(bare_url(entry.url) for entry in entries))[:8]
        if blob.size <= SMALL:
            self._keep_small(blob, expected, b"".join(chunks), sources)
            return
        try:
            partial = self._store.open_partial(
                blob.id,
                size=blob.size,
                validator=f"sha256:{blob.sha256}",
                algorithms=sorted({digest.algorithm for digest in expected}),
            )
        except InUse as error:
            raise InUse(
                f"{entries[0].path} is just being fetched here", hint="import again when that is done"
            ) from error
        try:
            if partial.had:
                partial.reset()  # what an earlier try has left was not verified
            with partial.writer(0, blob.size) as writer:
                for chunk in chunks:
                    writer.write(chunk)
            for digest, path in expected.items():
                _compare(path, digest, partial.digest(digest.algorithm))
            self._store.commit(blob.id, sources=sources)
        except BaseException:
            self._store.remove(blob.id)
            raise

    def _keep_small(
        self, blob: ArchivedBlob, expected: Mapping[Digest, str], data: bytes, sources: Sequence[str]
    ) -> None:
        for digest, path in expected.items():
            running = new_hash(digest.algorithm, len(data))
            running.update(data)
            _compare(path, digest, running.hexdigest())
        self._store.put(blob.id, data, sources=sources)

    def _sync(self, manifest: Manifest, fresh: set[str]) -> None:
        for blob in manifest.blobs:
            if blob.id in fresh and blob.size > SMALL:  # a smaller one is soon hashed again
                self._store.sync(blob.id)

    def _remember(self, archived: Archived) -> None:
        snapshot = attrs.evolve(archived.snapshot, public=True)
        self.memory.bring_in(
            task=snapshot.id,
            ask=Ask(
                url=next(iter(archived.names), snapshot.source),
                recursive=archived.recursive,
                include=archived.include,
                exclude=archived.exclude,
            ),
            snapshot=snapshot,
            names=archived.names,
            revisions=archived.revisions,
        )


def _compare(path: str, expected: Digest, actual: str) -> None:
    if actual != expected.value:
        raise IntegrityError(
            path,
            algorithm=expected.algorithm,
            expected=expected.value,
            actual=actual,
            hint="the archive was not made from what it says; do not trust it",
        )


async def _next(request: web.Request, most: int) -> bytes:
    """Some more of the body, b"" at its end."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await request.content.read(most)
    except TimeoutError as error:
        raise UsageError(f"no byte of the archive came for {_PATIENCE:.0f} s", hint="import it again") from error
    except Exception as error:
        raise UsageError("the archive broke off", hint="import it again: what was verified is kept") from error
