"""How much of the line is left for what can wait, while origins are being asked for what everybody waits for.

What nodes hold is pulled at the rate of many links. Where that shares the seed peer's own link with an origin, it takes nearly
all of it: half a blob pulled beside the other half's fetch held the fetch up until it was over. How wide the line is nobody
says, so it is found out: a little more is taken at each look, and less by what the origin has lost as soon as it gets slower.
"""

import time
from collections.abc import Callable

import attrs

#: Seconds between two looks at the origin's rate: what a burst takes from it in one it has caught up with in the next.
STEP = 2.0
#: By how much of the origin's rate the share grows with each look, before it was too much for the first time, and after.
_GROWTH, _CAREFUL = 0.3, 0.05
#: Below how much of its best an origin counts as slower, and how much of its best is forgotten with each look.
_SLOWER, _FORGOTTEN = 0.9, 0.02


@attrs.define(kw_only=True)
class Leftover:
    """Bytes, seconds, and `clock`. Not thread-safe. Without an origin that is asked everything may be taken."""

    clock: Callable[[], float] = time.monotonic
    _asking: bool = False
    _since: float = 0.0
    _arrived: int = 0
    _best: float = 0.0
    _share: float = 0.0
    _growth: float = _GROWTH
    #: What was taken in advance, as of the last look: at most 0 bytes.
    _balance: float = 0.0
    #: What was taken since the last look, and at once.
    _taken: int = 0
    _at_once: int = 0
    #: Whether the origin sent nothing since the last look but one: then one more loses it nothing.
    _spare: bool = False

    @property
    def share(self) -> float | None:
        """Bytes per second that may be taken; None: all that comes."""
        return self._share if self._asking else None

    def look(self, *, asking: bool, arrived: int) -> None:
        """Whether origins are being asked now, and how many bytes they have sent in all. To be called often."""
        now = self.clock()
        if not (asking and self._asking):
            self._asking, self._since, self._arrived = asking, now, arrived
            self._best = self._share = self._balance = 0.0
            self._taken = 0
            self._growth, self._spare = _GROWTH, False
            return
        elapsed = now - self._since
        if elapsed < STEP:
            return
        rate = (arrived - self._arrived) / elapsed
        self._since, self._arrived = now, arrived
        self._balance = min(0.0, self._balance + self._share * elapsed)
        took, self._taken = self._taken, 0
        # a share that nobody uses, because holders are slow, is not owed: it would be taken all at once when they are not; who
        # asks a few times a second uses half of it at least
        self._share = min(self._share, (2 * took + self._at_once) / elapsed)
        self._judge(rate, alone=not took)

    def take(self, size: int) -> bool:
        """Whether `size` bytes may be asked for now; if so they count as taken."""
        if not self._asking:
            return True
        earned = self._share * (self.clock() - self._since)
        paid = self._share > 0 and self._balance + earned >= 0
        if not paid and not self._spare:
            return False
        self._spare = False
        self._balance = -size - earned
        self._taken, self._at_once = self._taken + size, size
        return True

    def _judge(self, rate: float, *, alone: bool) -> None:
        self._spare = not rate
        if rate and rate < _SLOWER * self._best:
            self._share = max(0.0, self._share - (self._best - rate))
            self._growth = _CAREFUL
        else:
            self._share += self._growth * rate
        # while something is taken beside it, that an origin is slow is no sign that it cannot be faster
        self._best = max(rate, self._best * (1 - _FORGOTTEN) if alone else self._best)
