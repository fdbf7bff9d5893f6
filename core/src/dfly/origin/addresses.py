"""Addresses that nobody fetches from for somebody else: a machine's own metadata service and what lies beside it.

A seed peer fetches what strangers name, from inside the network. A name is therefore resolved here and the very address
that was looked at is dialled: a name server that answers twice, or a redirect, leads nowhere else.
"""

import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

from dfly.errors import AccessDenied
from dfly.values import bare_url

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata services of the large clouds outside of the link-local ranges.
_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
_BROADCAST = ipaddress.ip_address("255.255.255.255")
#: Names that lead to a metadata service wherever they resolve at all.
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
#: IPv6 ranges whose last 32 bits are an IPv4 address for some router on the way.
_TRANSLATED = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/96", "::/96", "::ffff:0:0:0/96")))


def forbidden(address: str) -> bool:
    """Whether an IP address, in any spelling that a socket takes, is link-local, a metadata service, or none of a host.

    >>> forbidden("169.254.169.254"), forbidden("0xA9FEA9FE"), forbidden("::ffff:169.254.1.1"), forbidden("127.0.0.1")
    (True, True, True, False)
    """
    return any(map(_is_forbidden, _meant(address)))


def forbidden_host(host: str) -> bool:
    """The same for a host as a URL has it: an address, or one of the names that metadata services go by."""
    return host.rstrip(".").lower() in _METADATA_NAMES or forbidden(host)


def _is_forbidden(ip: Ip) -> bool:
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA or ip == _BROADCAST


def _meant(text: str) -> Iterator[Ip]:
    """The address, and the IPv4 addresses that are wrapped in it; nothing for a name."""
    try:
        ip: Ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        try:
            # 2852039166, 0xA9FEA9FE and 0251.0376.0251.0376 are 169.254.169.254 to whoever connects
            ip = ipaddress.ip_address(socket.inet_aton(text))
        except (OSError, ValueError):
            return
    yield ip
    if isinstance(ip, ipaddress.IPv4Address):
        return
    wrapped = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in network for network in _TRANSLATED):
        wrapped.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    yield from (inner for inner in wrapped if inner is not None)


class WaryNetwork(httpcore.SyncBackend):
    """Opens connections, but none to a forbidden address, whatever its name. Raises AccessDenied instead."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """As `httpcore.SyncBackend` does it, one address after the other."""
        addresses = _resolved(host, port)
        if any(map(forbidden, addresses)):
            # one bad address among good ones is an attempt, not a mistake
            raise refusal(host)
        for address in addresses[:-1]:
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class WaryTransport(httpx.BaseTransport):
    """Refuses requests whose URL spells a forbidden address out: behind a proxy there is no name for us to resolve."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`, or raise AccessDenied."""
        host = request.url.raw_host.decode("ascii")
        if forbidden_host(host):
            raise refusal(host)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the transport below."""
        self._inner.close()


def refusal(host: str) -> AccessDenied:
    """What to raise for a forbidden address."""
    return AccessDenied(
        f"{bare_url(host)} is an address that is never fetched from",
        hint="link-local and metadata addresses hold this machine's own secrets; name a real server",
        url=host,
    )


def _resolved(host: str, port: int) -> list[str]:
    """The addresses of `host`, as text, in the system's order."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(row[4][0]) for row in found))
