"""Resolves sources once for everybody, and serves what it resolved to those whom the source itself admits.

A thousand nodes ask for one model within a second: the hub hears one question. A pinned revision is never asked for again, a
branch after `revision_ttl`. Another caller's token is tried on the hub before it gets what the first one's opened; while the
hub is down, those whom it is known to have admitted go on being served. So are those who bring another seed peer's seal on
what they ask for: the hub need not even be there.
"""

import asyncio
import secrets
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Protocol

import attrs
import structlog

from dfly.backend import Backend
from dfly.errors import AccessDenied, NotFound, OriginUnavailable, RateLimited, UsageError
from dfly.globs import select
from dfly.origin.resolve import resolve
from dfly.plugins import Plugins
from dfly.seed.access import Access
from dfly.seed.flights import Flights
from dfly.seed.guests import Guest
from dfly.seed.keys import Keys
from dfly.seed.options import CallerOptions, Given, caller_options, not_open
from dfly.seed.seals import ClusterSeals, Content, content_of
from dfly.values import Snapshot, bare_url
from dfly.wire import Ask, Resolved

_log = structlog.get_logger(__name__)

#: Seconds for which a hub's yes to a token is believed.
ADMITTED = 60.0
#: Seconds that a caller waits for the hub where an older answer is at hand.
PATIENCE = 10.0
_MOST_KNOWN, _MOST_SELECTIONS, _MOST_ADMITTED = 1000, 256, 10_000

_Key = tuple[type[Backend], str, bool, tuple[tuple[str, str], ...]]
_Selection = tuple[tuple[str, ...], tuple[str, ...]]


class Opener(Protocol):
    """Gives the backend of a class with its options (`dfly.origin.backends.Backends`)."""

    def get(self, backend_class: type[Backend], options: Any) -> Backend:
        """One instance for each."""


@attrs.frozen(kw_only=True)
class Selected:
    """The answer to an Ask: the selected snapshot, the id of its task, the backend that can fetch it, and the caller's seal.

    `carried`: the task is another seed peer's, which the caller brings along. `guest` is the caller of what is not public.
    """

    task: str
    snapshot: Snapshot
    backend: Backend = attrs.field(repr=False)
    seal: str = attrs.field(default="", repr=False)
    carried: bool = False
    guest: Guest | None = None


class Resolver(Protocol):
    """Answers an Ask."""

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """What `ask` means to a caller with these options. Raises DflyError."""


@attrs.frozen(kw_only=True)
class _Choice:
    """A part of a resolved source, and its task."""

    task: str
    snapshot: Snapshot
    content: Content


@attrs.define(kw_only=True, eq=False)
class _Known:
    """A resolved source. `admitted` maps the fingerprints of callers' secrets to when the hub last let them in.

    `settings` are the backend options of who asked last.
    """

    snapshot: Snapshot
    settings: Any = attrs.field(repr=False)
    at: float
    pinned: bool
    tail: str
    admitted: dict[str, float]
    selections: dict[_Selection, _Choice] = attrs.field(factory=dict)


