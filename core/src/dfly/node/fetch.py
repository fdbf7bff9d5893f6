"""`dfly.fetch`: a source URL becomes files on this machine. The one function behind dfget.

It decides nothing about bytes: it builds what a task needs, resolves, and hands over to `task`.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import attrs
import httpx

from dfly.backend import Backend, build_options
from dfly.caches import CacheOrder
from dfly.config import Fetch, Joining, Network, Patience
from dfly.errors import Cancelled, SwarmError, TimedOut, UsageError
from dfly.events import Listener, Retrying, Warned, ignore
from dfly.node.control import secret_options, travelling
from dfly.node.filling import Filling
from dfly.node.hearsay import acquainted
from dfly.node.lending import Lender, Loan, shown
from dfly.node.lent import Link
from dfly.node.outputs import Outputs, Plain
from dfly.node.resolve import expect
from dfly.node.task import Planned, Report, Tally, Task
from dfly.origin.backends import Backends
from dfly.origin.client import open_clients
from dfly.origin.resolve import resolve
from dfly.output.plan import Target
from dfly.plugins import Plugins
from dfly.store.hashing import supported
from dfly.tracing import NO_TRACES, TaskSpans, Traces, within
from dfly.values import Digest, Snapshot, bare_url
from dfly.wire import Ask

if TYPE_CHECKING:
    from dfly.node.joining import Joined
    from dfly.node.reserve import Source

__all__ = ["Options", "Planned", "Report", "fetch"]

Options = Mapping[str, Mapping[str, str | tuple[str, ...]]]


def fetch(
    url: str | Sequence[str],
    output: str | os.PathLike[str] | None = None,
    *,
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    options: Options | None = None,
    digest: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    max_files: int | None = None,
    timeout: float | None = None,
    settings: Fetch | None = None,
    joining: Joining | None = None,
    network: Network | None = None,
    patience: Patience | None = None,
    plugins: Plugins | None = None,
    on_event: Listener = ignore,
    cancel: threading.Event | None = None,
    stdout: BinaryIO | None = None,
    lender: Lender | None = None,
    link: Link = "auto",
    cache: str | os.PathLike[str] | None = None,
    traces: Traces = NO_TRACES,
) -> Report:
    """Fetch one source URL (or several) to `output` and return when every file is verified and in place.

    `output` is a file path, a directory (existing or with a trailing `/`), None for the source's own name in the current
    directory, or "-" to write one file to `stdout`. `options` are backend options by prefix and field
    (`{"gopher": {"token": "…"}}`); the environment is asked for the others. `timeout` is in seconds for the whole task.
    With `joining.seed_peers` the bytes come from the swarm. `on_event` is called with frozen `dfly.events` values, one at a
    time, from worker threads. Setting `cancel` stops the task. A `lender` (a node daemon) is asked first; its files become
    outputs by `link`: "auto" shares blocks where the file system can and copies elsewhere, "hard" links this user's own files.
    With `cache` they go, instead of to `output`, to the cache of the hub's own tools in that folder, or where those keep it if it
    is "". `traces` (`dfly.tracing`) show the task to an operator.

    Raises a `dfly.DflyError`; what has arrived by then is kept and the same call goes on from there.
    """
    urls = [url] if isinstance(url, str) else list(dict.fromkeys(url))
    where = _output(urls, output, recursive=recursive)
    wanted = _Wanted(tuple(include), tuple(exclude), recursive)
    demanded = _demanded(digest, recursive=recursive)
    joining = joining or Joining()
    patience, plugins = patience or Patience(), plugins or Plugins()
    spans = TaskSpans(traces, traces.begin("dfly.fetch", source=" ".join(map(bare_url, urls))), on_event)
    said = Tally(spans)

    def on_retry(origin: str, cause: str, after: float) -> None:
        said(Retrying(path=origin, cause=cause, after=after))

    with (
        spans,
        _stop_signal(timeout, cancel) as stop,
        Backends(plugins, network=network or Network(), patience=patience, cancel=stop, on_retry=on_retry) as backends,
        _control(backends, network or Network(), patience, joining) as control,
        ExitStack() as lenders,
    ):
        plugins = acquainted(plugins, urls, joining, client=control)
        sources = [_Source.of(one, options or {}, plugins, backends) for one in urls]
        places = [source.outputs(where, cache, wanted, overwrite=overwrite) for source in sources]
        tasks = []
        for source, outputs in zip(sources, places, strict=True):
            reserve = partial(source.in_reserve, wanted, plugins, network or Network(), settings or Fetch(), patience)
            join = partial(source.join, wanted, joining, said, reserve, control, stop)
            expected = partial(expect, digest=demanded, max_files=max_files, url=source.url)
            with within(traces.begin("dfly.resolve", source=bare_url(source.url))) as span:
                loan = lenders.enter_context(source.borrowed(lender, wanted, settings or Fetch(), stop))
                joined = None if loan or where == "-" else join()
                resolved = loan or joined
                snapshot = expected(resolved.snapshot if resolved else source.resolve(wanted))
                span.set(by="daemon" if loan else "seed-peer" if joined else "hub", files=len(snapshot.entries))
            task = Task(
                snapshot=snapshot,
                resolve=partial(_alone, source, wanted, expected),
                joined=joined,
                join=join,
                loan=loan,
                link=link,
                backend=source.backend,
                joining=joining,
                settings=settings or Fetch(),
                patience=patience,
                pauses=backends.pauses,
                tally=Tally(said),
                stop=stop,
                outputs=outputs,
                overwrite=overwrite,
                demanded=demanded,
            )
            tasks.append(task)
        planned = [target for task in tasks for target in task.plan()]
        if cache is None:  # there, what has one place is one content
            _refuse_rivals(planned)
        if where == "-":
            assert stdout is not None, "output '-' needs stdout"
            return tasks[0].stream(stdout)
        reports = [task.dry_run() if dry_run else task.run() for task in tasks]
        return reports[0] if len(reports) == 1 else _joined(reports)


def _alone(source: "_Source", wanted: "_Wanted", expected: Callable[[Snapshot], Snapshot]) -> Snapshot:
    return expected(source.resolve(wanted))


@attrs.frozen
class _Wanted:
    """Which files of a source. Raises UsageError for what contradicts itself."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]
    recursive: bool

    def __attrs_post_init__(self) -> None:
        if not self.recursive and (self.include or self.exclude):
            raise UsageError("--include and --exclude choose among many files", hint="add -r")


