"""Arrivals that end in the cache instead of beside an output, and what can be saved of a damaged blob.

They are the embedded engine's arrivals in all but where the bytes gather and what is done with a verified blob.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import attrs

from dfly.daemon.cache import Cache
from dfly.events import Listener, SegmentFinished
from dfly.layout import Layout
from dfly.node.arrival import Arrival
from dfly.node.freight import PackArrival
from dfly.node.gather import Gathering, InMemory, OnDisk, Span
from dfly.node.readers import Readers, by_need
from dfly.output.plan import Target
from dfly.packs import Freight, Pack
from dfly.store.partial import Partial
from dfly.values import Entry

OnStored = Callable[[str], None]


@attrs.define(kw_only=True, eq=False)
class StoredArrival(Arrival):
    """A blob on its way into `cache`. `stored(blob)` is called once it is there; it must not block."""

    cache: Cache
    stored: OnStored
    readers: Readers = attrs.field(factory=Readers)

    def bytes_missing(self) -> int:
        """Nothing beside an output; room in the cache is made by whoever brings it."""
        return 0

    def gather(self, *, size: int | None = None) -> Gathering:
        """Where the bytes gather; opened the first time."""
        gathering: Gathering | None = self._gathering
        if gathering is None:
            if self.small and not self.swarmed:
                gathering = InMemory("", self.entry.size or 0)
            else:
                gathering = _open(self, self.cache, self.entry.size if size is None else size)
            self._begin(gathering)
        return gathering

    def spans(self, *, whole: bool = False) -> Iterator[Span]:
        """What is missing: first what somebody waits for, then the rest in order."""
        gathering = self.gather()
        if whole or not isinstance(gathering, OnDisk) or gathering.partial.size is None:
            yield from gathering.spans(whole=whole)
        else:
            yield from by_need(gathering.partial, functools.partial(self.readers.of, self.blob))

    def _place(self, gathering: Gathering, size: int) -> None:  # noqa: ARG002 - the base's signature
        sources = [target.entry.url for target in self.targets]
        if isinstance(gathering, InMemory):
            self.cache.put(self.blob, gathering.data, sources=sources)
        else:
            self.cache.commit(self.blob, sources=sources)
        self.stored(self.blob)

    def spoiled(self) -> None:
        """Serve it no more: it is brought again when it is needed."""
        self.cache.put_aside(self.blob)

    def close(self) -> None:
        """Keep an unfinished partial for the next time."""
        gathering, self._gathering = self._gathering, None
        _shut(gathering, self.cache, self.blob, settled=self.settled)


@attrs.define(kw_only=True, eq=False)
class StoredPack(PackArrival):
    """The pack of a snapshot's small files: kept as a blob for the ring, and each of its files as one of its own."""

    cache: Cache
    stored: OnStored
    _filled: dict[int, bytes] = attrs.field(factory=dict)

    def bytes_missing(self) -> int:
        """As a stored arrival's."""
        return 0

    def gather(self, *, size: int | None = None) -> Gathering:
        """As a stored arrival's; what other packs had of it is taken from there."""
        gathering: Gathering | None = self._gathering
        if gathering is None:
            on_disk = _open(self, self.cache, self.entry.size if size is None else size)
            self._gathering = gathering = on_disk
            if not on_disk.had:
                self._filled = fill(self.pack, self.cache, on_disk.partial)
            self._begin(gathering)
        return gathering

    def _place(self, gathering: Gathering, size: int) -> None:
        super()._place(gathering, size)
        self.cache.commit(self.blob, sources=())
        self.stored(self.blob)

    def _unpack(self, blob: str, data: bytes, targets: Iterable[Target]) -> None:
        if blob not in self.cache:
            self.cache.put(blob, data, sources=[target.entry.url for target in targets])
        self.stored(blob)

    def pieces_here(self, layout: Layout, index: int, hashes: bytes) -> set[int]:
        """Those that are made of files which are here from another revision."""
        pieces = layout.segment_pieces(index)
        return {p for at, p in enumerate(pieces) if self._filled.get(p) == hashes[20 * at : 20 * at + 20]}

    def spoiled(self) -> None:
        """As a stored arrival's."""
        self.cache.put_aside(self.blob)

    def close(self) -> None:
        """As a stored arrival's."""
        gathering, self._gathering = self._gathering, None
        _shut(gathering, self.cache, self.blob, settled=self.settled)


def direct_arrivals(
    wanted: Mapping[str, Sequence[Entry]], *, cache: Cache, emit: Listener, stored: OnStored, readers: Readers
) -> list[StoredArrival]:
    """One for each blob that is to come from the source itself, small ones first."""
    arrivals = [
        StoredArrival(
            blob=blob,
            entry=entries[0],
            targets=[Target(entry, blob) for entry in entries],
            root="",
            emit=emit,
            cache=cache,
            stored=stored,
            readers=readers,
        )
        for blob, entries in wanted.items()
    ]
    return sorted(arrivals, key=lambda arrival: (not arrival.small, arrival.entry.path))


