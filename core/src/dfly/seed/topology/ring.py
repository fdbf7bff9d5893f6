"""Who sits next to whom: all members of a task in one ring, ordered by location, then by a hash of the node id.

Pure data. Every change returns the nodes whose neighbours may be others now, so that only those are told. Two nodes that do
not get along are set apart: one of them moves to another place of its own location if there is one, else of another location;
where the ring is too small for that, the two are no neighbours although they sit side by side, and data goes round the other way.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

_Place = tuple[str, bytes, str]
_TRIES = 16


class Ring:
    """Node ids in a circle."""

    def __init__(self) -> None:
        self._order: list[_Place] = []
        self._places: dict[str, _Place] = {}
        self._apart: dict[str, set[str]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._places

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[str]:
        """All nodes, round the ring."""
        return (node for _, _, node in self._order)

    def add(self, node: str, location: str) -> set[str]:
        """Seat a node (again, where its location is another one). Returns the nodes concerned."""
        if node in self._places:
            if self._places[node][0] == location:
                return set()
            concerned = self.remove(node)
        else:
            concerned = set()
        self._seat(_place(node, location))
        return concerned | {node, *self._beside(node)} | self._mend([node])

    def remove(self, node: str) -> set[str]:
        """The ring closes over the gap. Returns the nodes concerned, `node` not among them."""
        if node not in self._places:
            return set()
        beside = self._beside(node)
        self._rise(node)
        return (set(beside) | self._mend(beside)) - {node}

    def part(self, one: str, other: str) -> set[str]:
        """These two shall not be neighbours from now on. Returns the nodes concerned."""
        self._apart.setdefault(one, set()).add(other)
        self._apart.setdefault(other, set()).add(one)
        concerned = {node for node in (one, other) if node in self._places}
        return concerned | self._mend([other])

    def forget(self, node: str) -> None:
        """Drop what is known of a node that will not come back."""
        for other in self._apart.pop(node, ()):
            self._apart[other].discard(node)

    def apart(self, one: str, other: str) -> bool:
        """Whether these two were set apart."""
        return other in self._apart.get(one, ())

    def neighbours(self, node: str) -> tuple[str, ...]:
        """The previous and the next node, less those set apart; none, one or two."""
        if node not in self._places:
            return ()
        return tuple(other for other in self._beside(node) if not self.apart(node, other))

    def _beside(self, node: str) -> list[str]:
        at, count = self._index(node), len(self._order)
        around = [self._order[at - 1][2], self._order[(at + 1) % count][2]]
        return [other for other in dict.fromkeys(around) if other != node]

    def _index(self, node: str) -> int:
        return bisect_left(self._order, self._places[node])

    def _seat(self, place: _Place) -> None:
        insort(self._order, place)
        self._places[place[2]] = place

    def _rise(self, node: str) -> _Place:
        del self._order[self._index(node)]
        return self._places.pop(node)

    def _mend(self, nodes: Iterable[str]) -> set[str]:
        """Move those of `nodes` that sit beside one they are set apart from."""
        concerned: set[str] = set()
        for node in nodes:
            if node in self._places and any(self.apart(node, other) for other in self._beside(node)):
                concerned |= self._move(node)
        return concerned

    def _move(self, node: str) -> set[str]:
        left = self._beside(node)
        home = self._rise(node)
        gap_holds = len(left) < 2 or len(self._order) < 3 or not self.apart(*left)
        for location, salt in self._other_places(home[0]):
            self._seat(_place(node, location, salt=salt))
            if gap_holds and not any(self.apart(node, other) for other in self._beside(node)):
                return {node, *left, *self._beside(node)}
            self._rise(node)
        self._seat(home)
        return set()

    def _other_places(self, location: str) -> Iterator[tuple[str, int]]:
        yield from ((location, salt) for salt in range(1, _TRIES + 1))
        count = len(self._order)
        for step in range(min(count, _TRIES)):
            yield self._order[step * count // _TRIES % count][0], step + 1


def _place(node: str, location: str, *, salt: int = 0) -> _Place:
    return location, hashlib.sha256(f"{salt}\0{node}".encode()).digest(), node
