"""What members say of each other: wrong bytes, silence, doubt. Who speaks must know whom it speaks of, and is heard once.

One word parts the two. Enough of them (`accusations`) put the other out: for good where it sends wrong bytes, for a while where
it is silent, because a node that slept may come back.
"""

from collections.abc import Callable, Mapping

import attrs

from dfly.seed.topology.accusations import Accusations
from dfly.seed.topology.chords import Chords
from dfly.seed.topology.members import BENCH, LONGEST_BENCH, SUSPECT, Member
from dfly.seed.topology.ring import Ring
from dfly.wire import Address

#: Seconds after which a node may be asked to look at the same segment again.
_DOUBT = 5.0


@attrs.frozen
class Outcome:
    """What a word has changed: the neighbours of these nodes, and whoever is `out` has no place in the ring any more."""

    concerned: set[str]
    out: Member | None = None


@attrs.define(kw_only=True, eq=False)
class Complaints:
    """Of the members of one task (by node). `clock` is monotonic, in seconds."""

    members: Mapping[str, Member]
    ring: Ring
    chords: Chords
    clock: Callable[[], float]
    _wrong: Accusations = attrs.field(factory=Accusations)
    _silent: Accusations = attrs.field(factory=Accusations)
    _doubted: dict[tuple[str, str, int], float] = attrs.field(factory=dict)

    def wrong_bytes(self, accuser: str, address: Address) -> Outcome | None:
        """`accuser` says that wrong bytes come from `address`. None where that is not believed, or not new."""
        pair = self._pair(accuser, address)
        # nodes repeat themselves
        if pair is None or self._wrong.has_said(accuser, pair[1].node):
            return None
        witness, accused = pair
        concerned, enough = self._part(witness, accused), self._word(self._wrong, witness, accused)
        if not enough or accused.expelled:
            return Outcome(concerned)
        accused.expelled = True
        return Outcome(concerned, out=accused)

    def silence(self, accuser: str, address: Address) -> Outcome | None:
        """`accuser` has asked `address` for bytes and gets none. None where that is not believed, or not new."""
        pair = self._pair(accuser, address)
        if pair is None or self._silent.has_said(accuser, pair[1].node):
            return None
        witness, accused = pair
        concerned, now = self._part(witness, accused), self.clock()
        accused.suspect_until = now + SUSPECT
        if not self._word(self._silent, witness, accused):
            return Outcome(concerned)
        self._silent.forgive(accused.node, accused.addresses)
        accused.benched_until = now + min(BENCH * 2**accused.benches, LONGEST_BENCH)
        accused.benches += 1
        return Outcome(concerned, out=accused)

    def doubt(self, accuser: str, address: Address, blob: str, index: int) -> Member | None:
        """`accuser` got one wrong piece of a segment from `address`. Who is to look at its disk; None where nobody is."""
        pair, now = self._pair(accuser, address), self.clock()
        if pair is None:
            return None
        self._doubted = {asked: since for asked, since in self._doubted.items() if now - since < _DOUBT}
        asked = (pair[1].node, blob, index)
        if asked in self._doubted:
            return None
        self._doubted[asked] = now
        return pair[1]

    def expelled(self, addresses: tuple[Address, ...]) -> bool:
        """Whether a node at any of these addresses was put out for good."""
        return self._wrong.expelled(addresses)

    def forget(self, node: str) -> None:
        """A node is gone for good."""
        self._wrong.forget(node)
        self._silent.forget(node)

    def _pair(self, accuser: str, address: Address) -> tuple[Member, Member] | None:
        """Who speaks and of whom, where the one can know the other."""
        witness = self.members.get(accuser)
        accused = next((m for m in self.members.values() if m.connected and address in m.addresses), None)
        if witness is None or not witness.present or accused is None or accused is witness:
            return None
        return (witness, accused) if accused.node in witness.known else None

    def _part(self, witness: Member, accused: Member) -> set[str]:
        return self.chords.unlink(witness.node, accused.node) | self.ring.part(witness.node, accused.node)

    def _word(self, book: Accusations, witness: Member, accused: Member) -> bool:
        """Enter one word of one member against another. True where that makes enough."""
        seen = witness.addresses[0] if witness.addresses else (witness.node, 0)
        return book.accuse(accuser=witness.node, seen=seen, accused=accused.node, addresses=accused.addresses)
