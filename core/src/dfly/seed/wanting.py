"""What a task wants of the mirror: all of its freight, or of a lazy one what nodes accept; and first what somebody waits for.

Of a freight that this seed peer serves only in part, because it stands in for another, the rest is never asked for.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from dfly.backend import Backend
from dfly.errors import DflyError
from dfly.packs import Freight
from dfly.seed.mirroring import Mirror
from dfly.seed.task import Task

Unfit = Callable[[Freight], Mapping[str, DflyError]]


def all_fit(_: Freight) -> Mapping[str, DflyError]:
    """Every blob is served."""
    return {}


@attrs.define(kw_only=True, eq=False)
class Wanting:
    """For all tasks. `unfit` names the blobs of a freight that this seed peer does not serve, and why.

    `errand(work, *args)` does in a thread what may have to wait for the mirror.
    """

    mirror: Mirror
    errand: Callable[..., None]
    unfit: Unfit = all_fit

    def due(self, task: Task) -> Freight:
        """What is to be fetched, and can be."""
        return _less(task.due, self.unfit(task.freight))

    async def begin(self, task: Task, backend: Backend) -> Mapping[str, DflyError]:
        """Have all that is due fetched with `backend`. Returns what this seed peer does not serve, and why."""
        unfit, due = self.unfit(task.freight), task.due
        _being_fetched(task, due.sizes())
        held_back = task.held_back_until is not None
        await asyncio.to_thread(self.mirror.want, _less(due, unfit), backend, task=task.id, held_back=held_back)
        return unfit

    def mind(self, task: Task, *, accepted: Iterable[str], first: Iterable[tuple[str, int]]) -> None:
        """A node wants `accepted` blobs, of which a lazy task brings no others, and somebody there waits for segments."""
        # those that failed before are tried again
        new = {blob for blob in accepted if blob in task.scheduler.blobs}
        task.accepted |= new
        due = self.due(task) if task.lazy and new else None
        hurried: dict[str, list[int]] = {}
        for blob, index in first:
            if blob in task.scheduler.blobs:
                hurried.setdefault(blob, []).append(index)
        if due is not None:
            task.broadcast.log.forgive()
            _being_fetched(task, {blob: size for blob, size in due.sizes().items() if blob in new})
        if due is not None or hurried:
            held_back = task.held_back_until is not None
            self.errand(self._bring, task.id, due, task.backend, held_back, hurried)

    def _bring(
        self,
        task: str,
        due: Freight | None,
        backend: Backend | None,
        held_back: bool,  # noqa: FBT001 - an errand's argument
        hurried: Mapping[str, Sequence[int]],
    ) -> None:
        # first what comes first: else all connections have begun with something else
        for blob, indices in hurried.items():
            self.mirror.hurry(blob, indices)
        if due is not None and backend is not None:
            self.mirror.want(due, backend, task=task, held_back=held_back)


def _being_fetched(task: Task, sizes: Mapping[str, int | None]) -> None:
    """Note that these are on their way from now on, but for those that are here."""
    for blob, size in sizes.items():
        if not task.is_complete(blob):
            task.fetching.begin(blob, size)


def _less(freight: Freight, unfit: Mapping[str, DflyError]) -> Freight:
    if not unfit:
        return freight
    pack = None if freight.pack is None or freight.pack.blob in unfit else freight.pack
    return attrs.evolve(freight, pack=pack, blobs={b: e for b, e in freight.blobs.items() if b not in unfit})