@attrs.define(kw_only=True, eq=False)
class Catalog:
    """What this seed peer has resolved. Used from the event loop; backends run in `pool`. Times are in seconds."""

    plugins: Plugins
    backends: Opener
    access: Access
    keys: Keys
    seals: ClusterSeals
    pool: Executor
    revision_ttl: float = 30.0
    clock: Callable[[], float] = time.monotonic
    _known: dict[_Key, _Known] = attrs.field(factory=dict)
    _flights: Flights[_Key, tuple[_Known, str]] = attrs.field(factory=Flights)
    _checks: Flights[tuple[str, str], bool] = attrs.field(factory=Flights)

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """What `ask` means to a caller with these options. Raises what the backend raises, UsageError, AccessDenied."""
        if not ask.recursive and (ask.include or ask.exclude):
            raise UsageError("--include and --exclude choose among many files", hint="add -r")
        # the plugin is imported here, which may take a while
        backend_class, caller = await self._in_pool(self._caller, ask.url, given)
        carried: Selected | None = None
        if ask.known is not None:
            carried = await self._in_pool(self._carried, ask.known, backend_class, caller)
        if carried is not None:
            return carried
        self.access.check_source(ask.url, endpoints=caller.endpoints)
        key = (backend_class, ask.url, ask.recursive, caller.content)
        known, stale = await self._resolution(key, caller)
        await self._admit(known, key, caller, stale=stale)
        selection = (ask.include, ask.exclude)
        choice = known.selections.get(selection)
        if choice is None:
            choice = await self._in_pool(self._select, known, ask)
            if len(known.selections) < _MOST_SELECTIONS:
                choice = known.selections.setdefault(selection, choice)
        # where it is not public, the token that opened it first may be revoked by now; this one works
        settings = known.settings if known.snapshot.public else caller.settings
        return Selected(
            task=choice.task,
            snapshot=choice.snapshot,
            backend=await self._in_pool(self.backends.get, backend_class, settings),
            seal=self.seals.prove(ask.url, choice.task, choice.content, caller),
            guest=self._guest(choice.task, choice.snapshot, backend_class, caller),
        )

    def close(self) -> None:
        """Give up on what is being resolved."""
        self._flights.close()
        self._checks.close()

    def _caller(self, url: str, given: Given) -> tuple[type[Backend], CallerOptions]:
        backend_class = self.plugins.backend_for(url)
        return backend_class, caller_options(backend_class, given)

    def _carried(self, known: Resolved, backend_class: type[Backend], caller: CallerOptions) -> Selected | None:
        """What the caller brings along, where a seed peer of this cluster has sealed it for these secrets."""
        url = self.seals.proven(known, caller)
        if url is None:
            return None
        self.access.check_source(url, endpoints=caller.endpoints)
        _log.info("snapshot.carried", source=bare_url(known.snapshot.source), files=len(known.snapshot.entries))
        return Selected(
            task=known.task,
            snapshot=known.snapshot,
            backend=self.backends.get(backend_class, caller.settings),
            # not a new one: it would outlive a token that the hub has revoked
            seal=known.seal,
            carried=True,
            guest=self._guest(known.task, known.snapshot, backend_class, caller),
        )

    def _guest(
        self, task: str, snapshot: Snapshot, backend_class: type[Backend], caller: CallerOptions
    ) -> Guest | None:
        if snapshot.public:
            return None
        return Guest(
            ticket=self.keys.seal("guest", task, caller.secrets).hex(),
            # not a backend: one that is not used for long is closed
            ask=lambda: self.backends.get(backend_class, caller.settings).authorize(snapshot),
            pool=self.pool,
            trusted=ADMITTED,
            clock=self.clock,
        )

    async def _resolution(self, key: _Key, caller: CallerOptions) -> tuple[_Known, bool]:
        """The resolved source, and whether the hub could not be asked whether it is still the latest."""
        while True:
            known = self._known.get(key)
            if known is not None and (known.pinned or self.clock() - known.at < self.revision_ttl):
                return known, False
            asked_by = caller.secrets
            try:
                flight = self._flights.run(key, lambda: self._resolve(key, caller))
                fresh, _ = await (flight if known is None else asyncio.wait_for(flight, PATIENCE))
            except (OriginUnavailable, RateLimited, TimeoutError) as error:
                if known is None:
                    raise
                _log.warning("snapshot.stale", source=bare_url(key[1]), cause=str(error) or "the hub does not answer")
                return known, True
            except _Refused as refused:
                if refused.asked_by == asked_by:
                    raise refused.error from None
                # another caller's token was refused: this one's own has not been tried yet
            else:
                return fresh, False

    async def _resolve(self, key: _Key, caller: CallerOptions) -> tuple[_Known, str]:
        backend_class, url, recursive, _ = key
        try:
            known = await self._in_pool(self._ask_hub, backend_class, url, recursive, caller)
        except (AccessDenied, NotFound) as error:
            raise _Refused(error, caller.secrets) from error
        before = self._known.pop(key, None)
        if before is not None and before.snapshot == known.snapshot and all(e.blob for e in known.snapshot.entries):
            before.admitted |= known.admitted
            before.at, before.settings, known = known.at, known.settings, before
        while len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = known
        _log.info("snapshot.resolved", source=bare_url(known.snapshot.source), files=len(known.snapshot.entries))
        return known, caller.secrets

    def _ask_hub(self, backend_class: type[Backend], url: str, recursive: bool, caller: CallerOptions) -> _Known:  # noqa: FBT001 - runs by position
        backend = self.backends.get(backend_class, caller.settings)
        snapshot = resolve(backend, url, recursive=recursive)
        return _Known(
            snapshot=snapshot,
            settings=caller.settings,
            at=self.clock(),
            pinned=_is_pinned(url, snapshot),
            tail=secrets.token_hex(8),
            # not the caller yet: a gated repository shows its listing to everybody
            admitted={},
        )

    async def _admit(self, known: _Known, key: _Key, caller: CallerOptions, *, stale: bool) -> None:
        """Let the caller have `known`, or raise AccessDenied."""
        if known.snapshot.public:
            return
        admitted = known.admitted.get(caller.secrets)
        if admitted is not None and (stale or self.clock() - admitted < ADMITTED):
            return
        backend = await self._in_pool(self.backends.get, key[0], caller.settings)
        try:
            allowed = await self._checks.run(
                (known.snapshot.id, caller.secrets), lambda: self._in_pool(backend.authorize, known.snapshot)
            )
        except (OriginUnavailable, RateLimited):
            if admitted is None:
                raise
            return
        if not allowed:
            known.admitted.pop(caller.secrets, None)
            raise not_open(key[1], key[0])
        if len(known.admitted) >= _MOST_ADMITTED:
            del known.admitted[next(iter(known.admitted))]
        known.admitted[caller.secrets] = self.clock()

    def _select(self, known: _Known, ask: Ask) -> _Choice:
        chosen = known.snapshot
        if ask.include or ask.exclude:
            chosen = chosen.only(select(chosen.entries, include=ask.include, exclude=ask.exclude))
        task = chosen.id
        if not chosen.public:
            # whoever knows the id may listen: only those who were let in can know it
            task += "-" + self.keys.seal("task", task).hex()
        if any(entry.blob is None for entry in chosen.entries):
            task += "-" + known.tail
        return _Choice(task=task, snapshot=chosen, content=content_of(chosen))

    async def _in_pool(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *args)


class _Refused(Exception):
    """The hub refused the caller with the secrets `asked_by`."""

    def __init__(self, error: AccessDenied | NotFound, asked_by: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.asked_by = asked_by


def _is_pinned(url: str, snapshot: Snapshot) -> bool:
    """Whether `url` itself names the revision, so that asking again can bring nothing new."""
    if url.rstrip("/") != snapshot.source.rstrip("/"):
        return False
    if snapshot.revision is not None:
        return snapshot.revision in url
    return bool(snapshot.entries) and all(e.validator is not None and e.validator in url for e in snapshot.entries)
