"""Links across the ring, for nodes that see no progress: who may dial whom besides its neighbours. Pure data."""

import attrs

#: How many one node has at most; the oldest goes first.
MOST = 8


@attrs.define
class Chords:
    """Pairs of nodes. Every change returns the nodes concerned."""

    _of: dict[str, dict[str, None]] = attrs.field(factory=dict)

    def of(self, node: str) -> tuple[str, ...]:
        """The far ends, oldest first."""
        return tuple(self._of.get(node, ()))

    def link(self, one: str, other: str) -> set[str]:
        """Let two nodes in with each other."""
        if other in self._of.get(one, ()):
            return set()
        concerned = {one, other}
        for mine, theirs in ((one, other), (other, one)):
            ends = self._of.setdefault(mine, {})
            while len(ends) >= MOST:
                concerned |= self.unlink(mine, next(iter(ends)))
            ends[theirs] = None
        return concerned

    def unlink(self, one: str, other: str) -> set[str]:
        """These two have nothing to do with each other any more."""
        for mine, theirs in ((one, other), (other, one)):
            self._of.get(mine, {}).pop(theirs, None)
        return {one, other}

    def clear(self, node: str) -> set[str]:
        """A node is gone."""
        concerned: set[str] = set()
        for other in self.of(node):
            concerned |= self.unlink(node, other)
        self._of.pop(node, None)
        return concerned
