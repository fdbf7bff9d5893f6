"""A caller's ask, resolved with the caller's own options: what the source lists for them is what they may have.

Nothing of this process's environment is added to them: with the daemon's token in place of a missing one, everybody on the
machine would read what only the daemon's user may. Where a private source opened itself to a stranger who showed no secret,
something ambient did it (an instance's role, a key file), which is not the stranger's: they go by themselves. Nor is anything
signed for them with what is ambient here: they choose the endpoint, too, and it may be their own.
"""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from dfly.backend import Backend, OptionField, Secret, option_fields
from dfly.daemon.seating import Seating
from dfly.errors import OriginUnavailable, RateLimited, SwarmError, UsageError
from dfly.node.hearsay import acquainted
from dfly.node.lending import Given
from dfly.origin.resolve import resolve
from dfly.plugins import Plugins
from dfly.values import Snapshot, bare_url
from dfly.wire import Ask, Resolved

if TYPE_CHECKING:
    from dfly.node.joining import Joined

#: Seconds for which what a source answered to a caller about a pinned revision is believed (a branch is asked for each time),
#: and how many answers are kept.
BELIEVED, _MOST = 30.0, 256
#: Seconds for which it is while the source cannot be asked.
_BELIEVED_ALONE = 3600.0


@attrs.frozen(kw_only=True)
class Caller:
    """Who is at the other end of the socket, as the kernel says."""

    uid: int
    pid: int = 0


@attrs.frozen(kw_only=True)
class Admitted:
    """A source as it is open to one caller. `joined` is its place at a seed peer, None where there is none.

    `plain` are the caller's options but for the secrets.
    """

    ask: Ask
    resolved: Resolved
    backend: Callable[[], Backend] = attrs.field(repr=False)
    joined: "Joined | None" = attrs.field(default=None, repr=False)
    plain: Given = attrs.field(factory=dict)
    warning: str = ""

    @property
    def snapshot(self) -> Snapshot:
        """What the caller may have."""
        return self.resolved.snapshot


@attrs.frozen(kw_only=True)
class Terms:
    """What a caller says of seed peers: those to take the bytes from (none: as the daemon likes), and whether else the source."""

    seed_peers: tuple[str, ...] = ()
    back_to_source: bool = True


class Declined(Exception):
    """The caller is to go by itself; says why."""


