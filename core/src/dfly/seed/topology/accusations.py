"""Who says of whom that it sends wrong bytes. One node's word parts the two; only two independent words expel anybody.

A word counts only against a node whose address the accuser was told, and two words are independent only if they come from two
nodes at two addresses: one liar can rid itself of its neighbours, and of nobody else's.
"""

import ipaddress

import attrs

from dfly.wire import Address

#: Independent accusers after which a node is out for everybody.
ENOUGH = 2


@attrs.define
class Accusations:
    """The words said in one task. Addresses stay expelled when their node comes back under another id."""

    _said: dict[str, dict[str, str]] = attrs.field(factory=dict)
    _expelled: set[Address] = attrs.field(factory=set)

    def accuse(self, *, accuser: str, seen: Address, accused: str, addresses: tuple[Address, ...]) -> bool:
        """Note a word of `accuser`, seen at `seen`. True where `accused` is expelled by it."""
        said = self._said.setdefault(accused, {})
        said[accuser] = _machine(seen)
        if len(set(said.values())) < ENOUGH:
            return False
        self._expelled.update(addresses)
        return True

    def has_said(self, accuser: str, accused: str) -> bool:
        """Whether `accuser`'s word against this node is known."""
        return accuser in self._said.get(accused, {})

    def forgive(self, accused: str, addresses: tuple[Address, ...]) -> None:
        """What was said of a node has had its consequence, and counts no more."""
        self._said.pop(accused, None)
        self._expelled.difference_update(addresses)

    def expelled(self, addresses: tuple[Address, ...]) -> bool:
        """Whether any of these addresses was expelled."""
        return not self._expelled.isdisjoint(addresses)

    def forget(self, node: str) -> None:
        """A node is gone for good."""
        self._said.pop(node, None)


def _machine(address: Address) -> str:
    """What tells two accusers apart: the host; on loopback all hosts are one, and the port has to do."""
    host, port = address
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return f"{host} {port}" if loopback else host
