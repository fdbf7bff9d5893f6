"""What nodes carry over from an earlier seed peer, so that this one need not fetch it.

    nodes say what they hold ──▶ adopted: nobody fetches it ──▶ pulled from them, so that the next ones can have it from here
                                      ╲ nobody holds it any more ──▶ reclaimed: fetched after all

Everything here runs in the event loop, but for what it asks of the mirror.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from dfly.packs import Freight
from dfly.seed.mirroring import Mirror
from dfly.seed.pulling import Pulls
from dfly.seed.seals import Seals
from dfly.seed.task import Task
from dfly.wire import Have, Segment

_log = structlog.get_logger(__name__)

#: Seconds that a held-back task waits for other nodes, once the first has said what it holds.
AFTER_FIRST = 1.0
#: Seconds without a word from any node after which a task that nodes have brought along is fetched no further.
ABANDONED = 1.5
#: Seconds for which nobody holds an adopted segment before it is fetched.
ORPHANED = 1.0
#: Addresses that one segment is pulled from at once.
_MOST_HOLDERS = 4

OpenPuller = Callable[[Mirror, Callable[[str, int], None]], Pulls]


class Carrying:
    """For all tasks. `sharing(blob)` are those whose freight has it, `due(task)` is what is to be fetched; `clock` is in seconds.

    `errand(work, *args)` does in a thread what may have to wait for the mirror, `from_thread(work, *args)` in the event loop
    what a thread has to say.
    """

    def __init__(
        self,
        *,
        mirror: Mirror,
        open_puller: OpenPuller,
        seals: Seals,
        sharing: Callable[[str], Collection[Task]],
        due: Callable[[Task], Freight],
        errand: Callable[..., None],
        from_thread: Callable[..., None],
        clock: Callable[[], float],
    ) -> None:
        self._mirror, self._seals, self._sharing, self._due = mirror, seals, sharing, due
        self._errand, self._clock = errand, clock
        self._puller = open_puller(mirror, lambda *key: from_thread(self._reclaim, *key))

    @property
    def pulled_bytes(self) -> int:
        """Bytes of content that nodes have sent here so far."""
        return self._puller.pulled_bytes

    async def have(self, task: Task, have: Have) -> int:
        """A node tells what it holds of an earlier seed peer's; how much of it was believed."""
        await task.begun.wait()
        believed = await self.adopt(task, have.segments, node=have.node)
        if task.held_back_until is not None:
            task.held_back_until = min(task.held_back_until, self._clock() + AFTER_FIRST)
        return believed

    async def adopt(self, task: Task, segments: Sequence[Segment], *, node: str = "") -> int:
        """Take over what an earlier seed peer published of this task, as far as it is proved and of use."""
        proved = await asyncio.to_thread(
            lambda: [s for s in segments if s.blob in task.scheduler.blobs and self._seals.believes(s)]
        )
        if task.lazy and proved and task.backend is not None:
            # who carries a blob over takes part in it, and what nobody wants could not be taken over
            task.accepted.update(s.blob for s in proved)
            await asyncio.to_thread(self._mirror.want, self._due(task), task.backend, task=task.id, held_back=True)
        adopt = self._mirror.adopt
        found = await asyncio.to_thread(
            lambda: [s for s in proved if adopt(s.blob, s.index, s.size, s.hashes, s.attempt)]
        )
        if task.lazy and task.held_back_until is None and not task.abandoned:
            self._errand(self._mirror.let_go, self._due(task))
        task.carry(node, found)
        if len(found) < len(segments):
            _log.info("have.not_believed", task=task.name, node=node, segments=len(segments) - len(found))
        return len(found)

    def tick(self, task: Task, now: float) -> None:
        """Let time pass: pull what can be had, fetch what can not, or nothing more where all nodes have left."""
        self._mind_carried(task, now)
        self._mind_abandoned(task, now)

    def drop(self, blob: str) -> None:
        """A blob was withdrawn, or nobody wants it any more: pull no more of it."""
        self._puller.drop(blob)

    def _mind_carried(self, task: Task, now: float) -> None:
        if task.held_back_until is None:
            self._pull_carried(task)
        elif now >= task.held_back_until:
            # the origin comes first: what is pulled before it is asked would keep it from sending
            task.held_back_until = None
            self._errand(self._mirror.let_go, task.due)
        # what nobody lacks need not be fetched: the last nodes are about to leave
        if task.held_back_until is None and (task.scheduler.undone or task.wanted_here):
            for carried in task.orphans(now, patience=ORPHANED):
                blob, index = carried.segment.blob, carried.segment.index
                if not any(t.scheduler.held(blob) >> index & 1 for t in self._sharing(blob)):
                    _log.info("segment.orphaned", task=task.name, blob=blob, segment=index)
                    self._reclaim(blob, index)

    def _pull_carried(self, task: Task) -> None:
        for carried in task.carried():
            if self._puller.room <= 0:
                break
            segment = carried.segment
            # there may be thousands, and who holds one is a question to all nodes
            if carried.reclaimed or not task.scheduler.held(segment.blob) >> segment.index & 1:
                continue
            holders = task.scheduler.holders(segment.blob, segment.index, most=_MOST_HOLDERS)
            if holders:
                self._puller.pull(segment, holders)

    def _mind_abandoned(self, task: Task, now: float) -> None:
        """Stop fetching what nodes have brought here and then taken to another seed peer, which fetches it now."""
        if not task.adopted or task.wanted_here or task.held_back_until is not None:
            return
        # an open stream is no sign: a node that is stopped has one too
        heard = task.scheduler.heard_within(ABANDONED)
        if heard and task.abandoned:
            task.abandoned, task.held_back_until = False, now + AFTER_FIRST
        elif not heard and not task.abandoned:
            task.abandoned = True
            _log.info("task.abandoned", task=task.name)
            self._errand(self._mirror.hold_back, task.freight)

    def _reclaim(self, blob: str, index: int) -> None:
        for task in self._sharing(blob):
            task.reclaim(blob, index)
        self._errand(self._mirror.reclaim, blob, index)
