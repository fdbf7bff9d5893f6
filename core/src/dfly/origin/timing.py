"""Takes the time of requests: from the first byte out to the head of the answer, redirects included."""

import time
from collections.abc import Callable

import httpx

#: (kind of request, seconds). Called by the thread that asked.
OnAnswer = Callable[[str, float], None]


class Timed(httpx.BaseTransport):
    """Sends through `inner`, and tells how long that took; requests of this transport are of one `kind`."""

    def __init__(self, inner: httpx.BaseTransport, *, kind: str, on_answer: OnAnswer) -> None:
        self._inner, self._kind, self._on_answer = inner, kind, on_answer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`. What gets no answer is told too: it took that long to find out."""
        began = time.monotonic()
        try:
            return self._inner.handle_request(request)
        finally:
            self._on_answer(self._kind, time.monotonic() - began)

    def close(self) -> None:
        """Close the transport below."""
        self._inner.close()
