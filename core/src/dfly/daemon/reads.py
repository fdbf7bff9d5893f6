"""What facades are offered (`dfly.facade.Reads`): sources resolved for the caller, and files as they arrive.

A source is resolved by the daemon's admission with the caller's own options, so a facade opens nothing that the hub would
not. Clients ask again for every file of a repository, so an answer is good for a few seconds; where the hub is slow to say what
a branch is now, the last answer stands in for it, until the hub refuses, however late: then none does before its next yes.

    Content ─▶ in the cache ──────────────────────────────▶ sent
            ╲▶ missing: the errand of everybody who reads it ─▶ as far as it has arrived ─▶ sent
"""

import asyncio
import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import TypeVar

import attrs
import httpx

from dfly.config import Fetch
from dfly.daemon.admission import Admissions, Admitted, Caller, Declined
from dfly.daemon.bringing import Bringing, Wanted
from dfly.daemon.errand import Means
from dfly.daemon.names import Names
from dfly.daemon.passing import pass_on
from dfly.daemon.reading import Reading
from dfly.daemon.records import Record
from dfly.errors import AccessDenied, NotFound, OriginUnavailable, RateLimited, SwarmError, UsageError
from dfly.facade import Answer, Asked, Content, Options
from dfly.values import Entry, Snapshot
from dfly.wire import Ask

T = TypeVar("T")

#: Seconds that a caller waits for a fresh answer where an older one is at hand; clients of hubs give up after ten.
PATIENCE = 3.0
_MOST_KNOWN, _MOST_REFUSED = 64, 4096
#: The user of whoever comes by TCP is not known: it has the rights that the options it shows give it.
_STRANGER = Caller(uid=-1)


@attrs.define(kw_only=True, eq=False, slots=False)
class Source:
    """A source as it is open to one caller. `rights` tells callers apart by what they showed, without holding it."""

    admitted: Admitted
    rights: str
    at: float

    @property
    def snapshot(self) -> Snapshot:
        """What the caller may have."""
        return self.admitted.snapshot

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """The entries' numbers, by path."""
        return {entry.path: number for number, entry in enumerate(self.snapshot.entries)}

    def entry(self, path: str) -> Entry | None:
        """One file, or None."""
        number = self.numbers.get(path)
        return None if number is None else self.snapshot.entries[number]


