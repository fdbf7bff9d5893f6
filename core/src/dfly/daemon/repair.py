"""Looks whether blobs are still what they were, and mends those that are not.

A damaged blob is put aside first: from then on nobody is served from it. What is right in it is kept, segment by segment, when
it is brought once more, so that only the rest travels.
"""

import threading
from collections.abc import Callable, Iterable

import attrs
import structlog

from dfly.daemon.cache import Cache
from dfly.errors import DflyError

_log = structlog.get_logger(__name__)

#: Brings a blob once more, into the cache. False where nothing is known to bring it from.
Mend = Callable[[str], bool]


@attrs.frozen(kw_only=True)
class Verified:
    """What a look at the blobs found. `lost` are damaged ones that could not be brought again now; the next task does."""

    right: int
    mended: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Verifier:
    """Verifies what is in `cache`; one look at a time."""

    def __init__(self, cache: Cache, *, mend: Mend) -> None:
        self._cache, self._mend = cache, mend
        self._looking = threading.Lock()

    def verify(self, blobs: Iterable[str] | None = None) -> Verified:
        """Read these blobs (all where None) and hold each against its digest. Takes as long as reading takes."""
        with self._looking:
            wanted = self._cache.blobs() if blobs is None else [blob for blob in blobs if blob in self._cache]
            damaged = [blob for blob in wanted if not self._cache.intact(blob)]
            mended = [blob for blob in damaged if self._mended(blob)]
            return Verified(
                right=len(wanted) - len(damaged),
                mended=tuple(mended),
                lost=tuple(blob for blob in damaged if blob not in mended),
            )

    def _mended(self, blob: str) -> bool:
        try:
            done = self._mend(blob)
        except DflyError as error:
            _log.warning("blob.unmended", blob=blob, cause=error.message)
            return False
        if done:
            _log.info("blob.mended", blob=blob)
        return done
