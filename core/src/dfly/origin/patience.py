"""Tries again, and goes on where it was: a decorator around any backend's `get`, HTTP or not.

What is worth another try is told by the error's type. Only bytes reset the budget: a file that arrives in a thousand
pieces over a bad line is patience well spent, a host that refuses six times in a row is down.
"""

import threading
from collections.abc import Callable, Iterator

from dfly.backend import Backend
from dfly.config import Patience
from dfly.errors import (
    AccessDenied,
    Cancelled,
    Expired,
    OriginUnavailable,
    PluginError,
    RateLimited,
    SourceError,
)
from dfly.origin.errors import Overloaded, mapped
from dfly.origin.names import origin_of
from dfly.origin.pauses import Paused, Pauses
from dfly.origin.retry import OnRetry, delay
from dfly.values import Entry, bare_url

MOST_RENEWALS = 5


def _unworried() -> None:
    """Nobody adapts to congestion."""


class Patient:
    """Reads entries of one backend until they are there or it is pointless.

    `on_retry(path, cause, after)` is told before each wait of `after` seconds, `on_congestion()` when the origin
    refused for load (`Fetcher.congested` belongs there). `cancel` ends reads and waits with Cancelled. Thread-safe.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        patience: Patience,
        pauses: Pauses,
        on_retry: OnRetry,
        cancel: threading.Event,
        on_congestion: Callable[[], None] = _unworried,
    ) -> None:
        self._backend = backend
        self._patience = patience
        self._pauses = pauses
        self._on_retry = on_retry
        self._cancel = cancel
        self._on_congestion = on_congestion

    def read(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        """Yield exactly bytes `[start, stop)` of `entry`; `stop` None reads to the end.

        Raises the last error when the patience is used up, AccessDenied when fresh links are refused again and again,
        PluginError when the backend yields more than was asked for; every other error as it comes.
        """
        stop = entry.size if stop is None else stop
        budget = _Budget()
        at = start
        while True:
            reached = at
            try:
                for chunk in self._attempt(entry, at, stop):
                    at += len(chunk)
                    yield chunk
            except (Expired, RateLimited, OriginUnavailable) as error:
                if stop is not None and at >= stop > start:
                    return
                if at > reached:
                    budget = _Budget()
                self._wait_after(error, entry, budget)
            else:
                return

    def _attempt(self, entry: Entry, start: int, stop: int | None) -> Iterator[bytes]:
        left = None if stop is None else stop - start
        is_cancelled = self._cancel.is_set
        if is_cancelled():
            raise Cancelled
        self._pauses.wait(origin_of(entry.url), self._cancel)
        chunks = self._backend.get(entry, start, stop)
        try:
            with mapped(entry.url):
                for chunk in chunks:
                    if is_cancelled():
                        raise Cancelled
                    if left is not None:
                        left -= len(chunk)
                        if left < 0:
                            raise self._too_much(entry, -left)
                    yield chunk
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        if left:
            raise OriginUnavailable(f"{entry.path}: {left} bytes short", url=bare_url(entry.url))

    def _wait_after(self, error: SourceError, entry: Entry, budget: "_Budget") -> None:
        """Return when it is time for the next attempt; raise `error`, or what it amounts to, when there is none."""
        if isinstance(error, Expired):
            budget.renewals += 1
            if budget.renewals > MOST_RENEWALS:
                raise AccessDenied(
                    f"{error.message}; so did {MOST_RENEWALS} fresh ones in a row",
                    hint="check this machine's clock, and whether a proxy changes the links",
                    url=error.url,
                ) from error
            self._on_retry(entry.path, error.message, 0.0)
            return
        if not isinstance(error, Paused):
            budget.failures += 1
            if isinstance(error, (RateLimited, Overloaded)):
                self._on_congestion()
            if budget.failures >= self._patience.tries:
                raise error
        after = delay(max(1, budget.failures), self._patience)
        if isinstance(error, RateLimited):
            self._pause(error, entry, after)
            return
        self._on_retry(entry.path, error.message, after)
        if self._cancel.wait(after):
            raise Cancelled from error

    def _pause(self, error: RateLimited, entry: Entry, otherwise: float) -> None:
        """Wait as long as the origin asked, together with everybody who asks it."""
        after = otherwise if error.after is None else error.after
        if after > self._patience.longest_pause:
            raise error
        origin = origin_of(error.url or entry.url)
        self._pauses.pause(origin, after)
        self._on_retry(entry.path, error.message, after)
        self._pauses.wait(origin, self._cancel)

    def _too_much(self, entry: Entry, surplus: int) -> PluginError:
        name = f"{type(self._backend).__module__}.{type(self._backend).__qualname__}"
        return PluginError(
            f"{name} yielded {surplus} bytes more of {entry.path} than it was asked for",
            hint="report this to the plugin's author",
        )


class _Budget:
    """Attempts since the last byte."""

    def __init__(self) -> None:
        self.failures = 0
        self.renewals = 0
