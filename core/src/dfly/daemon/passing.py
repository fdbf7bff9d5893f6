"""Requests that a facade passes on to its hub, and the hub's answers with the facade's name in place of the hub's.

A redirect is the client's to follow, and what it asks next should come here again: `Location` and `Link` are turned round.
A password in the hub's URL is shown to the hub and to nobody else.
"""

from collections.abc import Iterator

import httpx

from dfly.endpoint import Endpoint
from dfly.errors import OriginUnavailable
from dfly.facade import Answer, Asked
from dfly.values import bare_url

#: Bytes of an answer: of an API, whose files are redirected to.
LARGEST = 64 << 20
#: What belongs to a connection, or to the encoding of a body that is at hand already.
_OURS = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "host", "content-encoding", "accept-encoding", "date", "server",
    }
)  # fmt: skip


def pass_on(client: httpx.Client, asked: Asked, upstream: str) -> Answer:
    """What `upstream` answers; `client` follows redirects only where told. Blocks.

    Raises OriginUnavailable where nothing is answered, or more than an API has to say; UsageError where `upstream` is no URL.
    """
    hub = Endpoint.parse(upstream)
    headers = {name: value for name, value in asked.headers.items() if name not in _OURS and name != "content-length"}
    if hub.authorization is not None:
        headers["authorization"] = hub.authorization
    url = f"{hub.url}{asked.path}" + (f"?{asked.query}" if asked.query else "")
    try:
        with client.stream(
            asked.method,
            url,
            headers={**headers, "accept-encoding": "identity"},
            content=asked.body or None,
            extensions={"dfly.follow": False},
        ) as response:
            body = _body(response, url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OriginUnavailable(
            f"no answer from {hub.url}: {type(error).__name__}", hint="check the network and the endpoint", url=hub.url
        ) from error
    return Answer(status=response.status_code, headers=dict(_headers(response, asked, hub)), body=body)


def _body(response: httpx.Response, url: str) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > LARGEST:
            raise OriginUnavailable(f"{bare_url(url)} answers with more than {LARGEST >> 20} MiB", url=bare_url(url))
    return bytes(body)


def _headers(response: httpx.Response, asked: Asked, hub: Endpoint) -> Iterator[tuple[str, str]]:
    for name, value in response.headers.items():
        if name == "content-length" and asked.method != "HEAD":
            continue
        if name == "location":
            yield name, _turned(value, asked.base, hub)
        elif name == "link":
            yield name, value.replace(f"<{hub.url}/", f"<{asked.base}/")
        elif name not in _OURS:
            yield name, value


def _turned(location: str, base: str, hub: Endpoint) -> str:
    if location.startswith(f"{hub.url}/"):
        return base + location.removeprefix(hub.url)
    if location.startswith("/") and not location.startswith("//"):
        # the hub may lie below a path of its own
        return base + location.removeprefix(hub.prefix)
    return location
