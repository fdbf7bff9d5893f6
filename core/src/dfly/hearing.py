"""How a plugin hears a stranger out: no more of a body than it wants, decoded under a limit, quoted on one line.

What a hub answers is data, whatever it holds: a small body may unpack to a very large one, and a message may hold what a
terminal obeys.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dfly.errors import OriginUnavailable, Unsupported
from dfly.values import bare_url

if TYPE_CHECKING:
    import httpx

_LONGEST_QUOTE = 200


def read_capped(response: httpx.Response, most: int) -> bytes | None:
    """The decoded body of a streamed response; None where it has more than `most` bytes, or an encoding nobody asked for.

    A body that cannot be decoded is empty. Raises what httpx raises where the connection breaks.
    """
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > most:
            return None
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    if encoding not in ("gzip", "deflate"):
        return None
    # not httpx's decoder, which knows no limit
    try:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, most + 1)
    except zlib.error:
        return b""
    return unpacked if len(unpacked) <= most else None


def quoted(text: str) -> str:
    """A stranger's text, safe on a terminal: one short line without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST_QUOTE].strip()


@contextmanager
def reaching(url: str, *, hint: str) -> Iterator[None]:
    """Turns what httpx raises inside into OriginUnavailable, about the hub at `url`; Unsupported where it is told to ask at
    what is no web address.
    """
    # imported here, because `dfget --help` shows a plugin's flags and must not wait for an HTTP client
    import httpx

    try:
        yield
    except (httpx.InvalidURL, UnicodeError) as error:  # the latter for a name in punycode that is none
        raise Unsupported(f"{url} leads to an address that is none", hint=hint, url=url) from error
    except httpx.HTTPError as error:
        raise OriginUnavailable(
            f"no answer from {url}: {type(error).__name__}: {bare_url(str(error))}", hint=hint, url=url
        ) from error
