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
    """`allow_source` are globs on source URLs, empty for all; `insecure` lets hub tokens come over plain HTTP.

    `operator_token` opens everything that `cluster_token` does, and what only operators may.
    """

    cluster_token: Secret | None = None
    operator_token: Secret | None = None
    allow_source: tuple[str, ...] = ()
    insecure: bool = False

    def check_token(self, authorization: str) -> None:
        """The value of an Authorization header. Raises AccessDenied; takes the same time for every wrong token."""
        if self.cluster_token is None:
            return
        if not any(_is_bearer(authorization, token) for token in (self.cluster_token, self.operator_token) if token):
            raise AccessDenied(_asks_for("cluster", authorization), hint="set DFLY_CLUSTER_TOKEN")

    def check_operator(self, authorization: str, *, remote: str | None) -> None:
        """Whether these may see every source and change what is kept: by the operator token; where there is none, by the
        cluster token; where there is neither, from this machine. Raises AccessDenied.
        """
        if self.operator_token is not None:
            if not _is_bearer(authorization, self.operator_token):
                raise AccessDenied(
                    _asks_for("operator", authorization), hint="give --operator-token-file, or set DFLY_OPERATOR_TOKEN"
                )
        elif self.cluster_token is not None:
            self.check_token(authorization)
        elif not is_loopback(remote):
            raise AccessDenied(
                "without a token, only this machine may ask that",
                hint="start the seed peer with DFLY_OPERATOR_TOKEN, and give the same to dfctl",
            )

    def check_viewer(self, authorization: str, *, remote: str | None) -> bool:
        """Whether these may look at what goes on here, and if so, whether as operators: they see private sources too.

        Raises AccessDenied for whoever has neither token.
        """
        try:
            self.check_operator(authorization, remote=remote)
        except AccessDenied:
            if self.cluster_token is None:
                raise
            self.check_token(authorization)
            return False
        return True

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


def _asks_for(kind: str, authorization: str) -> str:
    given = ", and what was given is another" if authorization else ""
    return f"this asks for the {kind} token of the seed peer{given}"


def _is_bearer(authorization: str, wanted: Secret) -> bool:
    """Whether this header has the token; takes the same time for every wrong one."""
    scheme, _, token = authorization.partition(" ")
    given = token.strip().encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given, wanted.reveal().encode("utf-8", "surrogatepass")) and scheme.lower() == "bearer"


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
