"""`dfly.open` and `dfly.snapshot`: read of a source without fetching it. Who sends the bytes is decided here.

an endpoint option names a node daemon's facade ──▶ the daemon, which asks cache and swarm
else seed peers are given and one answers       ──▶ `published`: pieces, each checked
else, or where the seed peer is lost            ──▶ the source itself, by ranges
"""

import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import attrs

from dfly.config import Joining, Network, Patience, network_from
from dfly.events import Listener, Retrying, ignore
from dfly.node.hearsay import acquainted
from dfly.node.published import Published, entry_of, unsized
from dfly.node.resolve import same_file
from dfly.node.sources import Options, SourceUrl, Wanted, control_client, joining_as, refuse_strange, stop_signal
from dfly.node.streamed import RemoteFile, Source
from dfly.node.succession import Seat
from dfly.node.ways import FromSource, Rather
from dfly.origin.backends import Backends
from dfly.origin.patience import Patient
from dfly.plugins import Plugins
from dfly.values import Entry, Snapshot

_ONE = Wanted((), (), recursive=False)


def open(  # noqa: A001 - as `io.open`
    url: str,
    *,
    options: Options | None = None,
    seed_peers: Sequence[str] | None = None,
    joining: Joining | None = None,
    network: Network | None = None,
    patience: Patience | None = None,
    plugins: Plugins | None = None,
    on_event: Listener = ignore,
    cancel: threading.Event | None = None,
) -> RemoteFile:
    """Open one file of a source for reading: a seekable binary file, of which only what is read is fetched.

    >>> with dfly.open("memory://tiny/model.bin", plugins=plugins) as file:
    ...     _ = file.seek(-8, os.SEEK_END)
    ...     file.read()
    b'the end.'

    `options` are backend options by prefix and field, as for `dfly.fetch`; `plugins` those that are installed where not given.
    The bytes come from the node daemon where the hub's endpoint option (`--gopher-endpoint`, or its variable) names one; else
    from a seed peer, of `seed_peers` (base URLs) or, where that is None, of `DFLY_SEED_PEERS`; else from the source itself.
    `joining`, `network` and `patience` (`dfly.config`) say the rest; without them the environment does, in dfget's variables.
    `on_event` is called from other threads, with what goes wrong on the way. Setting `cancel` ends every read with Cancelled,
    within a tenth of a second.

    What is checked, and when: the URL is resolved once, so every read is of one revision. From a seed peer each piece (128 KiB
    or more) is held against its SHA-1 before a byte of it is handed out. From the source or a daemon a read is what they sent
    for the pinned revision; another ETag than before raises Changed. And where a file is read from its first byte to its last
    in order, the last bytes come only if the whole has the digest that the source promised; else IntegrityError.

    It holds at most 32 MiB in memory, or two pieces where those are larger (a file of more than 130 GB). Safe to call from any
    thread; from asyncio, through `asyncio.to_thread`. It sets no signal handlers and changes no logging.

    Raises a DflyError: NotAFile for a folder, NotFound, AccessDenied, SwarmError where back-to-source is not allowed.
    """
    with ExitStack() as stack:
        asking = stack.enter_context(_Asking.begun(joining, seed_peers, network, patience, plugins, on_event, cancel))
        source = asking.as_given(url, options or {})
        seat = asking.seat(source, _ONE)
        entry = entry_of(seat.resolved) if seat is not None else source.file()
        bytes_from: Source
        if seat is not None and entry.size:
            published = Published(seat.seed_peer, seat.resolved, stop=asking.stop, patience=asking.joining.patience)
            stack.callback(published.close)
            alone = partial(asking.alone, source, entry) if asking.joining.back_to_source else None
            bytes_from = Rather(published, alone, tell=on_event)
        else:
            if seat is not None and entry.size is None:
                if not asking.joining.back_to_source:
                    raise unsized(entry)
                entry = source.file()
            bytes_from = asking.direct(source, entry)
        return RemoteFile(entry, bytes_from, stop=asking.stop, closed=stack.pop_all().close)


