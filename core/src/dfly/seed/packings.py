"""The packs that somebody wants: each is filled by one `Packing` at a time, with small files that come through the queue."""

import threading
from collections.abc import Callable
from contextlib import ExitStack

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.packs import Pack
from dfly.seed.mirroring import MirrorListener
from dfly.seed.packing import Packing
from dfly.seed.publication import Publication
from dfly.seed.queue import Queue
from dfly.store.blobs import BlobStore
from dfly.values import Entry


class Packings:
    """Those under way, and what is told of every pack until it is `forget`-ed. Thread-safe; the arguments are as for `Queue`.

    A pack's id is never that of a blob in the queue.
    """

    def __init__(
        self,
        *,
        lock: threading.Lock,
        queue: Queue,
        store: BlobStore,
        listener: MirrorListener,
        opening: Callable[[Callable[[], None]], None],
        settling: Callable[[Callable[[], None]], None],
        whole: Callable[[Publication], None],
        stopped: threading.Event,
    ) -> None:
        self._lock, self._queue, self._store, self._listener = lock, queue, store, listener
        self._opening, self._settling, self._whole, self._stopped = opening, settling, whole, stopped
        self._under_way: dict[str, Packing] = {}
        self._publications: dict[str, Publication] = {}
        self._asked: dict[str, tuple[Pack, Backend]] = {}

    def bring(self, pack: Pack, backend: Backend, *, held_back: bool) -> None:
        """Fill it, unless it is here or under way."""
        with self._lock:
            if pack.blob in self._under_way:
                return
            publication = self._publications.get(pack.blob) or Publication(
                pack.blob, self._listener, audible=True, size=pack.size
            )
            lost = publication.complete and pack.blob not in self._store
            if publication.complete and not lost:
                return
            self._publications[pack.blob] = publication
            self._asked[pack.blob] = pack, backend
            packing = self._under_way[pack.blob] = Packing(
                pack,
                publication,
                backend=backend,
                store=self._store,
                fetch_part=self._fetch_part,
                later=self._settling,
                ended=self._ended,
                stopped=self._stopped,
                held_back=held_back,
            )
        if lost:
            publication.withdraw()
        self._opening(packing.start)

    def bring_anew(self, blob: str) -> None:
        """A pack is damaged on the disk: put it aside, and pack its files again, which are blobs of their own with digests."""
        if blob in self._asked:
            self._store.quarantine(blob)
            pack, backend = self._asked[blob]
            self.bring(pack, backend, held_back=False)

    def wake(self, blob: str) -> None:
        """Something has changed for a pack: go on with it."""
        packing = self._under_way.get(blob)
        if packing is not None:
            self._opening(packing.go_on)

    def forget(self, blob: str) -> None:
        """Nobody wants it any more, and it is not under way. The caller holds the lock."""
        self._publications.pop(blob, None)
        self._asked.pop(blob, None)

    def arriving(self, blob: str) -> Packing | None:
        """The pack under way; None where it is here, or nobody wants it."""
        return self._under_way.get(blob)

    def publication(self, blob: str) -> Publication | None:
        """What is told of a pack, None for one that nobody wants."""
        return self._publications.get(blob)

    def backends(self) -> list[Backend]:
        """All that an origin may still be asked with."""
        with self._lock:
            return [backend for _, backend in self._asked.values()] + [p.backend for p in self._under_way.values()]

    def close(self) -> None:
        """Keep what is packed. The threads have stopped."""
        with ExitStack() as unfinished:
            for packing in self._under_way.values():
                unfinished.callback(packing.close)

    def _fetch_part(self, pack: Packing, part: int, blob: str, entry: Entry, backend: Backend) -> None:
        self._queue.bring(blob, entry, backend, waiter=(pack, part))

    def _ended(self, pack: Packing, error: DflyError | None) -> None:
        with self._lock:
            del self._under_way[pack.blob]
            if error is not None:
                self._queue.leave_out(pack)
        if error is None:
            self._whole(pack.publication)
