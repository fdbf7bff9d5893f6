"""Reads committed blobs again, because an operator asks: what the disk has changed is mended, what cannot be is put aside."""

import threading
from collections.abc import Callable

import structlog

from dfly.errors import DflyError, OutputError
from dfly.layout import Layout
from dfly.seed.mirroring import Verdict
from dfly.seed.publication import Publication
from dfly.store.blobs import BlobStore

_log = structlog.get_logger()

#: Seconds between looks whether a damaged blob is mended, and how many of them.
_LOOK, _LOOKS = 0.1, 6000


class Upkeep:
    """Looks at what is in `store`. `publication` gives what is told of a blob, None for one that nobody has asked for.

    `recheck(publication, segment)` looks at a segment and orders anew what is wrong, `lost` is told what stays wrong, `busy` says
    whether a blob is being brought; `stopped` ends the waiting.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        publication: Callable[[str], Publication | None],
        recheck: Callable[[Publication, int], None],
        lost: Callable[[Publication, DflyError], None],
        busy: Callable[[str], bool],
        stopped: threading.Event,
    ) -> None:
        self._store, self._publication = store, publication
        self._recheck, self._lost, self._busy, self._stopped = recheck, lost, busy, stopped

    def verify(self, blob: str) -> Verdict | None:
        """What a blob is worth; None where there is none. Takes as long as reading takes, and as the origin does."""
        if blob not in self._store:
            return None
        if self._store.intact(blob):
            return "right"
        _log.warning("blob.damaged", blob=blob)
        publication = self._publication(blob)
        if publication is not None:
            self._mend(publication)
        if blob in self._store and self._store.intact(blob):
            return "mended"
        if publication is not None and publication.complete:
            self._lost(publication, OutputError(f"{self._store.path(blob)}: damaged on the disk"))
        elif blob in self._store:
            self._store.quarantine(blob)
        return "lost"

    def _mend(self, publication: Publication) -> None:
        """Look at every segment of a complete blob, and wait for those that are being brought again."""
        size = publication.size or 0
        for index in range(Layout(size).segments):
            if publication.complete:
                self._recheck(publication, index)
        for _ in range(_LOOKS):
            if publication.complete and publication.readable(0, size):
                return
            if self._stopped.wait(_LOOK) or not (publication.complete or self._busy(publication.blob)):
                return
