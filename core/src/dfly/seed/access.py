"""Who may ask what of the seed peer: the cluster token, the sources, and whether a secret may come over this connection."""

import hmac
import ipaddress
from fnmatch import fnmatchcase
from urllib.parse import unquote

import attrs

from dfly.backend import Secret
from dfly.errors import AccessDenied
from dfly.origin.addresses import forbidden_host
from dfly.values import bare_url


@attrs.frozen(kw_only=True)
class Access:
    """`allow_source` are globs on source URLs, empty for all; `insecure` lets hub tokens come over plain HTTP."""

    cluster_token: Secret | None = None
    allow_source: tuple[str, ...] = ()
    insecure: bool = False

    def check_token(self, authorization: str) -> None:
        """The value of an Authorization header. Raises AccessDenied; takes the same time for every wrong token."""
        if self.cluster_token is None:
            return
        scheme, _, token = authorization.partition(" ")
        wanted = self.cluster_token.reveal().encode("utf-8", "surrogatepass")
        given = token.strip().encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(given, wanted) or scheme.lower() != "bearer":
            raise AccessDenied(
                "this seed peer asks for the cluster token", hint="give --cluster-token-file, or set DFLY_CLUSTER_TOKEN"
            )

    def check_source(self, url: str, *, endpoints: tuple[str, ...] = ()) -> None:
        """Whether this source may be fetched, from `endpoints` that the caller chose. Raises AccessDenied."""
        bare = bare_url(url)
        for place in (bare, *endpoints):
            if forbidden_host(_host(place)):
                raise AccessDenied(f"{bare_url(place)} is an address that is never fetched from", url=bare)
        if not self.allow_source:
            return
        if endpoints:
            raise AccessDenied(
                f"this seed peer fetches {bare} only from its own endpoint",
                hint="leave the endpoint option out, or set it where the seed peer starts",
                url=bare,
            )
        climbs = ".." in unquote(bare).replace("\\", "/").split("/")
        if climbs or not any(fnmatchcase(bare, pattern) for pattern in self.allow_source):
            raise AccessDenied(
                f"this seed peer does not fetch {bare}",
                hint=f"it was started with --allow-source {' '.join(self.allow_source)}",
                url=bare,
            )

    def check_secret(self, *, secure: bool, remote: str | None) -> None:
        """Whether a secret may come over this connection, from `remote`. Raises AccessDenied."""
        if secure or self.insecure or is_loopback(remote):
            return
        raise AccessDenied(
            "a hub token over plain HTTP is refused: everyone on the way can read it",
            hint="start the seed peer with --tls-cert and --tls-key and use https://, or with --insecure if you must",
        )


def is_loopback(remote: str | None) -> bool:
    """Whether a peer's address is this machine."""
    try:
        return plain_ip(remote or "").is_loopback
    except ValueError:
        return False


def plain_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, without scope; a mapped one as the IPv4 address it is. Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _host(url: str) -> str:
    authority = url.partition("://")[2].partition("/")[0].rpartition("@")[2].lower()
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0].rstrip(".")
