"""One file to standard output, in order: from its source, or as a seed peer publishes it.

The source is read by one range after another. What a seed peer publishes comes in windows, of which one is always on its way, as
`dfly.open` reads it; should the seed peer be lost, the source goes on where it ended.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

import attrs

from dfly.backend import Backend
from dfly.config import Fetch, Patience
from dfly.errors import IntegrityError
from dfly.events import BytesArrived, FileFinished, FileStarted, FileVerified, Listener, Retrying
from dfly.layout import MIB
from dfly.node.direct import throttle_of
from dfly.node.proof import promised
from dfly.node.published import Published
from dfly.node.streamed import Source, Streamed
from dfly.node.succession import Seat
from dfly.node.ways import FromSource, Rather
from dfly.origin.patience import Patient
from dfly.origin.pauses import Pauses
from dfly.output.plan import Target
from dfly.store.hashing import new_hash, pick
from dfly.values import Digest, Entry


@attrs.frozen(kw_only=True)
class Pipe:
    """Where a file goes, and how: `stdout` is not closed, `stop` ends every wait with Cancelled."""

    stdout: BinaryIO
    settings: Fetch
    patience: Patience
    pauses: Pauses
    emit: Listener
    stop: threading.Event

    def from_source(self, target: Target, backend: Backend) -> None:
        """Read `target` where it is. Its reader has the bytes before the digest is known, so IntegrityError comes last."""
        entry = target.entry
        chunks = self._patient(backend).read(entry, 0, entry.size)
        self._write(target, chunks, way=lambda: "hub", digests=promised(target))

    def from_seed_peer(
        self, target: Target, seat: Seat, alone: Callable[[], tuple[Backend, Entry]] | None, *, patience: float
    ) -> None:
        """Read `target`, whose size is known, as the seed peer publishes it, for whom `patience` is in seconds.

        Should it be lost, the source goes on by what `alone` gives; None: it must not, and SwarmError says so. The last bytes
        come only if the whole has the digest that was told.
        """
        told = pick(target.entry.digests)
        rest = tuple(digest for digest in promised(target) if digest != told)
        if not target.entry.size:
            self._write(target, (), way=lambda: "seed-peer", digests=promised(target))
            return

        def from_source() -> Source:
            assert alone is not None
            backend, entry = alone()
            return FromSource(self._patient(backend), entry, way="hub")

        published = Published(seat.seed_peer, seat.resolved, stop=self.stop, patience=patience)
        source = Rather(published, from_source if alone else None, tell=self.emit)
        with Streamed(target.entry, source, stop=self.stop) as file:
            self._write(target, _chunks(file), way=lambda: source.way, digests=rest)

    def _patient(self, backend: Backend) -> Patient:
        return Patient(
            backend,
            patience=self.patience,
            pauses=self.pauses,
            on_retry=lambda path, cause, after: self.emit(Retrying(path=path, cause=cause, after=after)),
            cancel=self.stop,
        )

    def _write(
        self, target: Target, chunks: Iterable[bytes], *, way: Callable[[], str], digests: Iterable[Digest]
    ) -> None:
        """Write `chunks`, and hold them against `digests` at the end."""
        entry, emit = target.entry, self.emit
        emit(FileStarted(path=entry.path, bytes=entry.size, had=0))
        hashes = {
            digest: new_hash(digest.algorithm, entry.size)
            for digest in digests
            if digest.algorithm != "git-sha1" or entry.size is not None
        }
        throttle = throttle_of(self.settings)
        written = unsaid = 0
        sender = way()

        def say() -> None:
            nonlocal unsaid
            if unsaid:
                emit(BytesArrived(path=entry.path, bytes=unsaid, source=sender))
                unsaid = 0

        for chunk in chunks:
            if way() != sender:
                say()
                sender = way()
            if throttle is not None:
                throttle.take(len(chunk), self.stop)
            self.stdout.write(chunk)
            for running in hashes.values():
                running.update(chunk)
            written += len(chunk)
            unsaid += len(chunk)
            if unsaid >= MIB:
                say()
        say()
        self.stdout.flush()
        for digest, running in hashes.items():
            if running.hexdigest() != digest.value:
                raise IntegrityError(
                    entry.path,
                    algorithm=digest.algorithm,
                    expected=digest.value,
                    actual=running.hexdigest(),
                    hint="wrong bytes went to standard output; throw them away and try again",
                )
        emit(FileVerified(path=entry.path, digest=next(map(str, promised(target)), None)))
        emit(FileFinished(path=entry.path, output="-", bytes=written))


def _chunks(file: Streamed) -> Iterator[bytes]:
    buffer = bytearray(MIB)
    while count := file.readinto(buffer):
        yield bytes(memoryview(buffer)[:count])
