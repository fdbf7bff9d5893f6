"""Sees whether a task's segments get on, and helps those that do not: chords, the web seed, a new torrent, then a clear error.

What stalls is said with its cause, to the progress line and the log. A stall is judged by what is usual here (`window`).
"""

import time
from collections.abc import Mapping

import attrs

from dfly import wire
from dfly.errors import OutOfReach, SwarmError
from dfly.events import Listener, Stalled
from dfly.node.circle import Circle
from dfly.node.flow import Flow
from dfly.node.reporting import Reports
from dfly.node.segments import Segments
from dfly.node.trust import Trust
from dfly.node.window import Window
from dfly.node.workers import Workers
from dfly.swarm import SegmentKey, Session

#: A segment that has stood still for so long (seconds) is watched for peers that were asked and are silent.
WATCHED = 0.5
#: Seconds without a word from the seed peer, which gives a sign of life more often, after which our own link was cut.
DEAF = 8.0
#: Segments that come from the web seed at once before a stalled one may, too.
MOST_HELPED = 8
#: The step at which a segment that neither helped is begun anew; once.
ANEW = 4


@attrs.define(kw_only=True, eq=False)
class Hearing:
    """What is heard of the seed peer. Times are in seconds of the monotonic clock.

    `away`: its stream has ended; `alone`: nobody took its place. `waiting_for` is what it said it waits for itself. `heard` is
    when its last word came, `since` the time from which it has been heard without a gap.
    """

    away: bool = False
    alone: bool = False
    waiting_for: str = ""
    heard: float = attrs.field(factory=time.monotonic)
    since: float = attrs.field(factory=time.monotonic)

    def word(self, now: float) -> None:
        """A message came."""
        if now - self.heard > DEAF:
            self.since = now
        self.heard = now


@attrs.define(kw_only=True, eq=False)
class Help:
    """Looks at `flows` (by blob id). `patience` is how many seconds may pass without a byte before it is an error."""

    flows: Mapping[str, Flow]
    segments: Segments
    swarm: Session
    circle: Circle
    trust: Trust
    reports: Reports
    workers: Workers
    window: Window
    hearing: Hearing
    emit: Listener
    patience: float
    _said: float = attrs.field(factory=time.monotonic)

    def look(self, now: float) -> None:
        """Count what has come, see who stands still, help, complain. Raises SwarmError where nothing is left to try."""
        stalled: list[tuple[Flow, int]] = []
        quiet_ones: list[SegmentKey] = []
        everything: list[SegmentKey] = []
        for flow in self.flows.values():
            for index, ongoing in flow.ongoing.items():
                self.segments.count(flow, index, now)
                everything.append(SegmentKey(flow.blob, index))
                if now - ongoing.progressed > WATCHED:
                    quiet_ones.append(everything[-1])
                if self.window.stalled(ongoing, now):
                    ongoing.help += 1
                    stalled.append((flow, index))
                    if ongoing.help == ANEW:
                        self.segments.begin_anew(flow, index)
            self.segments.ask_for_hashes(flow)
        self._help(now)
        self.trust.look(quiet_ones, everything, now, progressed=self.segments.progressed)
        if stalled:
            self._ask_for_chords(stalled)
        self._complain(now, now - self.segments.progressed)

    def _help(self, now: float) -> None:
        """Give the web seed to segments for which chords were no help, and again to those that it has refused.

        Only to a few at once: if it is our own disk that stands still, all that comes has to wait in memory.
        """
        first = 2 if self.circle.ring.neighbours else 1
        ongoing = [(flow, index, one) for flow in self.flows.values() for index, one in flow.ongoing.items()]
        room = MOST_HELPED - sum(one.web_seed for _, _, one in ongoing)
        for flow, index, one in ongoing:
            if one.again_at is not None:
                if now >= one.again_at:
                    self.segments.use_web_seed(flow, index)
            elif one.help >= first and not one.web_seed and room > 0:
                self.segments.use_web_seed(flow, index)
                room -= 1

    def _complain(self, now: float, quiet: float) -> None:
        """Say that nothing has come for `quiet` seconds, and in the end raise SwarmError."""
        if quiet > self.patience:
            self._give_up_where_nobody_sends(now)
        if self.hearing.alone and quiet > self.patience / 3:
            raise OutOfReach(
                f"no seed peer answers, and no node has sent anything for {quiet:.0f} s",
                hint="what has arrived is kept; run the same command again to go on",
            )
        if min(quiet, now - self._said) > self.patience * 2 / 3:
            self._said = now
            cause = (
                "the seed peer is away" if self.hearing.away else self.hearing.waiting_for or "no peer sends anything"
            )
            waiting = next((flow for flow in self.flows.values() if not flow.arrival.settled), None)
            if waiting is not None:
                self.emit(Stalled(path=waiting.arrival.label, seconds=round(quiet, 1), cause=cause))

    def _give_up_where_nobody_sends(self, now: float) -> None:
        """Raise SwarmError where a segment that the seed peer has published does not come from it either, given time for that.

        Not after a time without a network: connections take a while to find out that it is back.
        """
        if now - self.hearing.heard > DEAF or now - self.hearing.since <= self.patience:
            return
        for flow in self.flows.values():
            for index, ongoing in flow.ongoing.items():
                tried = max(ongoing.progressed, ongoing.helped)
                if ongoing.help > 1 and ongoing.helped and now - tried > self.patience:
                    url = self.circle.seat.seed_peer.url
                    raise SwarmError(
                        f"{flow.arrival.label}: neither a node nor the seed peer {url} sends segment {index}",
                        hint="what has arrived is kept; run the same command again to go on",
                    )

    def _ask_for_chords(self, stalled: list[tuple[Flow, int]]) -> None:
        def got(advice: wire.Advice) -> None:
            self.circle.widened(advice.chords)
            for flow, index in stalled:
                if index not in flow.ongoing:
                    continue
                if not advice.chords:
                    flow.ongoing[index].help = max(flow.ongoing[index].help, 2)
                for peer in advice.chords:
                    self.swarm.add_peer(SegmentKey(flow.blob, index), peer)

        now = time.monotonic()
        told = self.reports.make(now, stalled=tuple((flow.blob, index) for flow, index in stalled[:100]))
        self.workers.talk(got, self.circle.seat.seed_peer.report, self.circle.seat.task, told)
