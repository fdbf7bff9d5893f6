"""The tasks that nodes meet in: each has its ring, its event stream and its freight. What the mirror does is told to all whose
freight has the blob.

Everything here runs in the event loop; the mirror's threads come in through `FromThreads`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.layout import Layout
from dfly.packs import Freight
from dfly.seed.keys import Keys
from dfly.seed.mirroring import BlobState, Mirror, MirrorListener
from dfly.seed.scheduler import Outbox, Scheduler
from dfly.seed.stream import Broadcast, Listener
from dfly.values import Snapshot
from dfly.wire import Address, Advice, Blob, Failed, Heartbeat, Message, Report, Resolved, Segment

_log = structlog.get_logger(__name__)

#: Seconds for which a task without nodes is kept.
IDLE = 3600.0
#: What one report may ask at most.
_MOST_STALLS, _MOST_ACCUSED = 4, 8


@attrs.define(kw_only=True, eq=False)
class _Progress:
    """What was told of a blob: the current attempt, its published segments, whether it is complete."""

    attempt: int = 1
    segments: set[int] = attrs.field(factory=set)
    complete: bool = False


@attrs.define(kw_only=True, eq=False)
class Task:
    """One selection of one snapshot. `answer` is the Resolved message, encoded once."""

    id: str
    source: str
    answer: bytes = attrs.field(repr=False)
    freight: Freight = attrs.field(repr=False)
    scheduler: Scheduler
    keys: Keys
    broadcast: Broadcast = attrs.field(factory=Broadcast)
    last_used: float = 0.0
    #: Whether what the mirror had before has been told.
    begun: bool = False
    _blobs: dict[str, _Progress] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._blobs = {blob: _Progress() for blob in self.scheduler.blobs}

    @property
    def name(self) -> str:
        """What may be shown and logged: the id without its seal, which opens the stream of a private source."""
        return self.id.partition("-")[0]

    def begin_with(self, blob: str, state: BlobState) -> None:
        """Tell what was there before the task was. Of a complete blob one line says it all."""
        if state.size is None:
            return
        if state.complete:
            self.blob_complete(blob, state.size, state.sha256, state.attempt)
            return
        for index, hashes in sorted(state.segments.items()):
            self.segment_published(blob, index, state.size, hashes, state.attempt)

    def drop(self, listener: Listener) -> None:
        """An event stream has ended."""
        if self.broadcast.drop(listener):
            self.post(self.scheduler.leave(listener.node))

    def report(self, report: Report) -> Advice:
        """What a node tells, and what it is told to try."""
        self.post(self.scheduler.report(report.node, report))
        chords: dict[Address, None] = {}
        for blob, index in report.stalled[:_MOST_STALLS]:
            addresses, outbox = self.scheduler.chords(report.node, blob, index)
            chords.update(dict.fromkeys(addresses))
            self.post(outbox)
        self._judge(report)
        return Advice(chords=tuple(chords))

    def _judge(self, report: Report) -> None:
        """Act on what a node says against others."""
        scheduler, told = self.scheduler, {"task": self.name, "node": report.node}
        for address in report.bad_peers[:_MOST_ACCUSED]:
            before = scheduler.is_expelled(address)
            outbox = scheduler.accuse(report.node, address)
            if outbox:
                _log.warning("peer.accused", **told, address=_shown(address))
            if scheduler.is_expelled(address) and not before:
                _log.warning("peer.expelled", **told, address=_shown(address))
            self.post(outbox)
        for address in report.silent_peers[:_MOST_ACCUSED]:
            outbox = scheduler.silent(report.node, address)
            if outbox:
                _log.warning("peer.silent", **told, address=_shown(address), benched=scheduler.is_benched(address))
            self.post(outbox)
        for blob, index, host, port in report.doubts[:_MOST_ACCUSED]:
            outbox = scheduler.doubt(report.node, (host, port), blob, index)
            if outbox:
                _log.warning("segment.doubted", **told, address=_shown((host, port)), blob=blob, segment=index)
            self.post(outbox)

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        """Tell of a segment, once."""
        known = self._of_attempt(blob, attempt)
        if known is None or known.complete or index in known.segments:
            return
        mac = self.keys.seal("segment", blob, f"{index} {size}", hashes).hex() if self.keys.shared else ""
        self._enter(known, blob, index, size)
        line = Segment(blob=blob, index=index, size=size, hashes=hashes, attempt=attempt, mac=mac)
        self.broadcast.log.append(line)

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        """Tell that a blob is complete, once; its segments may not have been told one by one."""
        known = self._of_attempt(blob, attempt)
        if known is None or known.complete:
            return
        known.complete = True
        for index in range(Layout(size).segments):
            if index not in known.segments:
                self._enter(known, blob, index, size)
        self.broadcast.log.append(Blob(blob=blob, state="complete", size=size, attempt=attempt, sha256=sha256))

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        """Tell everybody to forget what `attempt` published."""
        if attempt >= self._blobs[blob].attempt:
            self._blobs[blob] = _Progress(attempt=attempt + 1)
            self.post(self.scheduler.retire(blob))
            self.broadcast.log.append(Blob(blob=blob, state="withdrawn", attempt=attempt))

    def blob_failed(self, blob: str, error: DflyError) -> None:
        """Tell that a blob cannot be had."""
        line = Failed(blob=blob, error=type(error).__name__, message=error.message, hint=error.hint)
        self.broadcast.log.append(line)

    def post(self, outbox: Outbox) -> None:
        """Put messages into the streams of those concerned."""
        for node, messages in outbox.items():
            self.broadcast.tell(node, messages)

    def _of_attempt(self, blob: str, attempt: int) -> _Progress | None:
        """What was told of this attempt; None for one that is over. A new one voids the last, whether or not that was said."""
        known = self._blobs[blob]
        if attempt > known.attempt and (known.segments or known.complete):
            self.blob_withdrawn(blob, attempt - 1)
            known = self._blobs[blob]
        known.attempt = max(known.attempt, attempt)
        return known if attempt == known.attempt else None

    def _enter(self, known: _Progress, blob: str, index: int, size: int) -> None:
        known.segments.add(index)
        start, stop = Layout(size).segment_range(index)
        self.post(self.scheduler.publish(blob, index, stop - start))


class Tasks:
    """All tasks, by id. `open_mirror` is called once, with the listener that brings the mirror's news here."""

    def __init__(
        self,
        *,
        open_mirror: Callable[[MirrorListener], Mirror],
        keys: Keys,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._tasks: dict[str, Task] = {}
        self._of_blob: dict[str, dict[str, Task]] = {}
        self.waiting_for = ""
        self.mirror = open_mirror(_FromThreads(loop, self))

    def get(self, task: str) -> Task | None:
        """A task that was opened, or None."""
        return self._tasks.get(task)

    def all(self) -> list[Task]:
        """All of them."""
        return list(self._tasks.values())

    async def open(self, task: str, snapshot: Snapshot, backend: Backend) -> Task:
        """The task of that id, made if need be; its freight is being fetched from now on."""
        found = self._tasks.get(task)
        if found is None:
            # in threads: a large repository has a million rows, and the mirror asks its disk
            freight, answer = await asyncio.to_thread(_prepare, task, snapshot)
            found = self._tasks.get(task) or self._begin(task, snapshot, freight, answer)
        found.last_used = self._clock()
        found.broadcast.log.forgive()
        await asyncio.to_thread(self.mirror.want, found.freight, backend, task=task)
        if not found.begun:
            blobs = list(found.freight.sizes())
            states = await asyncio.to_thread(lambda: [self.mirror.state(blob) for blob in blobs])
            # what happened since then has been told already, or will be: it makes no difference in which order
            found.begun = True
            for blob, state in zip(blobs, states, strict=True):
                found.begin_with(blob, state)
        return found

    def _begin(self, task: str, snapshot: Snapshot, freight: Freight, answer: bytes) -> Task:
        blobs = frozenset(freight.sizes())
        found = Task(
            id=task,
            source=snapshot.source,
            answer=answer,
            freight=freight,
            keys=self._keys,
            scheduler=Scheduler(blobs=blobs, clock=self._clock),
        )
        self._tasks[task] = found
        for blob in blobs:
            self._of_blob.setdefault(blob, {})[task] = found
        _log.info("task.opened", task=found.name, source=snapshot.source, blobs=len(blobs))
        return found

    def tell(self, blob: str, say: Callable[[Task], None]) -> None:
        """Let every task whose freight has `blob` hear of it."""
        for task in list(self._of_blob.get(blob, {}).values()):
            say(task)

    def tick(self) -> None:
        """Let time pass in every ring, and forget tasks that nobody has used for long."""
        now = self._clock()
        for task in self.all():
            task.post(task.scheduler.tick())
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

    def _forget(self, task: Task) -> None:
        del self._tasks[task.id]
        for blob in task.scheduler.blobs:
            del self._of_blob[blob][task.id]
            if not self._of_blob[blob]:
                del self._of_blob[blob]


@attrs.frozen(eq=False)
class _FromThreads:
    """Hears the mirror in its threads, and passes it on in the event loop, in order."""

    _loop: asyncio.AbstractEventLoop
    _tasks: Tasks

    def segment_published(self, blob: str, index: int, size: int, hashes: bytes, attempt: int) -> None:
        self._tell(blob, lambda task: task.segment_published(blob, index, size, hashes, attempt))

    def blob_complete(self, blob: str, size: int, sha256: str, attempt: int) -> None:
        self._tell(blob, lambda task: task.blob_complete(blob, size, sha256, attempt))

    def blob_withdrawn(self, blob: str, attempt: int) -> None:
        _log.warning("blob.withdrawn", blob=blob, attempt=attempt)
        self._tell(blob, lambda task: task.blob_withdrawn(blob, attempt))

    def blob_failed(self, blob: str, error: DflyError) -> None:
        _log.error("blob.failed", blob=blob, error=type(error).__name__, message=error.message)
        self._tell(blob, lambda task: task.blob_failed(blob, error))

    def waiting_for(self, what: str) -> None:
        self._call(setattr, self._tasks, "waiting_for", what)

    def _tell(self, blob: str, say: Callable[[Task], None]) -> None:
        self._call(self._tasks.tell, blob, say)

    def _call(self, work: Callable[..., Any], *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(work, *args)


def _shown(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _prepare(task: str, snapshot: Snapshot) -> tuple[Freight, bytes]:
    return Freight.of(snapshot, task=task), Resolved(task=task, snapshot=snapshot).encode()
