"""Which segments to ask the swarm for next, and when one of them has stalled. Arithmetic with a clock passed in.

Too few unfinished segments leave the links idle, too many park blocks on slow peers: the window follows
rate × latency, as any pipeline does. A stall is judged against how long segments take here, not against a constant.
"""

import attrs

#: Where the window starts, and its bounds.
NARROWEST, WIDEST = 32, 512
#: A segment without a byte for `Window.patience` seconds asks for chords, or for this many times the usual latency.
LATENCIES = 4.0
#: Seconds between two questions to a web seed that keeps on refusing, at most.
LONGEST_PAUSE = 8.0


@attrs.define(kw_only=True, eq=False)
class Ongoing:
    """One unfinished segment: when it was asked for, when its last byte came, what help it has had,
    how often the web seed refused it, and when that is to be asked again.

    `said` are the bytes by source that have been reported so far.
    """

    began: float
    progressed: float
    web_seed: bool
    help: int = 0
    refusals: int = 0
    again_at: float | None = None
    said: dict[str, int] = attrs.field(factory=dict)

    def refused(self, now: float) -> None:
        """The web seed gave a bad answer, which ends it for libtorrent: ask again at once, then less and less often."""
        self.web_seed = False
        self.again_at = now + min(2.0 ** (self.refusals - 1), LONGEST_PAUSE) if self.refusals else now
        self.refusals += 1


@attrs.define
class Window:
    """How many segments may be unfinished at once. Times are in seconds of one monotonic clock."""

    patience: float = 3.0
    latency: float = 1.0
    _rate: float = 0.0
    _last: float | None = None

    @property
    def width(self) -> int:
        """Unfinished segments to have."""
        return int(min(max(2 * self._rate * self.latency, NARROWEST), WIDEST))

    def finished(self, began: float, now: float) -> None:
        """A segment that was asked for at `began` is readable."""
        self.latency += 0.1 * (max(now - began, 0.001) - self.latency)
        if self._last is not None and now > self._last:
            self._rate += 0.1 * (min(1 / (now - self._last), 10_000.0) - self._rate)
        self._last = now

    def stalled(self, ongoing: Ongoing, now: float) -> bool:
        """Whether it is time for more help than the segment has had: each step waits as long again."""
        patience = max(self.patience, LATENCIES * self.latency) * (1 + ongoing.help)
        return now - ongoing.progressed > patience
