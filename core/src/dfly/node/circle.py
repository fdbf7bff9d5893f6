"""Whom a task deals with at present: its seed peer, its neighbours in the ring, and chords to further nodes."""

import attrs

from dfly import wire
from dfly.node.succession import Seat
from dfly.node.trust import Trust
from dfly.swarm import Session


@attrs.define(kw_only=True, eq=False)
class Circle:
    """`seat` is where the task is, `ring` the seed peer's last word on who is near."""

    swarm: Session
    trust: Trust
    seat: Seat
    ring: wire.Ring = attrs.field(factory=wire.Ring)
    _grant: str = ""
    _chords: set[wire.Address] = attrs.field(factory=set)
    _seed_hosts: tuple[str, ...] = ()

    def greeted(self, hello: wire.Hello) -> None:
        """The seed peer's hello: the key to its web seed, and its addresses."""
        self._grant, self._seed_hosts = hello.grant, hello.seed_peers
        self._admit()

    def joined(self, ring: wire.Ring) -> list[wire.Address]:
        """The ring is another now; returns the neighbours that are new."""
        new = [peer for peer in ring.neighbours if peer not in self.ring.neighbours]
        self.ring = ring
        self.trust.named((*ring.neighbours, *ring.admitted))
        self._admit()
        return new

    def widened(self, chords: tuple[wire.Address, ...]) -> None:
        """Further nodes that may be dialled and may dial."""
        self._chords.update(chords)
        self._admit()

    def peers(self) -> list[wire.Address]:
        """The neighbours; where one of them is of no use, a chord in its place."""
        neighbours = self.trust.usable(self.ring.neighbours)
        missing = len(self.ring.neighbours) - len(neighbours)
        return neighbours + self.trust.usable(self.ring.admitted)[:missing]

    def near(self) -> list[wire.Address]:
        """The neighbours and the nodes at the other ends of chords, as far as they are of use."""
        return self.trust.usable((*self.ring.neighbours, *self.ring.admitted))

    def web_seed(self, blob: str) -> str:
        """Where published bytes of `blob` are read from."""
        return self.seat.seed_peer.web_seed(self._grant, blob)

    def _admit(self) -> None:
        peers = self.trust.usable({*self.ring.neighbours, *self.ring.admitted, *self._chords})
        self.swarm.allow({host for host, _ in peers} | set(self._seed_hosts))
