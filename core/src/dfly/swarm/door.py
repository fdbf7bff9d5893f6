"""A session's door: whoever is admitted, libtorrent's filter lets in, from the moment it is said.

The host of a web seed is admitted with its URL, because libtorrent applies the filter to web seeds too.
"""

import contextlib
import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import libtorrent as lt

from dfly.swarm.admission import Admission


class Door:
    """Hands `apply` a new filter whenever somebody else may connect. Not thread-safe: whoever has the swarm's lock asks.

    Methods raise ValueError for what is no IP address.
    """

    def __init__(self, seed_peers: Iterable[str], *, apply: Callable[[lt.ip_filter], None]) -> None:
        self._admission = Admission(seed_peers)
        self._apply = apply
        apply(self._admission.filter())

    def admits(self, address: str) -> bool:
        """Whether the filter lets this IP address in."""
        return self._admission.admits(address)

    def allow(self, addresses: Iterable[str]) -> None:
        """Let peers in, unless they are denied."""
        self._renew(changed=self._admission.allow(addresses))

    def deny(self, addresses: Iterable[str]) -> None:
        """Disconnect peers and keep them out for good. Seed peers cannot be denied."""
        self._renew(changed=self._admission.deny(addresses))

    def hang_up(self, addresses: Iterable[str]) -> None:
        """Disconnect peers and let them in no more until they are allowed again. Not seed peers."""
        self._renew(changed=self._admission.forget(addresses))

    def trust(self, urls: Iterable[str]) -> None:
        """Let the web seeds at these URLs in; those that have a name must be among the `seed_peers`."""
        self._renew(changed=self._admission.trust(filter(None, map(_literal_host, urls))))

    def _renew(self, *, changed: bool) -> None:
        if changed:
            self._apply(self._admission.filter())


def _literal_host(url: str) -> str | None:
    """The host of a web seed where it is an IP address."""
    parts = urlsplit(url)
    if parts.query:
        raise ValueError("a web seed's URL must not have a query: libtorrent never asks it, and does not say so")
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(parts.hostname or ""))
    return None