class Reads:
    """One for all facades of a daemon. Used from the event loop, blocking work is done in threads of its own.

    `names` and `reopen` (a record, for a caller with these options) are for when neither hub nor seed peer answers. `ttl` is for
    how many seconds an answer is as good as new. `client` passes on what is for the hub.
    """

    def __init__(
        self,
        *,
        admissions: Admissions,
        means: Means,
        settings: Fetch,
        client: httpx.Client,
        closing: threading.Event,
        names: Names,
        reopen: Callable[[Record, Options], Admitted],
        ttl: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._admissions, self._means, self._settings = admissions, means, settings
        self._client, self._closing = client, closing
        self._names, self._reopen = names, reopen
        self._ttl, self._clock = ttl, clock
        self._pool = ThreadPoolExecutor(32, thread_name_prefix="dfly-reads")
        self._known: OrderedDict[str, Source] = OrderedDict()
        #: Keys for which the last word was no, the latest last.
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Source]] = {}
        self._bringing: dict[tuple[str, ...], Bringing] = {}

    async def resolve(self, url: str, options: Options, *, vouched: bool = False) -> Source:
        """See `dfly.facade.Reads`. Who may have nothing without showing a secret gets AccessDenied."""
        key = _key(url, options)
        known = self._known.get(key)
        if known is not None and self._clock() - known.at < self._ttl:
            return known
        if known is None and key not in self._refused:
            known = await self._in_pool(self._remembered, url, options)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, url, dict(options), vouched=vouched))
            asking.add_done_callback(partial(self._asked, key))
        # nobody who leaves takes the answer away from the others
        waiting = asyncio.shield(asking)
        if known is None:
            return await waiting
        try:
            return await asyncio.wait_for(waiting, PATIENCE)
        except (TimeoutError, OriginUnavailable, RateLimited, SwarmError, UsageError):
            if key in self._refused:  # in this moment
                return await asyncio.shield(asking)
            # UsageError: URL and options were right before, so it is this daemon that may not ask; what is known is
            # good for a moment, or every file would wait as long
            known.at = self._clock()
            self._known.setdefault(key, known)
            return known

    async def passed_on(self, asked: Asked, upstream: str) -> Answer:
        """See `dfly.facade.Reads`."""
        return await self._in_pool(pass_on, self._client, asked, upstream)

    async def read(self, content: Content) -> Reading:
        """Begin to read; the caller closes it. The first bytes may be waited for before anything is answered."""
        source = content.opened
        assert isinstance(source, Source), "content of something else than `resolve` gave"
        wanted = Wanted(admitted=source.admitted, number=source.numbers[content.entry.path], content=content)
        means = self._means
        reading = Reading(wanted, cache=means.cache, readers=means.readers, pool=self._pool)
        if not await reading.find():
            bringing = self._bringing_of(wanted, source.rights)
            reading.follow(bringing)
            bringing.start()  # now that it is known where the reader begins
        return reading

    async def close(self) -> None:
        """End every errand, when nobody reads any more."""
        for asking in tuple(self._asking.values()):
            asking.cancel()
        for bringing in tuple(self._bringing.values()):
            bringing.end()
            await asyncio.to_thread(bringing.wait)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _bringing_of(self, wanted: Wanted, rights: str) -> Bringing:
        """The errand that brings a blob for everybody who reads it with the same rights."""
        key = (wanted.blob, wanted.content.entry.identity, rights)
        bringing = self._bringing.get(key)
        if bringing is None or bringing.ending:
            bringing = self._bringing[key] = Bringing(
                wanted,
                means=self._means,
                settings=self._settings,
                loop=asyncio.get_running_loop(),
                over=partial(self._over, key),
            )
        return bringing

    def _over(self, key: tuple[str, ...], bringing: Bringing) -> None:
        if self._bringing.get(key) is bringing:
            del self._bringing[key]

    async def _ask(self, key: str, url: str, options: Options, *, vouched: bool) -> Source:
        ask = Ask(url=url, recursive=True, lazy=True)
        try:
            admit = partial(self._admissions.admit, _STRANGER, ask, options, stop=self._closing, vouched=vouched)
            admitted = await self._in_pool(admit)
        except Declined as declined:
            raise AccessDenied(str(declined), hint="show a token that may read it") from declined
        before = self._known.get(key)
        if before is not None and before.admitted is admitted:
            before.at = self._clock()
            source = before
        else:
            source = Source(admitted=admitted, rights=_key("", options), at=self._clock())
        if source.snapshot.public:
            await self._in_pool(self._names.note, url, source.snapshot.source)
        self._refused.pop(key, None)
        self._known[key] = source
        self._known.move_to_end(key)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return source

    def _remembered(self, url: str, options: Options) -> Source | None:
        """What `url` was when something of it was brought, in this process's life or before; None where that is not known."""
        source = self._names.last(url)
        for record in reversed(self._means.records.all()):
            here = record.snapshot.source == source and record.snapshot.public and record.ask.recursive
            chosen = record.ask.include or record.ask.exclude
            if here and not chosen and all(options.get(name) == value for name, value in record.options.items()):
                return Source(admitted=self._reopen(record, options), rights=_key("", options), at=-self._ttl)
        return None

    def _asked(self, key: str, asking: "asyncio.Task[Source]") -> None:
        del self._asking[key]
        # heard, though everybody may have left
        error = None if asking.cancelled() else asking.exception()
        if isinstance(error, AccessDenied | NotFound):
            self._known.pop(key, None)
            self._refused[key] = None
            self._refused.move_to_end(key)
            while len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)

    async def _in_pool(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)


def _key(url: str, options: Options) -> str:
    # a hash, so that no secret is kept for its sake
    text = json.dumps([url, sorted(options.items())])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
