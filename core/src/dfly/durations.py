"""How long things took, as a histogram of plain numbers: cheap to add to, and read only when somebody asks."""

import threading
from collections.abc import Sequence

import attrs

#: Upper bounds in seconds: from an answer on the same machine to a large model over a thin link.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


@attrs.define(eq=False)
class Durations:
    """Counts by upper bound, in seconds. Thread-safe.

    >>> some = Durations((1.0, 10.0))
    >>> some.took(0.5), some.took(3), some.took(99)
    (None, None, None)
    >>> some.cumulative(), some.total
    ([1, 2, 3], 102.5)
    """

    bounds: Sequence[float] = BOUNDS
    total: float = 0.0
    _counts: list[int] = attrs.field(init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._counts = [0] * (len(self.bounds) + 1)

    def took(self, seconds: float) -> None:
        """One more."""
        at = next((i for i, bound in enumerate(self.bounds) if seconds <= bound), len(self.bounds))
        with self._lock:
            self._counts[at] += 1
            self.total += seconds

    def cumulative(self) -> list[int]:
        """How many took at most as long as each bound, and how many there are in all."""
        with self._lock:
            counts = self._counts.copy()
        return [sum(counts[: i + 1]) for i in range(len(counts))]
