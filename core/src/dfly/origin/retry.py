"""Trying again: how long to wait, and the transports that do it.

`Reconnecting` lies under everything and hides one thing only, a kept connection that the server closed in that moment.
`Retrying` lies under API calls, whose answers are small: it reads each to the end, so that a cut body is one more
failure to retry. Files are not its business: those resume at an offset (`dfly.origin.patience`).
"""

import random
import threading
import time
from collections.abc import Callable

import httpx

from dfly.config import Patience
from dfly.errors import Cancelled, OriginUnavailable, RateLimited, SourceError
from dfly.origin.bodies import cap
from dfly.origin.errors import mapped
from dfly.origin.names import origin_of
from dfly.origin.pauses import Pauses, asked_pause
from dfly.values import bare_url

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
#: A longer answer than this is no API answer; it is handed on as a stream, unread and untried.
LARGEST_ANSWER = 64 * 1024 * 1024

#: (what, cause, seconds until the next try)
OnRetry = Callable[[str, str, float], None]


def silently(what: str, cause: str, after: float) -> None:
    """Tell nobody."""


def delay(attempt: int, patience: Patience, *, draw: Callable[[], float] = random.random) -> float:
    """Seconds before the try that follows failed attempt number `attempt` (from 1): exponential, with full jitter."""
    return draw() * min(patience.longest_delay, patience.first_delay * 2.0 ** min(attempt - 1, 60))


class Reconnecting(httpx.BaseTransport):
    """Sends a GET or HEAD once more, at once, when the connection turns out to be closed before any answer."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, twice where the first connection was dead."""
        try:
            return self._inner.handle_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not _repeatable(request):
                raise
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the transport below."""
        self._inner.close()


class Retrying(httpx.BaseTransport):
    """Retries GET, HEAD and what carries the extension `dfly.idempotent`, and honours pauses.

    The last refusal is returned for the caller to read (64 KiB of it); no answer at all is raised as a SourceError.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        patience: Patience,
        pauses: Pauses,
        cancel: threading.Event | None = None,
        on_retry: OnRetry = silently,
    ) -> None:
        self._inner = inner
        self._patience = patience
        self._pauses = pauses
        self._cancel = cancel
        self._on_retry = on_retry

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first good answer, or the last bad one."""
        url = str(request.url)
        origin = origin_of(request.url)
        tries = self._patience.tries if _repeatable(request) else 1
        attempt = 0
        while True:
            attempt += 1
            self._pauses.wait(origin, self._cancel)
            failure: SourceError
            try:
                with mapped(url):
                    response = _read(self._inner.handle_request(request), request)
            except (OriginUnavailable, RateLimited) as error:
                if attempt >= tries:
                    raise
                failure = error
            else:
                asked = asked_pause(response.headers) if response.status_code in (429, 503) else None
                if asked is not None:
                    self._pauses.pause(origin, asked)
                if response.status_code not in RETRIED or attempt >= tries:
                    return response
                failure = OriginUnavailable(f"{bare_url(url)} answered {response.status_code}")
            self._sleep(attempt, origin, failure)

    def _sleep(self, attempt: int, origin: str, failure: SourceError) -> None:
        after = max(delay(attempt, self._patience), self._pauses.remaining(origin))
        self._on_retry(origin, failure.message, after)
        if self._cancel is None:
            time.sleep(after)
        elif self._cancel.wait(after):
            raise Cancelled

    def close(self) -> None:
        """Close the transport below."""
        self._inner.close()


def _repeatable(request: httpx.Request) -> bool:
    if request.method in ("GET", "HEAD"):
        return True
    # a body that was an iterator is used up; bytes can be sent again
    return bool(request.extensions.get("dfly.idempotent")) and isinstance(request.stream, httpx.ByteStream)


def _read(response: httpx.Response, request: httpx.Request) -> httpx.Response:
    """The same response with its body in memory, unless that is too large to be an API's."""
    if response.status_code >= 400:
        cap(response)
    elif _length(response) > LARGEST_ANSWER:
        return response
    assert isinstance(response.stream, httpx.SyncByteStream)
    try:
        body = b"".join(response.stream)
    finally:
        response.close()
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=httpx.ByteStream(body),
        extensions=response.extensions,
        request=request,
    )


def _length(response: httpx.Response) -> int:
    text = response.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else 0
