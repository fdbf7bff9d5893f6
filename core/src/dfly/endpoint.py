"""Where a hub is, for plugins whose users may choose another one: a mirror, or one on their premises."""

import base64
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

import attrs

from dfly.errors import UsageError
from dfly.values import bare_url


@attrs.frozen
class Endpoint:
    """The place of a hub: `url` is `scheme://host[:port][/prefix]`, no final slash; `userinfo` is kept apart, unseen."""

    url: str
    userinfo: str = attrs.field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an http or https URL as a user writes it. Raises UsageError.

        >>> Endpoint.parse("http://me:pw@hub:8080/prefix/").url
        'http://hub:8080/prefix'
        """
        try:
            parts = urlsplit(text.strip())
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            valid = valid and parts.netloc.isprintable()
        except ValueError:
            valid = False
        if not valid:
            raise UsageError(f"{bare_url(text)!r} is not a hub endpoint", hint="write https://host[:port][/prefix]")
        userinfo, _, host = parts.netloc.rpartition("@")
        return cls(f"{parts.scheme}://{host}{parts.path.rstrip('/')}", unquote(userinfo))

    @property
    def prefix(self) -> str:
        """The path part: "" or "/prefix"."""
        return urlsplit(self.url).path

    @property
    def authorization(self) -> str | None:
        """The Authorization header that `userinfo` amounts to; it opens what is in front of the hub. None without."""
        return "Basic " + base64.b64encode(self.userinfo.encode()).decode() if self.userinfo else None

    def serves(self, link: SplitResult) -> bool:
        """Whether `link` is on this endpoint: scheme, host, port and prefix agree. Raises ValueError for a port that is none."""
        ours = urlsplit(self.url)
        return _origin(ours) == _origin(link) and (link.path + "/").startswith(self.prefix + "/")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default
