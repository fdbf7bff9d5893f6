"""Where a bucket is on the web: AWS in a region, or another store at its own address. Pure text: no I/O.

AWS wants the bucket as a host name, stores on the premises mostly have no DNS entry for that and want it in the path. A
bucket whose name has dots, or is no host name, goes into the path everywhere: no certificate would cover it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Self
from urllib.parse import quote, urlencode, urlsplit

import attrs

from dfly import UsageError, bare_url

ADDRESSINGS = ("auto", "path", "virtual")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61}[a-z0-9])")
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_REGION_IN_HOST = re.compile(r"(?:^|\.)s3[.-](?:dualstack\.)?([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")


def valid_region(text: str) -> bool:
    """Whether `text` may become part of a host name and of a signature.

    >>> valid_region("eu-central-1"), valid_region("evil.example/")
    (True, False)
    """
    return _REGION.fullmatch(text) is not None


def region_of_host(host: str) -> str | None:
    """The region that an AWS host name tells.

    >>> region_of_host("models.s3-eu-west-1.amazonaws.com"), region_of_host("minio.local")
    ('eu-west-1', None)
    """
    found = _REGION_IN_HOST.search(host.lower())
    return found.group(1) if found else None


@attrs.frozen
class Endpoint:
    """A store. `base` is `scheme://host[:port][/prefix]` for one region; `name` is the same for all its regions.

    `regional` says whether another region is at another host. `addressing` is one of ADDRESSINGS.
    """

    base: Callable[[str], str]
    name: str
    regional: bool
    addressing: str = "auto"

    @classmethod
    def custom(cls, text: str, *, addressing: str) -> Self:
        """The store at a given URL. Raises UsageError."""
        try:
            parts = urlsplit(text.strip())
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid or parts.username is not None or parts.query or parts.fragment:
            raise UsageError(f"{bare_url(text)!r} is not an S3 endpoint", hint="write https://host[:port][/prefix]")
        url = f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"

        def base(_: str) -> str:
            return url

        return cls(base, url, regional=False, addressing=addressing)

    def url(self, bucket: str, key: str, *, region: str, query: dict[str, str] | None = None) -> str:
        """The web URL of an object, or of the bucket where `key` is "". Every character is encoded as it is signed."""
        base = self.base(region)
        path = "/" + quote(key, safe="/-_.~", errors="surrogateescape")
        # httpx would walk `..` and `.`; encoded it leaves them, and the signature is of the plain ones
        path = re.sub(r"(?<=/)\.{1,2}(?=/|$)", lambda dots: dots[0].replace(".", "%2E"), path)
        if self.in_path(bucket, base):
            address = f"{base}/{bucket}{path if key else ''}"
        else:
            scheme, _, host = base.partition("://")
            address = f"{scheme}://{bucket}.{host}{path}"
        # quote, not the default: a `+` for a space would be signed as a plus
        return address + ("?" + urlencode(query, quote_via=quote, safe="-_.~") if query else "")

    def in_path(self, bucket: str, base: str) -> bool:
        """Whether the bucket is named in the path."""
        if self.addressing == "path" or not _HOST_LABEL.fullmatch(bucket):
            return True
        if _is_address(urlsplit(base).hostname or ""):
            return True
        return self.addressing == "auto" and not self.regional


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
