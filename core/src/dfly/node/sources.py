"""What a caller asked for: which source, which of its files, for how long. `dfly.fetch`, `open` and `snapshot` begin here."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import httpx

from dfly.backend import Backend, build_options, option_fields
from dfly.caches import CacheOrder
from dfly.config import Fetch, Joining, Network, Patience, joining_from, several
from dfly.errors import Cancelled, SwarmError, TimedOut, UsageError
from dfly.events import Listener, Warned
from dfly.node.lending import Given, Lender, Loan, shown
from dfly.node.outputs import Outputs, Plain
from dfly.origin.backends import Backends
from dfly.origin.client import open_clients
from dfly.origin.resolve import resolve
from dfly.plugins import Plugins
from dfly.values import Snapshot, bare_url, seed_peer_url

if TYPE_CHECKING:
    from dfly.node.joining import Joined
    from dfly.node.reserve import Source
    from dfly.node.succession import Seat
    from dfly.wire import Ask

T = TypeVar("T")

#: Backend options by prefix and field: `{"gopher": {"token": "…"}}`.
Options = Mapping[str, Mapping[str, str | tuple[str, ...]]]


@attrs.frozen
class Wanted:
    """Which files of a source. Raises UsageError for what contradicts itself."""

    include: tuple[str, ...] = attrs.field(converter=several)
    exclude: tuple[str, ...] = attrs.field(converter=several)
    recursive: bool

    def __attrs_post_init__(self) -> None:
        if not self.recursive and (self.include or self.exclude):
            raise UsageError("--include and --exclude choose among many files", hint="add -r")


@attrs.frozen
class SourceUrl:
    """A source URL with the backend that understands it."""

    url: str
    backend_class: type[Backend]
    settings: Any
    backends: Backends

    @classmethod
    def of(cls, url: str, options: Options, plugins: Plugins, backends: Backends) -> "SourceUrl":
        """The hub itself where an option names a daemon's facade of it. Raises UsageError, PluginError."""
        found = cls.as_given(url, options, plugins, backends)
        return attrs.evolve(found, settings=backends.settled(found.backend_class, found.settings))

    @classmethod
    def as_given(cls, url: str, options: Options, plugins: Plugins, backends: Backends) -> "SourceUrl":
        """The same with the options just as they were given: by a daemon's facade where they name one."""
        backend_class = plugins.backend_for(url)
        prefix = _prefix(backend_class)
        given, known = options.get(prefix, {}), [spec.field for spec in option_fields(backend_class)]
        for name in given:
            if name not in known:
                raise UsageError(f"{prefix} has no option {name!r}", hint=f"it has: {', '.join(known) or 'none'}")
        return cls(url, backend_class, build_options(backend_class, given), backends)

    def backend(self) -> Backend:
        """What reads it."""
        return self.backends.get(self.backend_class, self.settings)

    def resolve(self, wanted: Wanted) -> Snapshot:
        """What the source itself says that it is now. Raises what the backend raises."""
        return resolve(
            self.backend(),
            self.url,
            recursive=wanted.recursive,
            include=wanted.include,
            exclude=wanted.exclude,
        )

    def outputs(
        self, where: str | None, cache: str | os.PathLike[str] | None, wanted: Wanted, *, overwrite: bool
    ) -> Outputs:
        """Where the files go. Raises UsageError where `cache` is given and this hub's tools have none."""
        if cache is None:
            return Plain(where, wanted.recursive, self.url)
        layout, scheme = self.backend_class.cache_layout, self.backend_class.schemes[0]
        if layout is None:
            raise UsageError(f"{scheme}:// has no cache that could be filled", hint="fetch it to a folder with -O")
        if where is not None:
            flag = f"--{self.backend_class.prefix or scheme}-cache"
            raise UsageError(f"-O and {flag} are two places", hint="leave out one of them")
        from dfly.node.filling import Filling

        order = CacheOrder(
            url=self.url,
            settings=self.settings,
            whole=wanted.recursive and not wanted.include and not wanted.exclude,
        )
        directory = os.path.abspath(os.path.expanduser(os.fspath(cache) or layout.directory(os.environ)))
        return Filling(layout=layout, directory=directory, order=order, recursive=wanted.recursive, overwrite=overwrite)

    @contextmanager
    def borrowed(
        self, lender: Lender | None, wanted: Wanted, settings: Fetch, stop: threading.Event, *, lazy: bool
    ) -> Iterator[Loan | None]:
        """What a daemon can lend of this; None where there is none, or it is not for it. `lazy` as for `join`."""
        loan = None
        if lender is not None:
            given = shown(self.backend_class, self.settings)
            loan = lender.resolve(self._ask(wanted, lazy=lazy), given, settings=settings, stop=stop)
        try:
            yield loan
        finally:
            if loan is not None:
                loan.close()

    def in_reserve(
        self, wanted: Wanted, plugins: Plugins, network: Network, settings: Fetch, patience: Patience
    ) -> "Source":
        """What this process could serve others with, if every seed peer were gone."""
        from dfly.node.reserve import Source

        return Source(
            backend=self.backend,
            resolve=partial(self.resolve, wanted),
            plugins=plugins,
            network=network,
            settings=settings,
            patience=patience,
        )

    def join(
        self,
        wanted: Wanted,
        joining: Joining,
        tell: Listener,
        source: "Callable[[], Source]",
        control: httpx.Client,
        stop: threading.Event,
        *,
        lazy: bool,
    ) -> "Joined | None":
        """The task at a seed peer; None without seed peers, and where none answers and back-to-source is allowed.

        The seed peer begins to fetch all of it at once; `lazy`: only what this node turns out to want. Raises SwarmError.
        """

        def take(ask: "Ask", options: Given, secret: frozenset[str]) -> "Joined":
            # brings libtorrent along, which a direct download neither needs nor, on the newest Python, has
            from dfly.node.joining import join

            return join(ask, options, joining, client=control, source=source(), secret=secret, stop=stop)

        return self._at_a_seed_peer(take, wanted, joining, tell, lazy=lazy)

    def seat(
        self, wanted: Wanted, joining: Joining, tell: Listener, control: httpx.Client, stop: threading.Event
    ) -> "Seat | None":
        """The same for who only looks, or reads what the seed peer has published: `lazy`, and without a node of its own."""

        def take(ask: "Ask", options: Given, secret: frozenset[str]) -> "Seat":
            from dfly.node.seats import candidates, take_seat

            return take_seat(ask, options, candidates(ask, joining, client=control, secret=secret), stop=stop)

        return self._at_a_seed_peer(take, wanted, joining, tell, lazy=True)

    def _at_a_seed_peer(
        self,
        take: "Callable[[Ask, Given, frozenset[str]], T]",
        wanted: Wanted,
        joining: Joining,
        tell: Listener,
        *,
        lazy: bool,
    ) -> T | None:
        if not joining.seed_peers:
            if not joining.back_to_source:
                raise SwarmError(
                    f"there is no seed peer to ask for {bare_url(self.url)}, and the source must not be asked from here",
                    hint="name one with --seed-peer (DFLY_SEED_PEERS), or leave out --no-back-to-source",
                )
            return None
        from dfly.node.travelling import secret_options, travelling

        options = travelling(self.backend_class, self.settings)
        try:
            return take(self._ask(wanted, lazy=lazy), options, secret_options(self.backend_class))
        except SwarmError as error:
            if not joining.back_to_source:
                raise
            tell(Warned(message=f"{error.message}; going back to the source"))
            return None

    def _ask(self, wanted: Wanted, *, lazy: bool) -> "Ask":
        from dfly.wire import Ask

        return Ask(url=self.url, recursive=wanted.recursive, include=wanted.include, exclude=wanted.exclude, lazy=lazy)


