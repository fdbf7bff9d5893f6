"""One file, read while it arrives: whoever reads it waits for its next bytes, never for the whole of it.

    in the cache ───────────────────────────────────────────────────────────▶ sent from there
    arriving ──the pieces that are there, from where the reader is──▶ sent from the file that fills
         ╲──the digest is wrong, or it cannot be brought ──▶ the connection ends in the middle

A piece that is there has been held against the seed peer's hash; one that comes from the source itself is what the source
sent, and only the whole file's digest proves it. So a download (`Content.proven`) gets its last byte when that is known.

An errand in a thread of its own brings the blob; those who read the same file with the same rights share it. When nobody
has read for a moment it ends, and what has arrived is kept.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import attrs
import structlog

from dfly.config import Fetch
from dfly.daemon.admission import Admitted
from dfly.daemon.cache import Cache
from dfly.daemon.errand import Errand, Means
from dfly.errors import Cancelled, Changed, DflyError, OriginUnavailable, OutputError
from dfly.events import BytesArrived, Event, FileStarted
from dfly.facade import Content
from dfly.layout import MIB
from dfly.node.readers import Readers
from dfly.packs import entry_blob
from dfly.store.blobs import Committed
from dfly.store.partial import Partial

_log = structlog.get_logger(__name__)

#: Seconds for which an errand goes on when its last reader has left: a client that reads in stretches comes again.
LINGER = 3.0
#: Bytes that are brought before others for a reader in the middle of a file.
AHEAD = 32 * MIB
#: Seconds between looks that nothing has asked for.
_LOOK = 1.0


@attrs.frozen(kw_only=True)
class Wanted:
    """The entry with this number of what a caller was admitted to, and the content that it asks for."""

    admitted: Admitted
    number: int
    content: Content

    @property
    def blob(self) -> str:
        """The content's id."""
        return entry_blob(self.content.entry, self.admitted.snapshot, task=self.admitted.resolved.task)


class Bringing:
    """The errand for a blob, and who reads it. All but the errand itself runs in the event loop.

    `over` is told when it has come to its end, with or without success.
    """

    def __init__(
        self,
        wanted: Wanted,
        *,
        means: Means,
        settings: Fetch,
        loop: asyncio.AbstractEventLoop,
        over: Callable[["Bringing"], None],
    ) -> None:
        self.wanted = wanted
        self.error: BaseException | None = None
        self.ended = False
        #: Whether this errand, and nobody else's, fills the file; and the last partial that it filled.
        self.filling = False
        self.partial: Partial | None = None
        #: Of the whole blob, once that is here; -1 before.
        self.fd = -1
        self.sources: dict[str, int] = {}
        self._means, self._loop, self._over = means, loop, over
        self._stop = threading.Event()
        self._readers: set[Reading] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="dfly-reading", daemon=True)
        self._errand = Errand(
            wanted.admitted, means=means, settings=settings, tell=self._tell, lend=self._lent, stop=self._stop
        )

    def start(self) -> None:
        """Begin, in a thread, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self, reading: "Reading") -> None:
        """Somebody reads."""
        self._readers.add(reading)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def leave(self, reading: "Reading") -> None:
        """Somebody reads no more."""
        self._readers.discard(reading)
        if self._readers:
            return
        if self.ended:
            self._let_go()
        elif self._leaving is None:
            self._leaving = self._loop.call_later(LINGER, self.end)

    @property
    def ending(self) -> bool:
        """Whether it is over, or will be soon: whoever comes now needs another."""
        return self.ended or self._stop.is_set()

    def end(self) -> None:
        """Stop, whoever reads."""
        self._stop.set()

    def wait(self) -> None:
        """Until it has come to its end. Blocks."""
        self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._errand.run([self.wanted.number])
        except BaseException as failed:  # noqa: BLE001 - it is raised where it is waited for
            error = failed
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: BaseException | None) -> None:
        self.error, self.ended = error, True
        if self._leaving is not None:
            self._leaving.cancel()
        self._log_outcome()
        self._over(self)
        self._wake()
        if not self._readers:
            self._let_go()

    def _let_go(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _log_outcome(self) -> None:
        error, entry = self.error, self.wanted.content.entry
        if error is not None and not isinstance(error, DflyError):
            _log.error("reading.broke", path=entry.path, exc_info=error)
        outcome = "done" if error is None else type(error).__name__
        _log.info("endpoint task", outcome=outcome, url=entry.url, bytes=entry.size, **self.sources)

    # In the errand's threads

    def _tell(self, event: Event) -> None:
        if isinstance(event, BytesArrived):
            name = event.source.replace("-", "_")
            self.sources[name] = self.sources.get(name, 0) + event.bytes
        elif isinstance(event, FileStarted) and (arriving := self._means.cache.arriving(self.wanted.blob)) is not None:
            self.partial, self.filling, arriving.on_news = arriving, True, self.news
        self.news()

    def _lent(self, numbers: Sequence[int], held: Committed) -> None:  # noqa: ARG002 - the signature of Lend
        self.fd = self._means.cache.lend(held.blob)
        self.news()

    def news(self) -> None:
        """Something has changed. From any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for reading in self._readers:
            reading.changed.set()


class Reading:
    """One reader's way through `wanted.content`. `find` first, or `follow` a blob that is being brought; then `until`."""

    def __init__(self, wanted: Wanted, *, cache: Cache, readers: Readers, pool: Executor) -> None:
        self.wanted = wanted
        self._readers = readers
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
        bringing.join(self)

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
            self._bringing.leave(self)
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