@attrs.frozen
class _Source:
    """A source URL with the backend that understands it."""

    url: str
    backend_class: type[Backend]
    settings: Any
    backends: Backends

    @classmethod
    def of(cls, url: str, options: Options, plugins: Plugins, backends: Backends) -> "_Source":
        backend_class = plugins.backend_for(url)
        given = options.get(backend_class.prefix or backend_class.schemes[0], {})
        settings = backends.settled(backend_class, build_options(backend_class, given))
        return cls(url, backend_class, settings, backends)

    def backend(self) -> Backend:
        return self.backends.get(self.backend_class, self.settings)

    def resolve(self, wanted: _Wanted) -> Snapshot:
        return resolve(
            self.backend(),
            self.url,
            recursive=wanted.recursive,
            include=wanted.include,
            exclude=wanted.exclude,
        )

    def outputs(
        self, where: str | None, cache: str | os.PathLike[str] | None, wanted: _Wanted, *, overwrite: bool
    ) -> Outputs:
        """Where the files go. Raises UsageError where `cache` is given and this hub's tools have none."""
        if cache is None:
            return Plain(where, wanted.recursive)
        layout, scheme = self.backend_class.cache_layout, self.backend_class.schemes[0]
        if layout is None:
            raise UsageError(f"{scheme}:// has no cache that could be filled", hint="fetch it to a folder with -O")
        if where is not None:
            flag = f"--{self.backend_class.prefix or scheme}-cache"
            raise UsageError(f"-O and {flag} are two places", hint="leave out one of them")
        order = CacheOrder(
            url=self.url,
            settings=self.settings,
            whole=wanted.recursive and not wanted.include and not wanted.exclude,
        )
        directory = os.path.abspath(os.path.expanduser(os.fspath(cache) or layout.directory(os.environ)))
        return Filling(layout=layout, directory=directory, order=order, recursive=wanted.recursive, overwrite=overwrite)

    @contextmanager
    def borrowed(
        self, lender: Lender | None, wanted: _Wanted, settings: Fetch, stop: threading.Event
    ) -> Iterator[Loan | None]:
        """What a daemon can lend of this; None where there is none, or it is not for it."""
        loan = None
        if lender is not None:
            ask = Ask(url=self.url, recursive=wanted.recursive, include=wanted.include, exclude=wanted.exclude)
            loan = lender.resolve(ask, shown(self.backend_class, self.settings), settings=settings, stop=stop)
        try:
            yield loan
        finally:
            if loan is not None:
                loan.close()

    def in_reserve(
        self, wanted: _Wanted, plugins: Plugins, network: Network, settings: Fetch, patience: Patience
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
        wanted: _Wanted,
        joining: Joining,
        tell: Listener,
        source: "Callable[[], Source]",
        control: httpx.Client,
        stop: threading.Event,
    ) -> "Joined | None":
        """The task at a seed peer; None without seed peers, and where none answers and back-to-source is allowed."""
        if not joining.seed_peers:
            return None
        # brings libtorrent along, which a direct download neither needs nor, on the newest Python, has
        from dfly.node.joining import join

        ask = Ask(url=self.url, recursive=wanted.recursive, include=wanted.include, exclude=wanted.exclude)
        options = travelling(self.backend_class, self.settings)
        try:
            secret = secret_options(self.backend_class)
            return join(ask, options, joining, client=control, source=source(), secret=secret, stop=stop)
        except SwarmError as error:
            if not joining.back_to_source:
                raise
            tell(Warned(message=f"{error.message}; going back to the source"))
            return None


