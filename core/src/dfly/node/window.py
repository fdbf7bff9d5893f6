"""Which segments to ask the swarm for next, and when one of them has stalled. Arithmetic with a clock passed in.

Too little asked for leaves the links idle; too much has to wait in memory where the disk is slower than the links. So the
window, in bytes, follows rate × latency, as any pipeline's does. The latency is the shortest of late: the usual one grows with
the window itself, which would double without end. A stall is judged against how long segments take here, not a constant.
"""

import math

import attrs

from dfly.layout import MIB

#: Bytes that may be asked for and not be there yet: in any case, and at most. And at most so many segments.
NARROWEST, WIDEST, MOST = 128 * MIB, 1024 * MIB, 512
#: A segment without a byte for `Window.patience` seconds asks for chords, or for this many times the usual latency.
LATENCIES = 4.0
#: How much longer the shortest latency counts as with each segment.
AGING = 1.02
#: Seconds between two questions to a web seed that keeps on refusing, at most.
LONGEST_PAUSE = 8.0


@attrs.define(kw_only=True, eq=False)
class Ongoing:
    """One unfinished segment: when it was asked for, when its last byte came, what help it has had,
    how often the web seed refused it, and when that is to be asked again.

    `said` are the bytes by source of its torrent that have been reported so far, `counted` those of earlier torrents of it.
    `helped` is when it was last given another way to come, the web seed or a new torrent; 0 while it has had none.
    `had` are its pieces that were here before.
    """

    began: float
    progressed: float
    web_seed: bool
    help: int = 0
    refusals: int = 0
    again_at: float | None = None
    helped: float = 0.0
    said: dict[str, int] = attrs.field(factory=dict)
    counted: int = 0
    had: frozenset[int] = frozenset()

    def refused(self, now: float) -> None:
        """The web seed gave a bad answer, which ends it for libtorrent: ask again at once, then less and less often."""
        self.web_seed = False
        self.again_at = now + min(2.0 ** (self.refusals - 1), LONGEST_PAUSE) if self.refusals else now
        self.refusals += 1


@attrs.define
class Window:
    """How much may be unfinished at once. Times are in seconds of one monotonic clock, sizes in bytes."""

    patience: float = 3.0
    latency: float = 1.0
    _shortest: float = math.inf
    _gap: float = math.inf
    _size: float = 0.0
    _last: float | None = None

    @property
    def width(self) -> int:
        """Unfinished bytes to have."""
        if self._gap == math.inf:
            return NARROWEST
        return int(min(max(2 * self._shortest * self._size / max(self._gap, 1e-4), NARROWEST), WIDEST))

    def finished(self, began: float, now: float, size: int, *, helped: bool = False) -> None:
        """A segment of `size` bytes that was asked for at `began` is readable. One that had to be `helped` tells nothing of
        what is usual: or who always waits for help would wait longer and longer.
        """
        took = max(now - began, 0.001)
        if not helped:
            self.latency += 0.1 * (took - self.latency)
        # the path may change: what was measured long ago counts less and less
        self._shortest = min(took, self._shortest * AGING)
        self._size = self._size + 0.1 * (size - self._size) if self._size else size
        if self._last is not None:
            gap = max(now - self._last, 0.0)
            self._gap = gap if self._gap == math.inf else self._gap + 0.1 * (gap - self._gap)
        self._last = now

    def stalled(self, ongoing: Ongoing, now: float) -> bool:
        """Whether it is time for more help than the segment has had: each step waits as long again."""
        patience = max(self.patience, LATENCIES * self.latency) * (1 + ongoing.help)
        return now - ongoing.progressed > patience
