"""What a node does at each word of its seed peer, and when there is another one.

whom to deal with    hello, ring, moved, alone, the stream lost
what can be had      segment, blob, error; what is to be brought in: entry
what others need     needs, released, doubted, outsider
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dfly import wire
from dfly.errors import AccessDenied
from dfly.events import Listener, Warned
from dfly.node.circle import Circle
from dfly.node.flow import Flow
from dfly.node.helping import Hearing
from dfly.node.keeping import Keeping
from dfly.node.listening import Alone, Moved, StreamLost
from dfly.node.outsiders import Outsiders
from dfly.node.reporting import Reports
from dfly.node.revival import revive
from dfly.node.segments import Segments
from dfly.node.wanting import Wanting
from dfly.node.workers import Workers
from dfly.swarm import SegmentKey, Session


@attrs.define(kw_only=True, eq=False)
class Heeding:
    """Acts on `flows` (by blob id). `released`: nobody needs this node any more."""

    flows: Mapping[str, Flow]
    swarm: Session
    circle: Circle
    segments: Segments
    keeping: Keeping
    wanting: Wanting
    outsiders: Outsiders
    hearing: Hearing
    reports: Reports
    workers: Workers
    emit: Listener
    released: bool = False
    _handlers: dict[type, Callable[[Any], None]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handlers = {
            wire.Hello: self._on_hello,
            wire.Ring: self._on_ring,
            wire.Segment: self._on_segment,
            wire.Blob: self._on_blob,
            wire.EntryDuty: self._on_duty,
            wire.Failed: self._on_failed,
            wire.Needs: self.keeping.told,
            wire.Released: self._on_released,
            wire.Doubted: self._on_doubted,
            wire.Outsider: self._on_outsider,
            wire.Heartbeat: self._on_heartbeat,
            StreamLost: self._on_stream_lost,
            Moved: self._on_moved,
            Alone: self._on_alone,
        }

    def heed(self, news: Any) -> None:
        """Act on what came from the seed peer, or of its stream.

        Raises AccessDenied, WireError, and what the seed peer says is the end.
        """
        if isinstance(news, wire.Message):
            self.hearing.word(time.monotonic())
        handler = self._handlers.get(type(news))
        if handler is not None:
            handler(news)

    # Whom to deal with

    def _on_hello(self, hello: wire.Hello) -> None:
        if self.hearing.away:
            self.keeping.serve_all()
        self.hearing.away = self.hearing.alone = False
        self.reports.retell((flow.blob, index) for flow in self.flows.values() for index in flow.held)
        self.circle.greeted(hello)

    def _on_ring(self, ring: wire.Ring) -> None:
        new = self.circle.joined(ring)
        for flow in self.flows.values():
            for index in flow.ongoing:
                for peer in new:
                    self.swarm.add_peer(SegmentKey(flow.blob, index), peer)

    def _on_heartbeat(self, heartbeat: wire.Heartbeat) -> None:
        self.hearing.waiting_for = heartbeat.waiting_for

    def _on_stream_lost(self, lost: StreamLost) -> None:
        if isinstance(lost.error, AccessDenied):
            raise lost.error
        self.hearing.away = True

    def _on_moved(self, moved: Moved) -> None:
        """Another seed peer, or the same with no memory: what it once published is carried over to it."""
        before, self.circle.seat = self.circle.seat.seed_peer.url, moved.seat
        if not moved.restarted:
            here = moved.seat.seed_peer.url
            why = f"the seed peer {here} is back" if moved.home else f"the seed peer {before} is gone"
            self.emit(Warned(message=f"{why}; going on with {here}"))
        for flow in self.flows.values():
            if not flow.hashes:
                flow.attempt = 1  # a seed peer without memory counts from 1, and nothing here says otherwise
        self.keeping.serve_all()  # it may have to take them from here itself
        self.segments.carried = {SegmentKey(flow.blob, index) for flow in self.flows.values() for index in flow.hashes}
        records = [record for flow in self.flows.values() for record in flow.records(held_only=True)]
        self.segments.carry_over(records)

    def _on_alone(self, _: Alone) -> None:
        self.hearing.alone = True

    # What can be had

    def _concerned(self, told: wire.Segment | wire.Blob) -> Flow | None:
        """The blob that is told of, where this is news of something that is still on its way."""
        flow = self.flows.get(told.blob)
        if flow is None:
            self.wanting.keep_for_later(told)
        return None if flow is None or told.attempt < flow.attempt or flow.arrival.settled else flow

    def _on_segment(self, segment: wire.Segment) -> None:
        flow = self._concerned(segment)
        if flow is None:
            return
        if segment.attempt > flow.attempt:
            self.segments.restart(flow, segment.attempt)
        self.segments.carried.discard(SegmentKey(segment.blob, segment.index))
        if flow.announce(segment.index, segment.size, segment.hashes, segment.mac):
            self.segments.serve(flow, segment.index)
            self.segments.settle_if_whole(flow)

    def _on_blob(self, blob: wire.Blob) -> None:
        flow = self._concerned(blob)
        if flow is None:
            return
        flow.doubted = False
        if blob.state == "withdrawn":
            self.emit(Warned(message=f"{flow.arrival.label}: the hub sent wrong bytes; the seed peer fetches it again"))
            self.segments.restart(flow, blob.attempt + 1)
            return
        if blob.attempt > flow.attempt:
            self.segments.restart(flow, blob.attempt)
        flow.sha256, flow.size = blob.sha256, blob.size
        self.segments.ask_for_hashes(flow)
        self.segments.settle_if_whole(flow)

    def _on_duty(self, duty: wire.EntryDuty) -> None:
        flow = self.flows.get(duty.blob)
        if flow is not None and flow.oblige(duty.index) and duty.index in flow.ongoing:
            self.segments.use_web_seed(flow, duty.index)

    def _on_failed(self, failed: wire.Failed) -> None:
        flow = self.flows.get(failed.blob)
        if not failed.blob or (flow is not None and not flow.arrival.settled):
            raise revive(failed.error, failed.message, failed.hint)

    # What others need

    def _on_released(self, _: wire.Released) -> None:
        self.released = True

    def _on_doubted(self, doubted: wire.Doubted) -> None:
        """Somebody got wrong bytes of a segment from here: look at what the disk gives."""
        flow = self.flows.get(doubted.blob)
        if flow is None or doubted.index not in flow.held or flow.layout is None:
            return
        whole, attempt = len(flow.layout.segment_pieces(doubted.index)), flow.attempt

        def looked(right: set[int]) -> None:
            if len(right) < whole and flow.attempt == attempt and doubted.index in flow.held:
                self.segments.fetch_again(flow, {doubted.index: right})

        self.workers.hash(looked, flow.right_pieces, doubted.index)

    def _on_outsider(self, outsider: wire.Outsider) -> None:
        """Somebody with a stock client wants a blob, which is theirs to have if all of it is here and was found right."""
        flow = self.flows.get(outsider.blob)
        if flow is None or not flow.whole or not flow.arrival.settled or flow.damages or flow.layout is None:
            return
        hashes = b"".join(flow.hashes[index] for index in range(flow.layout.segments))
        if self.outsiders.let_in(outsider, path=flow.gathered().partial.path, layout=flow.layout, hashes=hashes):
            self.reports.open(outsider.number)