@contextmanager
def _control(backends: Backends, network: Network, patience: Patience, joining: Joining) -> Iterator[httpx.Client]:
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
def _stop_signal(timeout: float | None, cancel: threading.Event | None) -> Iterator[threading.Event]:
    """An event of the task's own, set when the caller's `cancel` is, or after `timeout` seconds (then it means TimedOut).

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

    if timeout is not None or cancel is not None:
        threading.Thread(target=watch, name="dfly-stop", daemon=True).start()
    try:
        yield stop
    except Cancelled as error:
        if expired:
            raise TimedOut(f"not done after {timeout:g} s", hint="run the same command again to go on") from error
        raise
    finally:
        done.set()


def _output(urls: Sequence[str], output: str | os.PathLike[str] | None, *, recursive: bool) -> str | None:
    if not urls:
        raise UsageError("no source URL given")
    where = None if output is None else os.fspath(output)
    if where == "-" and (recursive or len(urls) > 1):
        raise UsageError("-O - writes one file to standard output", hint="name one file and leave out -r")
    if where not in (None, "-") and len(urls) > 1:
        where = os.path.join(where, "")
    return where


def _demanded(digest: str | None, *, recursive: bool) -> Digest | None:
    if digest is None:
        return None
    if recursive:
        raise UsageError("--digest belongs to one file", hint="leave out -r, or leave out --digest")
    try:
        demanded = Digest.parse(digest)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not supported(demanded.algorithm):
        raise UsageError(f"this machine cannot compute {demanded.algorithm}", hint="give the SHA-256 with --digest")
    return demanded


def _refuse_rivals(targets: Sequence[Target]) -> None:
    """One source's files never share a place; those of several may."""
    seen: dict[str, Target] = {}
    for target in targets:
        rival = seen.setdefault(os.path.abspath(target.path), target)
        if rival is not target:
            raise UsageError(
                f"{target.path} would be both {rival.entry.url} and {target.entry.url}",
                hint="fetch them one after the other, each with its own -O",
            )


def _joined(reports: Sequence[Report]) -> Report:
    sources: Counter[str] = Counter()
    for report in reports:
        sources.update(report.sources)
    return Report(
        url=" ".join(r.url for r in reports),
        output=" ".join(r.output for r in reports),
        files=sum(r.files for r in reports),
        bytes=sum(r.bytes for r in reports),
        skipped=sum(r.skipped for r in reports),
        seconds=round(sum(r.seconds for r in reports), 3),
        sources=dict(sources),
        plan=tuple(p for r in reports for p in r.plan),
    )
