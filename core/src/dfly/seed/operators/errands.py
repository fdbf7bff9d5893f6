"""Jobs of preheating: which errands run for each, how far every machine is, and when there is nothing more to wait for.

    waiting ──▶ running ──▶ done
       │ ▲         │ ╲────▶ failed
       ▼ │         ▼
       away  ◀── (no word, or the connection ended) ──out of patience──▶ lost
                                       still at it when time is up ──▶ late

A node that comes back is sent again for what it had not done. Used from the event loop only; times are in seconds.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from dfly.errors import NotFound, SwarmError
from dfly.seed.operators.standing import Roster, Standing
from dfly.wire import Ask
from dfly.wire.errands import AWAY, FAILED, FINAL, LATE, LOST, WAITING, Errand, ErrandReport

#: Jobs that are known at a time, and for how long one is after its end.
MOST, REMEMBERED = 256, 3600.0
#: Without a word for so long a node is away; away for so long it is lost, unless the operator has given a time of his own.
SILENT, LOST_AFTER = 20.0, 60.0


@attrs.define(kw_only=True, eq=False)
class Progress:
    """How far one machine is: a node, or the seed peer itself ("")."""

    node: str
    location: str = ""
    state: str = WAITING
    bytes: int = 0
    total: int | None = None
    sources: Mapping[str, int] = attrs.field(factory=dict)
    seconds: float = 0.0
    error: Mapping[str, Any] | None = None
    #: The job's count of changes at the last one here.
    changed: int = 0
    heard: float = 0.0

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINAL

    def as_json(self) -> dict[str, Any]:
        """What an operator is told."""
        who = {"node": self.node, "location": self.location} if self.node else {}
        return {
            **who,
            "state": self.state,
            "bytes": self.bytes,
            "total": self.total,
            "seconds": round(self.seconds, 3),
            "sources": dict(self.sources),
            "error": self.error,
        }


@attrs.define(kw_only=True, eq=False)
class Job:
    """One preheat. `source` is the pinned URL; `patience` is how long all of it may take, None: as long as it takes."""

    id: str
    source: str
    files: int
    patience: float | None
    clock: Callable[[], float]
    seed: Progress = attrs.field(factory=lambda: Progress(node=""))
    errands: dict[str, tuple[Errand, Progress]] = attrs.field(factory=dict)
    began: float = 0.0
    ended: float | None = None
    changes: int = 0
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)

    def rows(self) -> Iterator[Progress]:
        """The seed peer's, then the nodes'."""
        yield self.seed
        for _, progress in self.errands.values():
            yield progress

    def note(self, progress: Progress, **news: Any) -> None:
        """Something is new about a machine; what is over stays as it is."""
        if progress.over or all(getattr(progress, name) == value for name, value in news.items()):
            return
        for name, value in news.items():
            setattr(progress, name, value)
        progress.seconds = self.clock() - self.began
        self.changes += 1
        progress.changed = self.changes
        if self.ended is None and all(row.over for row in self.rows()):
            self.ended = self.clock()
        self._news.set()

    def wake(self) -> None:
        """Let everybody who waits for news look again."""
        self._news.set()

    async def news(self, patience: float) -> None:
        """Return when something is new, or after so many seconds."""
        self._news.clear()
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return


class Errands:
    """All jobs. `roster` is who can be sent."""

    def __init__(self, *, roster: Roster, clock: Callable[[], float] = time.monotonic) -> None:
        self._roster, self._clock = roster, clock
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._by_errand: dict[str, Job] = {}

    def begin(
        self,
        *,
        source: str,
        files: int,
        patience: float | None,
        nodes: list[Standing],
        ask: Ask,
        options: Mapping[str, tuple[str, ...]],
        pin: bool,
        waited: float = 0.0,
    ) -> Job:
        """Send `nodes` for `ask`, of whose time `waited` is over. Raises SwarmError where too much is going on."""
        self._make_room()
        job = Job(id=secrets.token_hex(16), source=source, files=files, patience=patience, clock=self._clock)
        now = self._clock()
        job.began = now - waited
        for node in nodes:
            errand = Errand(id=secrets.token_hex(16), ask=ask, options=options, pin=pin)
            progress = Progress(node=node.node, location=node.location, heard=now)
            job.errands[errand.id] = errand, progress
            self._by_errand[errand.id] = job
            node.send(errand)
        self._jobs[job.id] = job
        return job

    def get(self, job: str) -> Job:
        """One of them. Raises NotFound."""
        found = self._jobs.get(job)
        if found is None:
            raise NotFound("there is no such preheat here", kind="preheat", hint="it is forgotten after an hour")
        return found

    def report(self, errand: str, said: ErrandReport) -> None:
        """A node tells how far it is. Raises NotFound where it need not go on telling."""
        job = self._by_errand.get(errand)
        sent, progress = job.errands[errand] if job is not None else (None, None)
        if job is None or progress is None or sent is None or progress.node != said.node:
            raise NotFound("there is no such errand here", kind="errand")
        progress.heard = self._clock()
        state, error = said.state, None
        if said.state == FAILED:
            error = {"type": said.error, "message": said.message, "hint": said.hint}
        elif said.source and said.source != job.source:
            moved = f"the source has moved on: it brought {said.source}"
            state, error = FAILED, {"type": "Changed", "message": moved, "hint": "preheat it again"}
        job.note(progress, state=state, bytes=said.arrived, total=said.total, sources=said.sources, error=error)

    def came(self, standing: Standing) -> None:
        """A node stands by, again perhaps: send it for what it has not done."""
        for job in self._under_way():
            for errand, progress in job.errands.values():
                if progress.node == standing.node and not progress.over:
                    progress.heard = self._clock()
                    job.note(progress, state=WAITING)
                    standing.send(errand)

    def went(self, node: str) -> None:
        """A node's connection has ended."""
        for job in self._under_way():
            for _, progress in job.errands.values():
                if progress.node == node:
                    job.note(progress, state=AWAY)

    def tick(self) -> None:
        """Let time pass: who is silent is away, who is away for too long is lost, and what is long over is forgotten."""
        now = self._clock()
        for job in list(self._jobs.values()):
            if job.ended is not None:
                if now - job.ended > REMEMBERED:
                    self._forget(job)
                continue
            for _, progress in job.errands.values():
                if now - progress.heard > SILENT:
                    job.note(progress, state=AWAY)
                if job.patience is None and progress.state == AWAY and now - progress.heard > LOST_AFTER:
                    job.note(progress, state=LOST, error=_lost(LOST_AFTER))
            if job.patience is not None and now - job.began > job.patience:
                for row in job.rows():
                    if row.state == AWAY:
                        job.note(row, state=LOST, error=_lost(job.patience))
                    else:
                        job.note(row, state=LATE, error=_late(job.patience))

    def wake(self) -> None:
        """Let everybody who follows a job look at it again."""
        for job in self._jobs.values():
            job.wake()

    def _under_way(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.ended is None]

    def _make_room(self) -> None:
        if len(self._jobs) < MOST:
            return
        oldest = next((job for job in self._jobs.values() if job.ended is not None), None)
        if oldest is None:
            raise SwarmError(f"{MOST} preheats are under way", hint="wait until one of them is done")
        self._forget(oldest)

    def _forget(self, job: Job) -> None:
        del self._jobs[job.id]
        for errand in job.errands:
            del self._by_errand[errand]


def _lost(patience: float) -> dict[str, str]:
    said = f"it went away and did not come back within {patience:g} s"
    return {"type": "SwarmError", "message": said, "hint": "is its dfdaemon running?"}


def _late(patience: float) -> dict[str, str]:
    said = f"not done after {patience:g} s"
    return {
        "type": "TimedOut",
        "message": said,
        "hint": "it goes on; preheat again, with a longer --timeout, to wait for it",
    }
