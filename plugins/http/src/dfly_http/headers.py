"""What a web server's response says about a file: size, name, digests, and what pins its content.

Sizes and digests are believed only where they speak of the whole plain file: not of a part, not of a compressed form.
"""

from __future__ import annotations

import base64
import binascii
import re
from email.message import Message
from typing import TYPE_CHECKING

import attrs

import dfly
from dfly_http.links import safe_name

if TYPE_CHECKING:
    import httpx

__all__ = ["Facts", "Mark", "is_web_page"]

#: Fewer digits than `int` refuses to read.
_CONTENT_RANGE = re.compile(r"bytes\s+(?:\d+-\d+|\*)/([0-9]{1,18})", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_STRONG_ETAG = re.compile(r'"?[\x21\x23-\x7e\x80-\xff]+"?')
_ALGORITHMS = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64), "md5": ("md5", 16)}


@attrs.frozen
class Mark:
    """A weak validator: too weak to share content by, good enough to notice that it changed."""

    header: str
    value: str

    @classmethod
    def of(cls, response: httpx.Response) -> Mark | None:
        """The first that there is: an ETag of any kind, a date."""
        for header in ("etag", "last-modified"):
            if value := _weakly(response.headers.get(header, "")):
                return cls(header, value)
        return None

    def contradicts(self, response: httpx.Response) -> bool:
        """Whether this response is of other content. One that is silent is believed."""
        value = _weakly(response.headers.get(self.header, ""))
        return bool(value) and value != self.value


@attrs.frozen(kw_only=True)
class Facts:
    """One response's word on a file.

    `size` is in bytes, None where not told; `name` is what the server would call a download; `etag` is there only where
    it is strong.
    """

    size: int | None
    name: str
    etag: str | None
    mark: Mark | None
    digests: tuple[dfly.Digest, ...]
    web_page: bool

    @classmethod
    def of(cls, response: httpx.Response) -> Facts:
        """Read the head of a 2xx (or 416) answer to HEAD, or to GET of the first byte."""
        head = response.headers
        plain = head.get("content-encoding", "identity").strip().lower() in ("", "identity")
        return cls(
            size=_size(response) if plain else None,
            name=_attachment(head.get("content-disposition", "")),
            etag=_strong(head.get("etag", "")),
            mark=Mark.of(response),
            digests=_digests(response) if plain else (),
            web_page=is_web_page(response),
        )


def is_web_page(response: httpx.Response) -> bool:
    """Whether the answer is for a person's eyes."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("text/html", "application/xhtml+xml")


def _size(response: httpx.Response) -> int | None:
    ranged = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if ranged:
        return int(ranged[1])
    length = response.headers.get("content-length", "") if _whole(response) else ""
    return int(length) if _LENGTH.fullmatch(length) else None


def _whole(response: httpx.Response) -> bool:
    return response.status_code == 200 and "content-range" not in response.headers


def _strong(etag: str) -> str | None:
    etag = etag.strip()
    return etag if _STRONG_ETAG.fullmatch(etag) and not etag.startswith("W/") else None


def _weakly(value: str) -> str:
    return value.strip().removeprefix("W/").strip('"')


def _attachment(disposition: str) -> str:
    message = Message()
    message["content-disposition"] = disposition
    return safe_name((message.get_filename("") or "").replace("\\", "/").rpartition("/")[2], decoded=True)


def _digests(response: httpx.Response) -> tuple[dfly.Digest, ...]:
    """Repr-Digest and the older Digest speak of the whole file always, Content-Digest and Content-MD5 of this body."""
    whole = _whole(response)
    fields = ["repr-digest", "digest", *(["content-digest"] if whole else [])]
    found: dict[str, dfly.Digest] = {}
    for field in fields:
        for item in response.headers.get(field, "").split(","):
            name, _, value = item.strip().partition("=")
            algorithm, length = _ALGORITHMS.get(name.lower(), ("", 0))
            if digest := _decoded(algorithm, value.partition(";")[0].strip(":"), length):
                found.setdefault(algorithm, digest)
    if whole and (digest := _decoded("md5", response.headers.get("content-md5", "").strip(), 16)):
        found.setdefault("md5", digest)
    return tuple(sorted(found.values()))


def _decoded(algorithm: str, text: str, length: int) -> dfly.Digest | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return dfly.Digest(algorithm, raw.hex()) if algorithm and len(raw) == length else None
