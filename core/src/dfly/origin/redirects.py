"""Following redirects without carrying anybody's secrets along.

httpx strips `Authorization` across origins but lets custom token headers, cookies and `If-Match` through, so following
is done here, below the client: what leaves the first origin (scheme, host, port) is an allow-list, not a deny-list,
and what has left stays bare even if the chain comes back.

Request extensions, all optional:

    dfly.follow       False: hand out the redirect itself
    dfly.on_response  called with every response of the chain, its `request` being the one really sent; may raise
    dfly.auth         an httpx.Auth that signs each hop of the first origin anew (one given to the client signs only once)
"""

from collections.abc import Callable
from contextlib import nullcontext

import httpx

from dfly.errors import Unsupported, Untrusted
from dfly.origin.bodies import discard
from dfly.origin.errors import mapped
from dfly.origin.names import origin_of
from dfly.values import bare_url

MOST_REDIRECTS = 20
#: All that another origin gets to see. Not If-Match: its ETags are its own.
HARMLESS = frozenset({"accept", "accept-encoding", "range", "user-agent"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class SafeRedirects(httpx.BaseTransport):
    """A transport that follows the redirects of GET and HEAD, 20 at most.

    Raises Untrusted for a step from https to http, Unsupported for a Location that is no web address and for a loop, and
    for what fails on another origin the SourceError that names it: httpx's errors would be told of the first.
    """

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` and what it is redirected to; the response is the last one's."""
        on_response: Callable[[httpx.Response], None] | None = request.extensions.get("dfly.on_response")
        follow = request.method in ("GET", "HEAD") and request.extensions.get("dfly.follow", True)
        auth: httpx.Auth | None = request.extensions.get("dfly.auth")
        home = origin_of(request.url)
        hop = request
        for _ in range(MOST_REDIRECTS + 1):
            with nullcontext() if home else mapped(str(hop.url)):
                response = self._send(hop, auth)
            try:
                if on_response is not None:
                    on_response(response)
                target = _target(hop, response) if follow else None
            except BaseException:
                response.close()
                raise
            if target is None:
                return response
            discard(response)
            if origin_of(target) != home:
                home, auth = "", None
            hop = _hop(request, target, bare=not home)
        where = bare_url(str(request.url))
        raise Unsupported(f"{where} redirects more than {MOST_REDIRECTS} times, perhaps in a circle", url=where)

    def _send(self, hop: httpx.Request, auth: httpx.Auth | None) -> httpx.Response:
        if auth is None:
            return self._sent(hop)
        # an Auth writes into the request it signs; the next hop must start from the unsigned one
        flow = auth.sync_auth_flow(_hop(hop, hop.url, bare=False))
        try:
            signed = next(flow)
            while True:
                response = self._sent(signed)
                try:
                    signed = flow.send(response)
                except StopIteration:
                    return response
                except BaseException:
                    response.close()
                    raise
                discard(response)
        finally:
            flow.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        response.request = request
        return response

    def close(self) -> None:
        """Close the transport below."""
        self._inner.close()


def _target(hop: httpx.Request, response: httpx.Response) -> httpx.URL | None:
    location = response.headers.get("location")
    if response.status_code not in _REDIRECTS or not location:
        return None
    where = bare_url(str(hop.url))
    try:
        # user-info in a Location is a way to make a client send credentials of the server's choice
        target = hop.url.join(location).copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError):
        target = httpx.URL()
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise Unsupported(f"{where} redirects to something that is no web address", url=where)
    if hop.url.scheme == "https" and target.scheme == "http":
        raise Untrusted(
            f"{where} redirects from https to plain http on {target.raw_host.decode('ascii')}",
            hint="dfly does not follow that: anybody on the way could read and change the file",
            url=where,
        )
    return target


def _hop(request: httpx.Request, url: httpx.URL, *, bare: bool) -> httpx.Request:
    # httpx adds no headers of its own to a request that is built from a stream
    headers = [("Host", url.netloc.decode("ascii"))] + [
        (name, value)
        for name, value in request.headers.multi_items()
        if name.lower() != "host" and (not bare or name.lower() in HARMLESS)
    ]
    return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)
