"""Answers from what was imported before any hub is asked, so that none need be there.

Whoever runs this seed peer has brought the archive in, so everybody whom it serves may have what is in it. Which URLs mean that,
the plugin tells from the snapshot (`Backend.covers`). A branch is what was imported last under its name, until that is removed.
"""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import NotAFile, NotFound, UsageError
from dfly.globs import select
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.catalog import Opener, Resolver, Selected
from dfly.seed.operators.remembered import Memory, Remembered
from dfly.seed.options import CallerOptions, Given, caller_options
from dfly.seed.seals import ClusterSeals, Content, content_of
from dfly.values import Snapshot, bare_url
from dfly.wire import Ask

_log = structlog.get_logger(__name__)

_MOST_ANSWERS = 1000


@attrs.frozen
class _Answer:
    """A snapshot, chosen from, and what a seal is on."""

    snapshot: Snapshot
    content: Content


@attrs.define(kw_only=True, eq=False)
class Imported:
    """A Resolver: what `memory` has from archives, and else `resolver`."""

    resolver: Resolver
    memory: Memory
    plugins: Plugins
    backends: Opener
    access: Access
    seals: ClusterSeals
    _answers: dict[Any, _Answer | None] = attrs.field(factory=dict)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """See `Resolver`. Raises NotAFile and NotFound as a hub that has this would."""
        records = [record for record in self.memory.all() if record.imported]
        if records and (ask.recursive or not (ask.include or ask.exclude)):
            # not among the questions to hubs: where none answers, those wait
            found = await asyncio.to_thread(self._find, records, ask, given)
            # another task that a node brings along is for whoever knows about seals
            if found is not None and (ask.known is None or ask.known.task == found.task):
                return found
        return await self.resolver.resolve(ask, given)

    def _find(self, records: Sequence[Remembered], ask: Ask, given: Given) -> Selected | None:
        backend_class = self.plugins.backend_for(ask.url)
        caller = caller_options(backend_class, given)
        self.access.check_source(ask.url, endpoints=caller.endpoints)
        backend = self.backends.get(backend_class, caller.settings)
        answer = self._answer(records, backend, ask, caller)
        if answer is None:
            return None
        task = answer.snapshot.id
        return Selected(
            task=task,
            snapshot=answer.snapshot,
            backend=backend,
            seal=self.seals.prove(ask.url, task, answer.content, caller),
        )

    def _answer(
        self, records: Sequence[Remembered], backend: Backend, ask: Ask, caller: CallerOptions
    ) -> _Answer | None:
        """A thousand nodes ask for one thing: it is looked up once, until something else is imported or removed."""
        imports = tuple(sorted((record.task, record.revisions, *record.urls.items()) for record in records))
        asked = (type(backend), ask.url, ask.recursive, ask.include, ask.exclude)
        key = (imports, asked, caller.content, caller.endpoints)
        with self._lock:
            if key in self._answers:
                return self._answers[key]
            while len(self._answers) >= _MOST_ANSWERS:
                del self._answers[next(iter(self._answers))]
        snapshot = next(_answers(records, backend, ask, caller), None)
        answer = None if snapshot is None else _Answer(snapshot, content_of(snapshot))
        if snapshot is not None:
            _log.info("snapshot.imported", source=bare_url(snapshot.source), files=len(snapshot.entries))
        with self._lock:
            self._answers[key] = answer
        return answer


def _answers(records: Sequence[Remembered], backend: Backend, ask: Ask, caller: CallerOptions) -> Iterator[Snapshot]:
    """What `ask` means, from each import that covers it, the latest first. Raises NotAFile, NotFound."""
    for record in sorted(records, key=_came, reverse=True):
        if not _is_from(record.snapshot, caller.endpoints):
            continue
        try:
            found = backend.covers(ask.url, record.snapshot, names=record.alone, revisions=record.revisions)
        except NotFound:
            if not _is_a_part(record):
                raise
            continue
        except UsageError:
            # what is wrong with the URL is said where a hub is asked; what is wrong with a name, the archive's, is no matter
            continue
        if found is not None and (chosen := _chosen(found, record, ask)) is not None:
            yield chosen


def _chosen(found: Snapshot, record: Remembered, ask: Ask) -> Snapshot | None:
    """The files that are asked for; None where `record` may not have all of them."""
    is_file = len(found.entries) == 1 and found.entries[0].path == found.name
    if not ask.recursive:
        if not is_file:
            raise NotAFile(bare_url(ask.url))
        (entry,) = found.entries
        return Snapshot(source=entry.url, name=entry.path, entries=(entry,), public=True)
    same = found.source == record.snapshot.source and (ask.include, ask.exclude) == _choice(record)
    if _is_a_part(record) and not same and not is_file:
        return None
    entries = select(found.entries, include=ask.include, exclude=ask.exclude)
    return attrs.evolve(found, entries=entries, public=True)


def _is_a_part(record: Remembered) -> bool:
    return _choice(record) != ((), ())


def _choice(record: Remembered) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return record.ask.include, record.ask.exclude


def _came(record: Remembered) -> float:
    return max(record.urls.values(), default=record.resolved)


def _is_from(snapshot: Snapshot, endpoints: Sequence[str]) -> bool:
    """Whether it may answer somebody who names these endpoints: only where it came from one of them."""
    places = [bare_url(endpoint).rstrip("/") + "/" for endpoint in endpoints]
    return not places or all(any(place in entry.identity for place in places) for entry in snapshot.entries)