def swarm_arrivals(
    freight: Freight, blobs: Iterable[str], *, cache: Cache, emit: Listener, stored: OnStored
) -> dict[str, Arrival]:
    """What has to travel so that all of `blobs` (contents, or the pack itself) are here, by the id of what travels."""
    missing = set(blobs)
    by_blob: dict[str, list[Target]] = {}
    for blob, entry in freight.ids:
        by_blob.setdefault(blob, []).append(Target(entry, blob))
    arrivals: dict[str, Arrival] = {}
    pack = freight.pack
    if pack and (pack.blob in missing or not missing.isdisjoint(pack.blobs)):
        packed = pack.as_entry()
        files = {blob: by_blob[blob] for blob in pack.blobs}
        arrivals[packed.identity] = StoredPack(
            blob=packed.identity,
            entry=packed,
            targets=by_blob[pack.blobs[0]],
            root="",
            emit=emit,
            swarmed=True,
            pack=pack,
            wanted=files,
            cache=cache,
            stored=stored,
        )
    for blob, entry in freight.blobs.items():
        if blob in missing:
            arrivals[blob] = StoredArrival(
                blob=blob,
                entry=entry,
                targets=by_blob[blob],
                root="",
                emit=emit,
                swarmed=True,
                cache=cache,
                stored=stored,
            )
    return arrivals


def _open(arrival: Arrival, cache: Cache, size: int | None) -> OnDisk:
    algorithms = sorted({digest.algorithm for digest in arrival.expected} | {"sha256"})
    partial = cache.partial(
        arrival.blob,
        size=size,
        validator=arrival.entry.validator,
        algorithms=algorithms,
        on_segment=lambda index, _: arrival.emit(SegmentFinished(path=arrival.label, index=index)),
    )
    try:
        if (damaged := cache.damaged(arrival.blob)) is not None:
            salvage(damaged, partial)
    except BaseException:
        cache.release(arrival.blob)
        raise
    return OnDisk(partial, keep=True)


def _shut(gathering: Gathering | None, cache: Cache, blob: str, *, settled: bool) -> None:
    if gathering is None:
        return
    if not settled:
        gathering.close()
    cache.release(blob)


def fill(pack: Pack, cache: Cache, partial: Partial) -> dict[int, bytes]:
    """Write the pieces of a pack whose files are all in the cache; their SHA-1s, by number. Others are left as they are."""
    layout, found = partial.layout, {}
    piece, lacking = bytearray(), False
    for (_, start, stop), blob in zip(pack.ranges(), pack.blobs, strict=True):
        content = _content(cache, blob, stop - start)
        at = start
        while at < stop:
            number = at // layout.piece_length
            first, last = layout.piece_range(number)
            end = min(stop, last)
            lacking = lacking or content is None
            piece += content[at - start : end - start] if content is not None else bytes(end - at)
            at = end
            if at == last:
                if not lacking:
                    os.pwrite(partial.fd, piece, first)
                    found[number] = hashlib.sha1(piece, usedforsecurity=False).digest()
                piece, lacking = bytearray(), False
    return found


def _content(cache: Cache, blob: str, size: int) -> bytes | None:
    if blob not in cache:
        return None
    try:
        with open(cache.path(blob), "rb") as file:
            content = file.read()
    except OSError:
        return None
    return content if len(content) == size else None


def salvage(folder: str, partial: Partial) -> int:
    """Take over the segments of a damaged blob, put aside in `folder`, whose pieces are still right; returns how many.

    What cannot be read is as good as wrong.
    """
    layout, saved = partial.layout, 0
    with contextlib.suppress(OSError), open(os.path.join(folder, "pieces"), "rb") as file:
        hashes = file.read()
        if len(hashes) != 20 * layout.pieces:
            return 0
        with open(os.path.join(folder, "data"), "rb", buffering=0) as data:
            for index in partial.missing_segments():
                saved += _save(data.fileno(), partial, layout, index, hashes)
    return saved


def _save(fd: int, partial: Partial, layout: Layout, index: int, hashes: bytes) -> bool:
    pieces = layout.segment_pieces(index)
    try:
        if any(_sha1(fd, layout, piece) != hashes[20 * piece : 20 * piece + 20] for piece in pieces):
            return False
        start, stop = layout.segment_range(index)
        with partial.writer(start, stop) as writer:
            for piece in pieces:
                first, last = layout.piece_range(piece)
                writer.write(os.pread(fd, last - first, first))
    except (OSError, ValueError):
        return False
    return True


def _sha1(fd: int, layout: Layout, piece: int) -> bytes:
    start, stop = layout.piece_range(piece)
    return hashlib.sha1(os.pread(fd, stop - start, start), usedforsecurity=False).digest()
