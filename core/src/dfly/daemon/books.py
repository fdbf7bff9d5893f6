"""What a cache knows of its blobs without looking at the disk: how much each takes there, and who needs it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from dfly.daemon.eviction import Kept

#: Seconds for which a lent blob counts as needed: whoever has the descriptor may be copying.
LENT = 60.0


class Books:
    """Not thread-safe: who keeps them has a lock. `clock` tells Unix time.

    A blob is here when it takes bytes on the disk, committed or not; one that is expected, by however many, counts once and
    as large as it will be.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes: dict[str, int] = {}
        self._used: dict[str, float] = {}
        self._lent: dict[str, float] = {}
        self._in_use: Counter[str] = Counter()
        self._expected: dict[str, dict[object, int]] = {}
        self._pinned: frozenset[str] = frozenset()

    def __contains__(self, blob: object) -> bool:
        return blob in self._bytes

    def __iter__(self) -> Iterator[str]:
        return iter(self._bytes)

    @property
    def total(self) -> int:
        """Bytes of all, expected ones counted whole."""
        return sum((self._bytes | self.expected).values())

    @property
    def expected(self) -> dict[str, int]:
        """Bytes that each will have of those that are to arrive."""
        return {blob: max(sizes.values()) for blob, sizes in self._expected.items()}

    def bytes(self, blob: str) -> int:
        """What one takes now; 0 where it is not here."""
        return self._bytes.get(blob, 0)

    def counted(self, blob: str) -> int:
        """What one counts as now: as large as it will be if it is expected."""
        return max(self._expected.get(blob, {}).values(), default=self.bytes(blob))

    def note(self, blob: str, allocated: int) -> None:
        """It takes so many bytes now; with 0 it is not here."""
        if allocated:
            self._bytes[blob] = allocated
        else:
            self._bytes.pop(blob, None)

    def used(self, blob: str, at: float | None = None) -> None:
        """It was of use, now or at another time."""
        self._used[blob] = self._clock() if at is None else at

    def lend(self, blob: str) -> None:
        """Somebody has it open from now on, nobody knows for how long."""
        self._lent[blob] = self._clock()

    def begin(self, blobs: Iterable[str]) -> None:
        """Somebody begins to use these; `end` for each `begin`."""
        self._in_use.update(blobs)

    def end(self, blobs: Iterable[str]) -> None:
        """Somebody uses these no longer."""
        self._in_use.subtract(blobs)
        self._in_use += Counter()

    def expect(self, sizes: Mapping[str, int], *, who: object) -> None:
        """These are to arrive, with so many bytes each, for `who`, which has a hash."""
        for blob, size in sizes.items():
            self._expected.setdefault(blob, {})[who] = size

    def expect_no_more(self, blob: str, *, who: object) -> bool:
        """`who` waits for it no longer; whether it had not arrived."""
        waiting = self._expected.get(blob, {})
        found = waiting.pop(who, None) is not None
        if not waiting:
            self._expected.pop(blob, None)
        return found

    def arrived(self, blob: str) -> None:
        """It is here: nobody waits for it."""
        self._expected.pop(blob, None)

    def pin(self, blobs: Iterable[str]) -> None:
        """These, and only these, stay whoever needs room."""
        self._pinned = frozenset(blobs)

    def busy(self, blob: str, *, lent: bool = True) -> bool:
        """Whether somebody uses or brings it; or, with `lent`, has been lent it a moment ago."""
        if self._in_use[blob] or blob in self._expected:
            return True
        at = self._lent.get(blob) if lent else None
        return at is not None and self._clock() - at < LENT

    def forget(self, blob: str) -> None:
        """It is not here any more, or shall not be used any more."""
        for book in (self._bytes, self._used, self._lent):
            book.pop(blob, None)

    def kept(self, *, but: Collection[str]) -> list[Kept]:
        """Every blob's claim to its bytes, but for these."""
        return [
            Kept(
                blob=blob,
                bytes=taken,
                used=self._used.get(blob, 0.0),
                pinned=blob in self._pinned,
                in_use=self.busy(blob),
            )
            for blob, taken in self._bytes.items()
            if blob not in but
        ]