def refuse_strange(options: Options, sources: Iterable[SourceUrl], plugins: Plugins) -> None:
    """Raise UsageError for options of a plugin that is not there: without a word, a token would be left out."""
    strange = set(options).difference(_prefix(source.backend_class) for source in sources)
    if not strange:
        return
    known = {_prefix(backend_class) for backend_class in plugins.load_all().values()}
    for name in sorted(strange - known):
        raise UsageError(f"no plugin has options called {name!r}", hint=f"there are: {', '.join(sorted(known))}")


def _prefix(backend_class: type[Backend]) -> str:
    return backend_class.prefix or backend_class.schemes[0]


def joining_as(joining: Joining | None, seed_peers: Sequence[str] | None, environ: Mapping[str, str]) -> Joining:
    """How to take part: as `joining` says, at `seed_peers` where they are given; the environment says what neither does.

    Raises UsageError for what is no seed peer's URL.
    """
    found = joining_from(environ, seed_peers=seed_peers) if joining is None else joining
    try:
        urls = tuple(map(seed_peer_url, found.seed_peers if seed_peers is None else several(seed_peers)))
    except ValueError as error:
        raise UsageError(str(error), hint="is --seed-peer (DFLY_SEED_PEERS) right?") from error
    return attrs.evolve(found, seed_peers=urls)


@contextmanager
def control_client(
    backends: Backends, network: Network, patience: Patience, joining: Joining
) -> Iterator[httpx.Client]:
    """The client for seed peers, which the environment's proxies are not for: a web seed is not reached through them either.

    It leaves by the session's interface: where a seed peer sees it, other nodes dial it.
    """
    if not joining.seed_peers:
        yield backends.clients.data
        return
    pauses, interface = backends.pauses, joining.interface
    with open_clients(network, patience=patience, pauses=pauses, interface=interface, direct=True) as clients:
        yield clients.data


@contextmanager
def stop_signal(
    timeout: float | None, cancel: threading.Event | None, *, kept: bool = True
) -> Iterator[threading.Event]:
    """An event of the task's own, set when the caller's `cancel` is, or after `timeout` seconds (then it means TimedOut).

    `kept` says that another run goes on with what has arrived.

    The caller's event is only read: a task that stops its own workers must not look like a user who pressed Ctrl-C.
    """
    stop, done = threading.Event(), threading.Event()
    deadline = None if timeout is None else time.monotonic() + timeout
    expired = False

    def watch() -> None:
        nonlocal expired
        while not done.wait(0.1):
            expired = deadline is not None and time.monotonic() > deadline
            if expired or (cancel is not None and cancel.is_set()):
                stop.set()
                return

    if cancel is not None and cancel.is_set():
        # who gave up before it began waits for no look
        stop.set()
    if timeout is not None or cancel is not None:
        threading.Thread(target=watch, name="dfly-stop", daemon=True).start()
    try:
        yield stop
    except Cancelled as error:
        if expired:
            hint = "" if kept else "allow more time: what went to standard output cannot be continued"
            raise TimedOut(f"not done after {timeout:g} s", hint=hint) from error
        raise
    finally:
        done.set()
