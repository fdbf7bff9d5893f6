"""Looks whether blobs are still what they were, and mends those that are not.

A damaged blob is put aside first: from then on nobody is served from it. What is right in it is kept, segment by segment, when
it is brought once more, so that only the rest travels.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import attrs
import structlog

from dfly.config import Fetch
from dfly.daemon.admission import Admitted
from dfly.daemon.cache import Cache
from dfly.daemon.errand import Errand, Means
from dfly.daemon.records import Record, Records
from dfly.errors import Cancelled, DflyError
from dfly.events import BytesArrived, Event
from dfly.packs import entry_blob

_log = structlog.get_logger(__name__)

#: Opens a recorded source as anybody would: with nobody's secrets. Raises what the source or a seed peer raises.
Reopen = Callable[[Record], Admitted]


@attrs.frozen(kw_only=True)
class Verified:
    """What a look at the blobs found. `lost` are damaged ones that could not be brought again now; the next task does."""

    right: int
    mended: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Verifier:
    """Verifies what is in `cache`; one look at a time. `closing` ends what it is at."""

    def __init__(
        self,
        cache: Cache,
        *,
        records: Records,
        means: Callable[[], Means],
        reopen: Reopen,
        settings: Fetch,
        closing: threading.Event,
    ) -> None:
        self._cache, self._records, self._means, self._reopen = cache, records, means, reopen
        self._settings, self._closing = settings, closing
        self._looking = threading.Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="dfly-verify")

    def verify(self, blobs: Iterable[str] | None = None) -> Verified:
        """Read these blobs (all where None) and hold each against its digest. Takes as long as reading takes."""
        with self._looking:
            wanted = self._cache.blobs() if blobs is None else [blob for blob in blobs if blob in self._cache]
            damaged = [blob for blob in wanted if not self._closing.is_set() and not self._cache.intact(blob)]
            mended = [blob for blob in damaged if self._mended(blob)]
            return Verified(
                right=len(wanted) - len(damaged),
                mended=tuple(mended),
                lost=tuple(blob for blob in damaged if blob not in mended),
            )

    def suspect(self, blob: str) -> None:
        """Somebody met wrong bytes in a blob: look at it, in the background."""
        with suppress(RuntimeError):  # closing
            self._worker.submit(self.verify, [blob])

    def close(self) -> None:
        """Stop looking; `closing` is set."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _mended(self, blob: str) -> bool:
        if blob.startswith("pack-"):
            # its files are blobs of their own; it is brought again when a neighbour's task needs it
            self._cache.drop_damaged(blob)
            return True
        for record in reversed(self._records.all()):
            snapshot = record.snapshot
            number = next(
                (n for n, e in enumerate(snapshot.entries) if entry_blob(e, snapshot, task=record.task) == blob), None
            )
            if number is not None and self._brought(record, number, blob):
                return True
        return False

    def _brought(self, record: Record, number: int, blob: str) -> bool:
        moved: dict[str, int] = {}

        def tell(event: Event) -> None:
            if isinstance(event, BytesArrived):
                moved[event.source] = moved.get(event.source, 0) + event.bytes

        try:
            errand = Errand(
                self._reopen(record),
                means=self._means(),
                settings=self._settings,
                tell=tell,
                lend=lambda numbers, held: None,  # noqa: ARG005 - nobody is waiting for it
                stop=_stop_with(self._closing),
            )
            errand.run([number])
        except (DflyError, Cancelled) as error:
            _log.warning("blob.unmended", blob=blob, cause=error.message)
            return False
        _log.info("blob.mended", blob=blob, **moved)
        return blob in self._cache


def _stop_with(closing: threading.Event) -> threading.Event:
    """An errand's own event, which it sets when it is over; set from the start where the daemon is closing."""
    stop = threading.Event()
    if closing.is_set():
        stop.set()
    return stop