def snapshot(
    url: str,
    *,
    recursive: bool = True,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: Options | None = None,
    seed_peers: Sequence[str] | None = None,
    timeout: float | None = None,
    joining: Joining | None = None,
    network: Network | None = None,
    patience: Patience | None = None,
    plugins: Plugins | None = None,
    on_event: Listener = ignore,
    cancel: threading.Event | None = None,
) -> Snapshot:
    """What a source URL means now: its pinned revision, and every file below it with size and digests. Fetches no content.

    >>> found = dfly.snapshot("memory://tiny", include=["*.bin"], plugins=plugins)
    >>> [(entry.path, entry.size) for entry in found.entries]
    [('model.bin', 24)]

    `include` and `exclude` are globs (`dfget --help`); not `recursive`, the URL must name one file. `timeout` is in seconds;
    the other arguments are those of `dfly.open`. Seed peers answer from what they know, and are not made to fetch anything.

    Raises a DflyError: NotFound, AccessDenied, OriginUnavailable, TimedOut, Cancelled.
    """
    wanted = Wanted(include, exclude, recursive)
    with (
        stop_signal(timeout, cancel) as stop,
        _Asking.begun(joining, seed_peers, network, patience, plugins, on_event, stop) as asking,
    ):
        source = asking.as_given(url, options or {})
        seat = asking.seat(source, wanted)
        return source.resolve(wanted) if seat is None else seat.resolved.snapshot


@attrs.define(kw_only=True, eq=False)
class _Asking:
    """What both need to ask with; a context manager. `stop` ends every wait."""

    joining: Joining
    network: Network
    patience: Patience
    plugins: Plugins
    tell: Listener
    stop: threading.Event
    backends: Backends
    _more: ExitStack = attrs.field(factory=ExitStack)

    @classmethod
    def begun(
        cls,
        joining: Joining | None,
        seed_peers: Sequence[str] | None,
        network: Network | None,
        patience: Patience | None,
        plugins: Plugins | None,
        tell: Listener,
        cancel: threading.Event | None,
    ) -> "_Asking":
        stack = ExitStack()
        stop = stack.enter_context(stop_signal(None, cancel))
        network, patience = network or network_from(os.environ), patience or Patience()
        plugins = plugins or Plugins()

        def on_retry(origin: str, cause: str, after: float) -> None:
            tell(Retrying(path=origin, cause=cause, after=after))

        backends = stack.enter_context(
            Backends(plugins, network=network, patience=patience, cancel=stop, on_retry=on_retry)
        )
        return cls(
            joining=joining_as(joining, seed_peers, os.environ),
            network=network,
            patience=patience,
            plugins=plugins,
            tell=tell,
            stop=stop,
            backends=backends,
            more=stack,
        )

    def as_given(self, url: str, options: Options) -> "_Given":
        control = self._more.enter_context(control_client(self.backends, self.network, self.patience, self.joining))
        plugins = acquainted(self.plugins, [url], self.joining, client=control)
        given = SourceUrl.as_given(url, options, plugins, self.backends)
        refuse_strange(options, [given], plugins)
        settled = self.backends.settled(given.backend_class, given.settings)
        return _Given(source=given, by_daemon=settled != given.settings, control=control)

    def seat(self, given: "_Given", wanted: Wanted) -> Seat | None:
        """What a seed peer says of it; None where none is to be asked, or none answers and the source may be."""
        if given.by_daemon:
            return None
        return given.source.seat(wanted, self.joining, self.tell, given.control, self.stop)

    def alone(self, given: "_Given", told: Entry) -> "FromSource":
        """The rest of what a seed peer told of, from the source. Raises Changed where that has another file by now."""
        return self.direct(given, same_file(told, given.file()))

    def direct(self, given: "_Given", entry: Entry) -> "FromSource":
        """Its bytes from the source, or from the daemon that stands for it."""

        def on_retry(path: str, cause: str, after: float) -> None:
            self.tell(Retrying(path=path, cause=cause, after=after))

        patient = Patient(
            given.source.backend(),
            patience=self.patience,
            pauses=self.backends.pauses,
            on_retry=on_retry,
            cancel=self.stop,
        )
        return FromSource(patient, entry, way="daemon" if given.by_daemon else "hub")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._more.close()


@attrs.frozen(kw_only=True)
class _Given:
    """A source, whether a node daemon answers for it, and the client for seed peers."""

    source: SourceUrl
    by_daemon: bool
    control: Any

    def resolve(self, wanted: Wanted) -> Snapshot:
        return self.source.resolve(wanted)

    def file(self) -> Entry:
        (entry,) = self.resolve(_ONE).entries
        return entry
