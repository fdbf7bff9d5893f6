"""The headers that a user gives: read once, refused early, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

import dfly

__all__ = ["given_headers"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: What the core sets itself, for each range; the host is the link's, which alone says what the content is kept for, and whether a
#: seed peer may fetch it.
_OURS = re.compile(
    r"accept-encoding|connection|content-length|host|if-(match|none-match|range|(un)?modified-since)|range|te"
    r"|transfer-encoding|upgrade"
)


def given_headers(lines: Iterable[dfly.Secret]) -> dict[str, str]:
    """`Name: value` lines as lower-case names and values; a name given twice has both values. Raises UsageError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.reveal().partition(":")
        name, value = name.strip().lower(), value.strip()
        # what is not understood may be a bare token, so it is not repeated
        if not colon or not _NAME.fullmatch(name):
            raise dfly.UsageError("a header for http:// has no name", hint="write --header 'Name: value'")
        if _OURS.fullmatch(name):
            raise dfly.UsageError(f"the header {name} is set by dfly itself", hint="leave it out")
        if not value.isascii() or not (value.isprintable() or not value):
            raise dfly.UsageError(f"the value of the header {name} has characters that HTTP cannot carry")
        joint = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers
