"""An httpx client that sends and does no more: what httpx does around a request costs as much as sending it.

There are no cookies, hooks, redirects or authentication schemes in our clients; the transports below do what is wanted of these.
"""

import logging
from typing import Any

import httpx

#: httpx's own, so that what is logged of a request stays the same.
_log = logging.getLogger("httpx")


class Sender(httpx.Client):
    """Passes requests straight to `transport`. User-info in a URL is a password still, and `auth` is heeded."""

    def __init__(self, transport: httpx.BaseTransport, **settings: Any) -> None:
        super().__init__(transport=transport, trust_env=False, follow_redirects=False, **settings)
        self._straight = transport

    def send(self, request: httpx.Request, *, stream: bool = False, **given: Any) -> httpx.Response:
        """See httpx."""
        asks_for_more = any(value is not httpx.USE_CLIENT_DEFAULT for value in given.values())
        if asks_for_more or self.is_closed or request.url.userinfo or "timeout" not in request.extensions:
            return super().send(request, stream=stream, **given)
        try:
            response = self._straight.handle_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        response.request = request
        if _log.isEnabledFor(logging.INFO):
            said = (response.http_version, response.status_code, response.reason_phrase)
            _log.info('HTTP Request: %s %s "%s %d %s"', request.method, request.url, *said)
        if not stream:
            try:
                response.read()
            except BaseException:
                response.close()
                raise
        return response
