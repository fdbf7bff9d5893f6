"""One file, read while it arrives: whoever reads it waits for its next bytes, never for the whole of it.

    in the cache ───────────────────────────────────────────────────────────▶ sent from there
    arriving ──the pieces that are there, from where the reader is──▶ sent from the file that fills
         ╲──the digest is wrong, or it cannot be brought ──▶ the connection ends in the middle

A piece that is there has been held against the seed peer's hash; one that comes from the source itself is what the source
sent, and only the whole file's digest proves it. So a download (`Content.proven`) gets its last byte when that is known.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import Executor

from dfly.daemon.bringing import Bringing, Wanted
from dfly.daemon.cache import Cache
from dfly.errors import Cancelled, Changed, DflyError, OriginUnavailable, OutputError
from dfly.layout import MIB
from dfly.node.readers import Readers
from dfly.store.partial import Partial

#: Bytes that are brought before others for a reader in the middle of a file.
AHEAD = 32 * MIB
#: Seconds between looks that nothing has asked for.
_LOOK = 1.0


class Reading:
    """One reader's way through `wanted.content`. `find` first, or `follow` a blob that is being brought; then `until`."""

    def __init__(self, wanted: Wanted, *, cache: Cache, readers: Readers, pool: Executor) -> None:
        self.wanted = wanted
        self._readers = readers
        #: Set whenever more can be read, perhaps.
        self.changed = asyncio.Event()
        #: The open file, -1 before there is one.
        self.fd = -1
        self._cache, self._pool = cache, pool
        self._bringing: Bringing | None = None
        self._whole = False
        #: What the first bytes were read of, and which attempt at it that was.
        self._partial: Partial | None = None
        self._begun = 0

    async def find(self) -> bool:
        """Whether all of it is in the cache, and may be had by this caller."""
        fd = await asyncio.get_running_loop().run_in_executor(self._pool, self._look)
        if fd >= 0:
            self._take(fd, whole=True)
        return self._whole

    def follow(self, bringing: Bringing) -> None:
        """Take what arrives."""
        self._wait_for(self.wanted.content.start)
        self._bringing = bringing
        bringing.join(self.changed)

    async def until(self, at: int, *, gone: Callable[[], bool]) -> int:
        """How far the bytes from `at` on can be sent now: beyond `at`, which may take a while.

        Raises what bringing them met, Changed where those sent so far were wrong, ConnectionResetError once the reader is `gone`.
        """
        content = self.wanted.content
        while not self._whole:
            bringing = self._bringing
            assert bringing is not None, "neither found nor followed"
            self.changed.clear()
            # asked before the file is looked at: what ends in between is found
            ended = bringing.ended
            if bringing.fd >= 0:
                self._require_same(bringing.partial, whole=True)
                self._take(os.dup(bringing.fd), whole=True)
                break
            if (stop := self._there(at)) > at:
                return min(stop, content.stop)
            if ended:
                raise self._failure(bringing)
            if gone():
                raise ConnectionResetError("the reader has gone")
            self._wait_for(at)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), _LOOK)
        return content.stop

    def close(self) -> None:
        """Read no more."""
        self._readers.leave(self, self.wanted.blob)
        if self._bringing is not None:
            self._bringing.leave(self.changed)
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _wait_for(self, at: int) -> None:
        """Have the next bytes brought before others; a download from the start gets them in order anyway."""
        content = self.wanted.content
        if content.start or not content.proven:
            self._readers.wait_for(self, self.wanted.blob, at, min(content.stop, at + AHEAD))

    def _there(self, at: int) -> int:
        """The end of the bytes from `at` on that have arrived."""
        bringing, content = self._bringing, self.wanted.content
        filling = bringing is not None and bringing.filling
        arriving = self._cache.arriving(self.wanted.blob) if filling else None
        if arriving is None:
            return at
        self._require_same(arriving)
        # asked before the file is looked at: what is of a later attempt is never taken for one of this
        attempt = arriving.attempt
        stop = arriving.there(at)
        if content.proven:
            stop = min(stop, content.stop - 1)
        if stop > at and self.fd < 0:
            self._partial, self._begun = arriving, attempt
            self._take(os.open(arriving.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), whole=False)
        return stop

    def _require_same(self, arriving: Partial | None, *, whole: bool = False) -> None:
        """Raises Changed where what was sent is no part of `arriving`, or that is not the `whole` blob that has come of it."""
        if self._partial is None:
            return  # nothing was sent
        if arriving is None or not self._goes_on_in(arriving) or (whole and not arriving.complete):
            path = self.wanted.content.entry.path
            raise Changed(f"{path}: the bytes sent so far were wrong", hint="ask again")

    def _goes_on_in(self, arriving: Partial) -> bool:
        before = self._partial
        if before is None or before.attempt != self._begun:
            return False
        if arriving is not before:
            # another way brings it now, and has what was here, unless it began anew
            if arriving.attempt or arriving.had != before.has:
                return False
            self._partial, self._begun = arriving, 0
        return True

    def _take(self, fd: int, *, whole: bool) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd, self._whole = fd, whole

    def _look(self) -> int:
        """A descriptor of the whole blob, -1 where it is not here for this caller."""
        blob = self.wanted.blob
        if self._cache.usable(blob) is None:
            return -1
        try:
            return self._cache.lend(blob)
        except OutputError:
            return -1  # given up in this moment

    def _failure(self, bringing: Bringing) -> DflyError:
        error = bringing.error
        if isinstance(error, DflyError) and not isinstance(error, Cancelled):
            return error
        path = self.wanted.content.entry.path
        return OriginUnavailable(f"{path}: the daemon could not bring it", hint="its log says more")
