"""Who may connect: nobody but those who were named. A filter by address, not authentication.

Seed peers can be neither forgotten nor denied: libtorrent applies the filter to web seeds too, and says nothing.
"""

import ipaddress
from collections.abc import Iterable

import libtorrent as lt

_BLOCKED = 1
_ALL = (("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))  # noqa: S104 - a range


class Admission:
    """The set of IP addresses let in. Raises ValueError on anything that is not an IP address, such as a host name."""

    def __init__(self, seed_peers: Iterable[str] = ()) -> None:
        self._seed_peers = _addresses(seed_peers)
        self._allowed: set[str] = set()
        self._denied: set[str] = set()

    def admits(self, address: str) -> bool:
        """Whether a peer at `address` is let in."""
        host = _address(address)
        return host in self._seed_peers or (host in self._allowed and host not in self._denied)

    def trust(self, addresses: Iterable[str]) -> bool:
        """Add seed peers. Returns whether that changed anything."""
        before = len(self._seed_peers)
        self._seed_peers |= _addresses(addresses)
        return len(self._seed_peers) != before

    def allow(self, addresses: Iterable[str]) -> bool:
        """Let peers in, unless denied. Returns whether that changed anything."""
        before = len(self._allowed)
        self._allowed |= _addresses(addresses)
        return len(self._allowed) != before

    def deny(self, addresses: Iterable[str]) -> bool:
        """Keep peers out for good, whatever `allow` says later. Returns whether that changed anything."""
        before = len(self._denied)
        self._denied |= _addresses(addresses)
        return len(self._denied) != before

    def forget(self, addresses: Iterable[str]) -> bool:
        """Let these in no more until they are allowed again. Returns whether that changed anything."""
        before = len(self._allowed)
        self._allowed -= _addresses(addresses)
        return len(self._allowed) != before

    def filter(self) -> lt.ip_filter:
        """The filter for the session."""
        rules = lt.ip_filter()
        for first, last in _ALL:
            rules.add_rule(first, last, _BLOCKED)
        for host in (self._allowed - self._denied) | self._seed_peers:
            rules.add_rule(host, host, 0)
        return rules


def _addresses(texts: Iterable[str]) -> set[str]:
    return {_address(text) for text in texts}


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text.partition("%")[0]))
