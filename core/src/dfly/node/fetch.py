"""`dfly.fetch`: a source URL becomes files on this machine. The one function behind dfget.

It decides nothing about bytes: it builds what a task needs, resolves, and hands over to `task`.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import BinaryIO

from dfly.config import Fetch, Joining, Network, Patience, network_from
from dfly.errors import UsageError
from dfly.events import Listener, Retrying, ignore
from dfly.node.arrival import Arrival
from dfly.node.hearsay import acquainted
from dfly.node.lending import Lender
from dfly.node.lent import Link
from dfly.node.resolve import expect
from dfly.node.sources import Options, SourceUrl, Wanted, control_client, joining_as, refuse_strange, stop_signal
from dfly.node.tally import Planned, Report, Tally
from dfly.node.task import Task
from dfly.origin.backends import Backends
from dfly.output.plan import Target
from dfly.output.preflight import preflight
from dfly.plugins import Plugins
from dfly.store.hashing import supported
from dfly.tracing import NO_TRACES, TaskSpans, Traces, within
from dfly.values import Digest, Snapshot, bare_url

__all__ = ["Options", "Planned", "Report", "fetch"]


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
    seed_peers: Sequence[str] | None = None,
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

    >>> report = dfly.fetch("memory://tiny", "models/", recursive=True, include=["*.bin"], plugins=plugins)
    >>> (report.files, report.bytes, report.sources)
    (1, 24, {'hub': 24})

    `output` is a file path, a directory (existing or with a trailing `/`), None for the source's own name in the current
    directory, or "-" to write one file to `stdout`, a binary file. Not `recursive`, the URL names one file, which `digest`
    ("sha256:<hex>") may be demanded of; `recursive`, it is all below it, chosen by the globs `include` and `exclude`, at most
    `max_files`. What is there already and right is kept, and any other file of that name is replaced; `overwrite` fetches again
    even what is right. `dry_run` transfers nothing, has nobody else fetch anything, and reports what would be. `options` are
    backend options by prefix and field (`{"gopher": {"token": "…"}}`), of those that are installed or `plugins`; the environment
    is asked for the others. `timeout` is in seconds for the whole task.
    With `seed_peers` (base URLs; None: those of `DFLY_SEED_PEERS`) the bytes come from the swarm; `joining`, `network`,
    `settings` and `patience` (`dfly.config`) say the rest, and without the first two the environment, in dfget's variables.
    `on_event` is called with frozen `dfly.events` values, the same as `dfget --json`, one at a time, from worker threads.
    Setting `cancel` stops the task, which raises Cancelled. A `lender` (a node daemon) is asked first; its files become outputs
    by `link`: "auto" shares blocks where the file system can and copies elsewhere, "hard" links this user's own files.
    With `cache` they go, instead of to `output`, to the cache of the hub's own tools in that folder, or where those keep it if
    it is "". `traces` (`dfly.tracing`) show the task to an operator.

    Safe to call from any thread; from asyncio, through `asyncio.to_thread`. It sets no signal handlers and changes no logging.

    Raises a `dfly.DflyError`; what has arrived by then is kept and the same call goes on from there.
    """
    urls = [url] if isinstance(url, str) else list(dict.fromkeys(url))
    where = _output(urls, output, recursive=recursive, piped=stdout is not None, dry_run=dry_run)
    wanted = Wanted(include, exclude, recursive)
    demanded = _demanded(digest, recursive=recursive)
    joining, network = joining_as(joining, seed_peers, os.environ), network or network_from(os.environ)
    patience, plugins = patience or Patience(), plugins or Plugins()
    spans = TaskSpans(traces, traces.begin("dfly.fetch", source=" ".join(map(bare_url, urls))), on_event)
    said = Tally(spans)

    def on_retry(origin: str, cause: str, after: float) -> None:
        said(Retrying(path=origin, cause=cause, after=after))

    with (
        spans,
        stop_signal(timeout, cancel, kept=where != "-") as stop,
        Backends(plugins, network=network, patience=patience, cancel=stop, on_retry=on_retry) as backends,
        control_client(backends, network, patience, joining) as control,
        ExitStack() as lenders,
    ):
        plugins = acquainted(plugins, urls, joining, client=control)
        sources = [SourceUrl.of(one, options or {}, plugins, backends) for one in urls]
        refuse_strange(options or {}, sources, plugins)
        places = [source.outputs(where, cache, wanted, overwrite=overwrite) for source in sources]
        tasks = []
        for source, outputs in zip(sources, places, strict=True):
            reserve = partial(source.in_reserve, wanted, plugins, network, settings or Fetch(), patience)
            # what is in place already is no reason for a seed peer to fetch it; where nothing is, it begins at once
            lazy = dry_run or (not overwrite and where != "-" and outputs.occupied())
            join = partial(source.join, wanted, joining, said, reserve, control, stop, lazy=lazy)
            expected = partial(expect, digest=demanded, max_files=max_files, url=source.url)
            with within(traces.begin("dfly.resolve", source=bare_url(source.url))) as span:
                borrowed = source.borrowed(lender, wanted, settings or Fetch(), stop, lazy=lazy)
                loan = lenders.enter_context(borrowed)
                joined = None if loan or where == "-" else join()
                seat = None if loan or where != "-" else source.seat(wanted, joining, said, control, stop)
                told = loan or joined or (seat and seat.resolved)
                snapshot = expected(told.snapshot if told else source.resolve(wanted))
                by = "daemon" if loan else "seed-peer" if told else "hub"
                span.set(by=by, files=len(snapshot.entries))
            task = Task(
                snapshot=snapshot,
                resolve=partial(_alone, source, wanted, expected),
                joined=joined,
                join=join,
                loan=loan,
                seat=seat,
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
        if where == "-" and stdout is not None:
            return tasks[0].stream(stdout)
        if len(tasks) > 1 and not dry_run:
            _refuse_full(tasks)
        reports = [task.dry_run() if dry_run else task.run() for task in tasks]
        return reports[0] if len(reports) == 1 else _joined(reports, where=where)


def _alone(source: "SourceUrl", wanted: "Wanted", expected: Callable[[Snapshot], Snapshot]) -> Snapshot:
    return expected(source.resolve(wanted))


def _output(
    urls: Sequence[str], output: str | os.PathLike[str] | None, *, recursive: bool, piped: bool, dry_run: bool
) -> str | None:
    if not urls:
        raise UsageError("no source URL given")
    where = None if output is None else os.fspath(output)
    if where == "-" and (recursive or len(urls) > 1):
        raise UsageError("-O - writes one file to standard output", hint="name one file and leave out -r")
    if where == "-" and dry_run:
        raise UsageError("--dry-run writes nothing, so -O - has no meaning", hint="leave one of them out")
    if where == "-" and not piped:
        raise UsageError("output '-' has nowhere to go", hint="give a binary file as stdout, or name an output")
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
    """One source's files never share a place; those of several may, which is harmless where it is the same file."""
    seen: dict[str, Target] = {}
    for target in targets:
        rival = seen.setdefault(os.path.abspath(target.path), target)
        if rival.entry != target.entry:
            raise UsageError(
                f"{target.path} would be both {bare_url(rival.entry.url)} and {bare_url(target.entry.url)}",
                hint="fetch them one after the other, each with its own -O",
            )


def _refuse_full(tasks: Sequence[Task]) -> None:
    """Each task looks for room when its turn comes, the last one after the bytes of all others: look at them together.

    Counted is what has nothing at its place; no file is read.
    """
    needed = 0
    for task in tasks:
        absent = [target for target in task.targets if not os.path.lexists(target.path)]
        root = task.outputs.root(task.targets)
        if task.loan is None or task.link != "hard":
            needed += sum(arrival.bytes_missing() for arrival in Arrival.each(absent, root=root, emit=ignore))
        preflight([target.path for target in absent], root=root, needed=needed)


def _joined(reports: Sequence[Report], *, where: str | None) -> Report:
    sources: Counter[str] = Counter()
    for report in reports:
        sources.update(report.sources)
    return Report(
        url=" ".join(r.url for r in reports),
        output=where or " ".join(r.output for r in reports),
        files=sum(r.files for r in reports),
        bytes=sum(r.bytes for r in reports),
        skipped=sum(r.skipped for r in reports),
        seconds=round(sum(r.seconds for r in reports), 3),
        sources=dict(sources),
        plan=tuple(p for r in reports for p in r.plan),
    )