class Admissions:
    """Resolves asks; what was resolved a moment ago for the same user with the same options is not asked again."""

    def __init__(
        self,
        *,
        seating: Seating,
        uid: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seating, self._joining = seating, seating.joining
        self._plugins, self._backends = seating.plugins, seating.backends
        self._uid, self._clock = uid, clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Admitted]] = OrderedDict()

    def require(self, terms: Terms) -> None:
        """Raise Declined where this daemon would do it in another way than the caller says."""
        own = {url.rstrip("/") for url in self._joining.seed_peers}
        if not own.issuperset(url.rstrip("/") for url in terms.seed_peers):
            raise Declined("this daemon takes its bytes from other seed peers")
        if not own and not self._joining.back_to_source:
            raise Declined("this daemon has no seed peer, and may not ask the source")
        if not terms.back_to_source and self._joining.back_to_source:
            raise Declined("this daemon goes back to the source")

    def admit(
        self, caller: Caller, ask: Ask, given: Given, *, stop: threading.Event, vouched: bool = False
    ) -> Admitted:
        """What `ask` means to this caller. Raises Declined, Cancelled, and what the source or the seed peer raised.

        `vouched`: whoever asks for the caller knows that nothing ambient opens this source.
        """
        key = _key(caller, ask, given)
        with self._lock:
            at, known = self._known.get(key, (0.0, None))
        age = self._clock() - at
        if known is not None and age < BELIEVED and _is_pinned(known):
            return known
        try:
            admitted = self._ask(ask, given, stop, stranger=caller.uid != self._uid)
        except (OriginUnavailable, RateLimited, SwarmError):
            if known is None or age > _BELIEVED_ALONE:
                raise
            return known
        if (
            not admitted.snapshot.public
            and not vouched
            and caller.uid != self._uid
            and not _shows_secret(admitted, given, self._plugins_for(ask.url))
        ):
            raise Declined("this source is private, and nothing was shown that would open it")
        with self._lock:
            self._known[key] = (self._clock(), admitted)
            self._known.move_to_end(key)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
        return admitted

    def _plugins_for(self, url: str) -> Plugins:
        """Those of this machine and, for a scheme that they lack, what a seed peer tells of its own."""
        return acquainted(self._plugins, [url], self._joining, client=self._seating.client)

    def _ask(self, ask: Ask, given: Given, stop: threading.Event, *, stranger: bool) -> Admitted:
        backend_class = self._plugins_for(ask.url).backend_for(ask.url)
        settings = options_from(backend_class, given)
        if stranger:
            settings = backend_class.at_strange_endpoint(settings)
        backend = partial(self._backends.get, backend_class, settings)
        resolve_here = partial(
            _resolve, backend, ask.url, recursive=ask.recursive, include=ask.include, exclude=ask.exclude
        )
        plain = {spec.field: given[spec.field] for spec in option_fields(backend_class) if _is_plain(spec, given)}
        warning = ""
        if self._joining.seed_peers:
            try:
                joined = self._seating.at_ring(
                    ask, backend_class, settings, backend=backend, resolve=resolve_here, stop=stop
                )
            except SwarmError as error:
                if not self._joining.back_to_source:
                    raise
                warning = f"{error.message}; going back to the source"
            else:
                return Admitted(ask=ask, resolved=joined.seat.resolved, backend=backend, joined=joined, plain=plain)
        elif not self._joining.back_to_source:
            raise SwarmError(
                f"this daemon has no seed peer to ask for {bare_url(ask.url)}, and may not ask the source",
                hint="start it with --join (DFLY_SEED_PEERS), or without --no-back-to-source",
            )
        snapshot = resolve_here()
        resolved = Resolved(task=snapshot.id, snapshot=snapshot)
        return Admitted(ask=ask, resolved=resolved, backend=backend, plain=plain, warning=warning)


def options_from(backend_class: type[Backend], given: Given) -> Any:
    """The backend's options as the caller has them, and nothing else. Raises UsageError."""
    values: dict[str, Any] = {}
    for spec in option_fields(backend_class):
        value = given.get(spec.field)
        if not value:
            continue
        if spec.repeated:
            row = (value,) if isinstance(value, str) else tuple(value)
            values[spec.field] = tuple(map(Secret, row)) if spec.secret else row
        else:
            text = value if isinstance(value, str) else value[-1]
            values[spec.field] = Secret(text) if spec.secret else text
    try:
        return backend_class.options(**values)
    except (ValueError, TypeError) as error:
        raise UsageError(f"an option of {backend_class.schemes[0]}:// is wrong: {error}") from error


def _resolve(backend: Callable[[], Backend], url: str, **choice: Any) -> Snapshot:
    return resolve(backend(), url, **choice)


def _is_pinned(admitted: Admitted) -> bool:
    """Whether the URL itself names the revision, so that asking again can bring nothing new."""
    url, snapshot = admitted.ask.url.rstrip("/"), admitted.snapshot
    revisions = {snapshot.revision} if snapshot.revision else {entry.validator for entry in snapshot.entries}
    return url == snapshot.source.rstrip("/") and bool(revisions) and all(r is not None and r in url for r in revisions)


def _is_plain(spec: OptionField, given: Given) -> bool:
    return not spec.secret and spec.field in given


def _shows_secret(admitted: Admitted, given: Given, plugins: Plugins) -> bool:
    fields = option_fields(plugins.backend_for(admitted.ask.url))
    return any(spec.secret and given.get(spec.field) for spec in fields)


def _key(caller: Caller, ask: Ask, given: Mapping[str, Any]) -> str:
    # a hash, so that no secret stays in memory for longer than the backend that needs it
    text = json.dumps([caller.uid, ask.encode().decode(), sorted(given.items())])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
