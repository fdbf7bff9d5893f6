"""One blob, brought for everybody who reads it meanwhile, with the same rights.

An errand in a thread of its own brings it. When nobody has read for a moment it ends, and what has arrived is kept.
"""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Sequence

import attrs
import structlog

from dfly.config import Fetch
from dfly.daemon.admission import Admitted
from dfly.daemon.errand import Errand, Means
from dfly.errors import DflyError
from dfly.events import BytesArrived, Event, FileStarted
from dfly.facade import Content
from dfly.packs import entry_blob
from dfly.store.blobs import Committed
from dfly.store.partial import Partial

_log = structlog.get_logger(__name__)

#: Seconds for which an errand goes on when its last reader has left: a client that reads in stretches comes again.
LINGER = 3.0


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
    """The errand for a blob, and the events by which its readers wait. All but the errand itself runs in the event loop.

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
        self._readers: set[asyncio.Event] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="dfly-reading", daemon=True)
        self._errand = Errand(
            wanted.admitted, means=means, settings=settings, tell=self._tell, lend=self._lent, stop=self._stop
        )

    def start(self) -> None:
        """Begin, in a thread, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def join(self, changed: asyncio.Event) -> None:
        """Somebody reads; `changed` is set when something has."""
        self._readers.add(changed)
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

    def leave(self, changed: asyncio.Event) -> None:
        """Somebody reads no more."""
        self._readers.discard(changed)
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
        for changed in self._readers:
            changed.set()
