"""A web link, taken apart: what goes over the wire, what may be shown, and what the file is called.

A link can be a secret. `https://me:password@host/f` and `https://cdn/f?Expires=…&Signature=…` open a door for whoever
holds them, so the link that travels to other machines (`Link.public`) has neither user-info nor signature. What else is
in the query stays, because it may select the content; what is percent-encoded stays as typed, because servers disagree
about its meaning.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, unquote_to_bytes

import attrs

import dfly

__all__ = ["Link", "safe_name"]

_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")

#: Query parameters that only open doors: object stores' signatures, CDNs', and what people call their tokens.
_KEY = re.compile(
    r"x-(amz|goog|oss|obs|tos|cos)-.*|q-(sign|key|ak|signature).*|key-pair-id|googleaccessid|(aws|oss)?accesskeyid"
    r"|sig|sign|signature|hmac|hdnea|hdnts|jwt|sas|secret|password|credential|api_?key"
    r"|(access_|auth_|private_|x-)?token|access_key|auth(orization|_key)?"
)
#: Parameters that mean no such thing alone, and belong to the signature where one of the above is beside them.
_BESIDE = re.compile(
    r"response-.*|q-(header|url-param)-list|e|exp|expires|expiry|hash-algorithm|md5|policy|security-token|signedheaders"
    r"|s[eprstv]|ss|sip|spr|srt|ske|skoid|sks|skt|sktid|skv"
)


@attrs.frozen
class Link:
    """One parsed link. `address` is what is asked for on the wire, `public` the same without anything secret.

    `authorization` is the Basic credentials of its user-info; `signed` says that `public` lacks a signature.
    """

    address: str = attrs.field(repr=False)
    public: str
    name: str
    authorization: dfly.Secret | None = None
    signed: bool = False

    @classmethod
    def parse(cls, text: str) -> Link:
        """Take a link apart. Raises UsageError for what is none.

        >>> Link.parse("https://me:pw@Host:443/a%20b.bin?v=2&sig=x#top").public
        'https://host/a%20b.bin?v=2'
        """
        # imported here, because `dfget --help` shows this plugin's flags and must not wait for an HTTP client
        import httpx

        try:
            url = httpx.URL(text)
            # a name in punycode is decoded only here, and may be none
            _ = url.host
        except (httpx.InvalidURL, UnicodeError, ValueError):
            url = None
        if url is None or url.scheme not in ("http", "https") or not _HOST.fullmatch(url.raw_host.decode("ascii")):
            raise dfly.UsageError(
                f"{dfly.bare_url(text)!r} is not a web link", hint="write https://host/path/of/the.file"
            )
        wire = url.copy_with(userinfo=b"", fragment=None)
        # copy_with would quote the query anew; it must stay as typed
        path, _, query = wire.raw_path.decode("ascii").partition("?")
        origin = str(wire.copy_with(raw_path=b"/")).removesuffix("/")
        kept = _without_signature(query)
        return cls(
            address=origin + path + (f"?{query}" if query else ""),
            public=origin + path + (f"?{kept}" if kept else ""),
            name=safe_name(path.rpartition("/")[2], decoded=False),
            authorization=_basic(url.userinfo),
            signed=kept != query,
        )

    @property
    def folder(self) -> bool:
        """Whether the link ends where a file's name should be."""
        return not self.name


def _without_signature(query: str) -> str:
    pairs = query.split("&")
    names = [unquote(pair.partition("=")[0]).lower() for pair in pairs]
    signed = any(_KEY.fullmatch(name) for name in names) or {"md5", "expires"} <= set(names)
    if not signed:
        return query
    return "&".join(
        pair
        for pair, name in zip(pairs, names, strict=True)
        if not _KEY.fullmatch(name) and not _BESIDE.fullmatch(name)
    )


def _basic(userinfo: bytes) -> dfly.Secret | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(b":")
    joined = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return dfly.Secret("Basic " + base64.b64encode(joined).decode("ascii"))


def safe_name(raw: str, *, decoded: bool) -> str:
    """A file's name from a stranger's text: percent-decoded where that leaves one plain name, else as it is, else "".

    >>> safe_name("my%20model.bin", decoded=False), safe_name("..%2Fetc", decoded=False), safe_name("..", decoded=True)
    ('my model.bin', '..%2Fetc', '')
    """
    try:
        candidates = (raw,) if decoded else (unquote(raw, errors="strict"), raw)
    except UnicodeDecodeError:
        candidates = (raw,)
    for name in candidates:
        if name.strip(" .") and not any(c in "/\\" or not c.isprintable() for c in name):
            return name
    return ""
