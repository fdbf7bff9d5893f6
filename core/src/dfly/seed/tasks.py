"""The tasks that nodes meet in. What the mirror does is told to all whose freight has the blob.

Everything here runs in the event loop; the mirror's threads come in through `_FromThreads`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.packs import Freight
from dfly.seed.carrying import Carrying, OpenPuller
from dfly.seed.mirroring import Mirror, MirrorListener
from dfly.seed.pulling import NoPuller
from dfly.seed.seals import Seals
from dfly.seed.task import Task
from dfly.seed.topology.scheduler import Scheduler
from dfly.seed.wanting import Unfit, Wanting, all_fit
from dfly.seed.watching.counts import Counts
from dfly.seed.watching.fetching import Fetching
from dfly.tracing import NO_TRACES, Traces
from dfly.values import Snapshot
from dfly.wire import Heartbeat, Message, Resolved

_log = structlog.get_logger(__name__)

#: Seconds for which a task without nodes is kept.
IDLE = 3600.0
#: Seconds that a task which nodes bring along waits for the first of them to say what it holds.
HELD_BACK = 3.0
#: Seconds that one waits for which a first node came although another seed peer is first in line: the others try that one for a
#: while before they follow.
FALLEN_BACK = 5.0


class Tasks:
    """All tasks, by id. `open_mirror` is called once, with the listener that brings the mirror's news here.

    `unfit` names the blobs of a freight that this seed peer does not serve, and why. `held_back` is in seconds.
    """

    def __init__(
        self,
        *,
        open_mirror: Callable[[MirrorListener], Mirror],
        seals: Seals,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
        open_puller: OpenPuller = NoPuller,
        unfit: Unfit = all_fit,
        held_back: float = HELD_BACK,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._seals = seals
        self._loop, self._clock = loop, clock
        self._held_back, self._traces = held_back, traces
        self._tasks: dict[str, Task] = {}
        self._of_blob: dict[str, dict[str, Task]] = {}
        self.waiting_for = ""
        self.counts = Counts()
        self.mirror = open_mirror(_FromThreads(self))
        self.wanting = Wanting(mirror=self.mirror, errand=self._errand, unfit=unfit)
        self.carrying = Carrying(
            mirror=self.mirror,
            open_puller=open_puller,
            seals=seals,
            sharing=self.sharing,
            due=self.wanting.due,
            errand=self._errand,
            from_thread=self.from_thread,
            clock=clock,
        )

    @property
    def pulled_bytes(self) -> int:
        """Bytes of content that nodes have sent here so far."""
        return self.carrying.pulled_bytes

    def get(self, task: str) -> Task | None:
        """A task that was opened, or None."""
        return self._tasks.get(task)

    def all(self) -> list[Task]:
        """All of them."""
        return list(self._tasks.values())

    async def open(
        self,
        task: str,
        snapshot: Snapshot,
        backend: Backend,
        *,
        carried: bool = False,
        fallback: bool = False,
        lazy: bool = False,
    ) -> Task:
        """The task of that id, made if need be; its freight is being fetched from now on, of a `lazy` one what nodes accept.

        `carried`: it is another seed peer's, and nodes hold parts of it, of which they are about to tell. `fallback`: it may be.
        """
        found = self._tasks.get(task)
        if found is None:
            # in threads: a large repository has a million rows, and the mirror asks its disk
            freight, answer, here = await asyncio.to_thread(self._prepare, task, snapshot)
            found = self._tasks.get(task) or self._begin(
                task,
                snapshot,
                freight,
                answer,
                here=here,
                wait=self._held_back if carried else FALLEN_BACK if fallback else None,
                lazy=lazy,
            )
        found.lazy, found.backend = found.lazy and lazy, backend
        found.last_used = self._clock()
        found.adopted |= carried
        found.broadcast.log.forgive()
        unfit = await self.wanting.begin(found, backend)
        if not found.begun.is_set():
            blobs = list(found.freight.sizes())
            states = await asyncio.to_thread(lambda: [self.mirror.state(blob) for blob in blobs])
            if not found.begun.is_set():
                # what happened since then has been told already, or will be: it makes no difference in which order
                found.begun.set()
                for blob, state in zip(blobs, states, strict=True):
                    found.begin_with(blob, state)
        for blob, error in unfit.items():
            found.blob_failed(blob, error)
        return found

    def _prepare(self, task: str, snapshot: Snapshot) -> tuple[Freight, bytes, int]:
        """What a new task is made of: its freight, the answer to all who ask, and how many blobs of it are here by now."""
        answer = Resolved(task=task, snapshot=snapshot).encode()
        own = b'"seal":"","ticket":""}'
        assert answer.endswith(own)
        freight = Freight.of(snapshot, task=task)
        return freight, answer.removesuffix(own), sum(blob in self.mirror.store for blob in freight.sizes())

    def _begin(
        self,
        task: str,
        snapshot: Snapshot,
        freight: Freight,
        answer: bytes,
        *,
        here: int,
        wait: float | None,
        lazy: bool,
    ) -> Task:
        blobs = frozenset(freight.sizes())
        self.counts.lookups.update(hit=here, miss=len(blobs) - here)
        found = Task(
            id=task,
            source=snapshot.source,
            public=snapshot.public,
            counts=self.counts,
            fetching=Fetching(self._traces),
            answer=answer,
            freight=freight,
            lazy=lazy,
            seals=self._seals,
            scheduler=Scheduler(task=task, blobs=blobs, clock=self._clock),
            held_back_until=None if wait is None else self._clock() + wait,
        )
        self._tasks[task] = found
        for blob in blobs:
            self._of_blob.setdefault(blob, {})[task] = found
        _log.info("task.opened", task=found.name, source=snapshot.source, blobs=len(blobs), held_back=wait)
        return found

    def wanted(self, blob: str) -> bool:
        """Whether it belongs to any task that is open."""
        return blob in self._of_blob

    def end(self, task: Task) -> None:
        """Close a task, with whoever is in it: they have to ask for it again."""
        for blob in task.scheduler.blobs:
            if len(self._of_blob[blob]) == 1:
                self.carrying.drop(blob)
        task.broadcast.close()
        self._forget(task)
        _log.info("task.ended", task=task.name, source=task.source)

    def sharing(self, blob: str) -> list[Task]:
        """All whose freight has `blob`."""
        return list(self._of_blob.get(blob, {}).values())

    def wait_for(self, what: str) -> None:
        """What the mirror waits for, "" when for nothing any more."""
        self.counts.waits += bool(what)
        self.waiting_for = what

    def news(self, what: str, blob: str, say: Callable[[Task], None]) -> None:
        """Something happened to a blob in the mirror: a "segment" is there, or it is "complete", "withdrawn", "failed"."""
        self.counts.blobs[what] += 1
        for task in self.sharing(blob):
            say(task)

    def tick(self) -> None:
        """Let time pass in every ring, and forget tasks that nobody has used for long."""
        now = self._clock()
        for task in self.all():
            task.post(task.scheduler.tick())
            self.carrying.tick(task, now)
            if len(task.broadcast):
                task.last_used = now
            elif now - task.last_used > IDLE:
                self._forget(task)

    def flush(self) -> None:
        """Let every stream write what is new."""
        for task in self._tasks.values():
            task.broadcast.flush()

    def tell_all(self, message: Message) -> None:
        """One line to everybody who listens to anything."""
        for task in self._tasks.values():
            task.broadcast.tell_all(message)

    def heartbeat(self) -> None:
        """A sign of life, with what is being waited for."""
        self.tell_all(Heartbeat(waiting_for=self.waiting_for))

    def close_streams(self) -> None:
        """End every stream."""
        for task in self._tasks.values():
            task.broadcast.close()

    def from_thread(self, work: Callable[..., Any], *args: Any) -> None:
        """Run in the event loop what a thread has to say."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *args)

    def withdrawn(self, blob: str, attempt: int) -> None:
        """The mirror takes back what it published of a blob."""
        self.carrying.drop(blob)
        self.news("withdrawn", blob, lambda task: task.blob_withdrawn(blob, attempt))

    def _errand(self, work: Callable[..., None], *args: Any) -> None:
        # the mirror may be telling something, or at its disk: the loop does not wait for that
        self._loop.run_in_executor(None, work, *args)

    def _forget(self, task: Task) -> None:
        task.fetching.close()
        del self._tasks[task.id]
        for blob in task.scheduler.blobs:
            del self._of_blob[blob][task.id]
            if not self._of_blob[blob]:
                del self._of_blob[blob]


@attrs.frozen(eq=False)
class _FromThreads:
    """Hears the mirror in its threads, and passes it on in the event loop, in order."""

    _tasks: Tasks

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        self._tell("segment", blob, lambda task: task.segment_published(blob, index, size, hashes, attempt))

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        self._tell("complete", blob, lambda task: task.blob_complete(blob, size, sha256, attempt))

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        _log.warning("blob.withdrawn", blob=blob, attempt=attempt)
        self._tasks.from_thread(self._tasks.withdrawn, blob, attempt)

    def blob_failed(self, blob: str, error: DflyError) -> None:
        _log.error("blob.failed", blob=blob, error=type(error).__name__, message=error.message)
        self._tasks.from_thread(self._tasks.counts.failed, error)
        self._tell("failed", blob, lambda task: task.blob_failed(blob, error))

    def waiting_for(self, what: str) -> None:
        self._tasks.from_thread(self._tasks.wait_for, what)

    def _tell(self, what: str, blob: str, say: Callable[[Task], None]) -> None:
        self._tasks.from_thread(self._tasks.news, what, blob, say)
