"""Bodies of responses that nobody wants in full: errors and redirects. At most 64 KiB of one is ever read."""

import re
from collections.abc import Iterator

import httpx

LIMIT = 64 * 1024
_EXCERPT = 160
_TEXT = ("text/", "application/json", "application/problem+json", "application/xml")
_MARKUP = re.compile(r"<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_QUERY = re.compile(r"\?[^\s\"'<>]*")
_WORD = re.compile(r"[A-Za-z0-9_.~+/-]{8,}")
#: Request headers whose values are no secret; every word of any other is kept out of messages.
_OPEN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "if-match",
        "range",
        "user-agent",
    }
)


class Capped(httpx.SyncByteStream):
    """A body that ends after 64 KiB, whatever the server goes on sending."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = LIMIT
        for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    def close(self) -> None:
        """Give the connection back, or close it where more was to come."""
        self._stream.close()


def cap(response: httpx.Response) -> None:
    """Let whoever reads this response read 64 KiB of it at most."""
    if not isinstance(response.stream, Capped):
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = Capped(response.stream)


def discard(response: httpx.Response) -> None:
    """Read the little that is left, so that the connection can be used again, and close."""
    cap(response)
    try:
        for _ in response.iter_raw():
            pass
    except (httpx.HTTPError, httpx.StreamError):
        pass
    finally:
        response.close()


def text_of(response: httpx.Response) -> str:
    """The readable part of a failed response, at most 64 KiB; empty where it is not text. Closes it."""
    cap(response)
    try:
        response.read()
    except (httpx.HTTPError, httpx.StreamError):
        return ""
    finally:
        response.close()
    kind = response.headers.get("content-type", "").lower()
    return response.text if kind.startswith(_TEXT) or not kind else ""


def excerpt(response: httpx.Response) -> str:
    """A few words of what a failed response says, for a message: no markup, no queries, no secret of the request."""
    text = _QUERY.sub("", _MARKUP.sub(" ", text_of(response)))
    for secret in _secrets(response.request):
        text = text.replace(secret, "***")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"


def _secrets(request: httpx.Request) -> list[str]:
    held = [value for name, value in request.headers.items() if name.lower() not in _OPEN_HEADERS]
    held += [value for _, value in request.url.params.multi_items()]
    return sorted({word for value in held for word in _WORD.findall(value)}, key=len, reverse=True)
