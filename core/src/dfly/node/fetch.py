"""`dfly.fetch`: a source URL becomes files on this machine. The one function behind dfget.

It decides nothing about bytes: it resolves, plans the outputs, leaves out what is already there, hands the rest to a source
(the origin, or the swarm), and reports.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import attrs

from dfly.backend import Backend, build_options
from dfly.config import Fetch, Network, Patience
from dfly.errors import Cancelled, TimedOut, UsageError
from dfly.events import BytesArrived, Event, FileSkipped, Listener, SnapshotResolved, TaskFinished, ignore
from dfly.node.arrival import Arrival, already_there
from dfly.node.direct import fetch_directly, stream_to
from dfly.node.resolve import resolve
from dfly.origin.backends import Backends
from dfly.output.plan import Target, plan
from dfly.output.preflight import preflight
from dfly.plugins import Plugins
from dfly.values import Snapshot

Options = Mapping[str, Mapping[str, str | tuple[str, ...]]]


@attrs.frozen(kw_only=True)
class Planned:
    """One line of a dry run: where a file would go, its size in bytes, whether it is already there and right."""

    path: str
    output: str
    size: int | None
    present: bool


@attrs.frozen(kw_only=True)
class Report:
    """What a task did. `bytes` counts all files, `skipped` those already there; `sources` maps a source to bytes moved."""

    url: str
    output: str
    files: int
    bytes: int
    skipped: int
    seconds: float
    sources: Mapping[str, int]
    plan: tuple[Planned, ...] = ()


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
    network: Network | None = None,
    patience: Patience | None = None,
    plugins: Plugins | None = None,
    on_event: Listener = ignore,
    cancel: threading.Event | None = None,
    stdout: BinaryIO | None = None,
) -> Report:
    """Fetch one source URL (or several) to `output` and return when every file is verified and in place.

    `output` is a file path, a directory (existing or with a trailing `/`), None for the source's own name in the current
    directory, or "-" to write one file to `stdout`. `options` are backend options by prefix and field
    (`{"hf": {"token": "…"}}`); the environment is asked for the others. `timeout` is in seconds for the whole task.
    `on_event` is called with frozen `dfly.events` values, one at a time, from worker threads. Setting `cancel` stops the task.

    Raises a `dfly.DflyError`; what has arrived by then is kept and the same call goes on from there.
    """
    urls = [url] if isinstance(url, str) else list(url)
    if not urls:
        raise UsageError("no source URL given")
    where = None if output is None else os.fspath(output)
    if len(urls) > 1 and where is not None and where != "-" and not where.endswith(os.sep):
        where += os.sep
    if where == "-" and (recursive or len(urls) > 1):
        raise UsageError("-O - writes one file to standard output", hint="name one file and leave out -r")
    tally = _Tally(on_event)
    settings, patience = settings or Fetch(), patience or Patience()
    plugins = plugins or Plugins()
    with (
        _stop_signal(timeout, cancel) as stop,
        Backends(plugins, network=network or Network(), patience=patience) as backends,
    ):
        reports = []
        for one in urls:
            backend_class = plugins.backend_for(one)
            given = (options or {}).get(backend_class.prefix or backend_class.schemes[0], {})
            backend = backends.get(backend_class, build_options(backend_class, given))
            snapshot = resolve(
                backend, one, recursive=recursive, include=include, exclude=exclude, digest=digest, max_files=max_files
            )
            task = _Task(one, snapshot, backend, settings, patience, tally, stop, recursive=recursive, overwrite=overwrite)
            if where == "-":
                assert stdout is not None, "output '-' needs stdout"
                reports.append(task.stream(stdout))
            elif dry_run:
                reports.append(task.dry_run(where))
            else:
                reports.append(task.run(where))
        return reports[0] if len(reports) == 1 else _joined(reports)


@attrs.define
class _Task:
    url: str
    snapshot: Snapshot
    backend: Backend
    settings: Fetch
    patience: Patience
    tally: "_Tally"
    stop: threading.Event
    recursive: bool = attrs.field(kw_only=True)
    overwrite: bool = attrs.field(kw_only=True)

    def run(self, output: str | None) -> Report:
        began = time.monotonic()
        targets = self._planned(output)
        wanted: list[Target] = []
        for target in targets:
            if not self.overwrite and already_there(target):
                self.tally(FileSkipped(path=target.entry.path, bytes=target.entry.size or 0))
            else:
                wanted.append(target)
        root = _root(targets, recursive=self.recursive)
        arrivals = Arrival.of(wanted, root=root, emit=self.tally)
        preflight([target.path for target in wanted], root=root, needed=sum(a.bytes_missing() for a in arrivals))
        fetch_directly(
            arrivals, self.backend, settings=self.settings, patience=self.patience, emit=self.tally, stop=self.stop
        )
        return self._report(output, targets, skipped=len(targets) - len(wanted), began=began)

    def dry_run(self, output: str | None) -> Report:
        began = time.monotonic()
        targets = self._planned(output)
        planned = tuple(
            Planned(
                path=t.entry.path,
                output=t.path,
                size=t.entry.size,
                present=not self.overwrite and already_there(t),
            )
            for t in targets
        )
        report = self._report(output, targets, skipped=sum(p.present for p in planned), began=began)
        return attrs.evolve(report, plan=planned)

    def stream(self, stdout: BinaryIO) -> Report:
        began = time.monotonic()
        self._announce()
        (entry,) = self.snapshot.entries
        stream_to(stdout, entry, self.backend, patience=self.patience, emit=self.tally, stop=self.stop)
        return self._report("-", [Target(entry, "-")], skipped=0, began=began)

    def _planned(self, output: str | None) -> list[Target]:
        targets = plan(self.snapshot, output, recursive=self.recursive)
        self._announce()
        return targets

    def _announce(self) -> None:
        self.tally(
            SnapshotResolved(
                url=self.snapshot.source,
                revision=self.snapshot.revision,
                snapshot=self.snapshot.id,
                files=len(self.snapshot.entries),
                bytes=self.snapshot.size,
            )
        )

    def _report(self, output: str | None, targets: list[Target], *, skipped: int, began: float) -> Report:
        report = Report(
            url=self.snapshot.source,
            output=_root(targets, recursive=self.recursive) if targets else (output or self.snapshot.name),
            files=len(targets),
            bytes=sum(t.entry.size or 0 for t in targets),
            skipped=skipped,
            seconds=round(time.monotonic() - began, 3),
            sources=self.tally.take_sources(),
        )
        fields = attrs.asdict(report, filter=lambda a, _: a.name != "plan", recurse=False)
        self.tally(TaskFinished(**fields))
        return report


class _Tally:
    """Passes events on, one at a time, and adds up where bytes came from."""

    def __init__(self, on_event: Listener) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._sources: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            if isinstance(event, BytesArrived):
                self._sources[event.source] = self._sources.get(event.source, 0) + event.bytes
            self._on_event(event)

    def take_sources(self) -> dict[str, int]:
        with self._lock:
            taken, self._sources = self._sources, {}
            return taken


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

    watcher = threading.Thread(target=watch, name="dfly-stop", daemon=True)
    if timeout is not None or cancel is not None:
        watcher.start()
    try:
        yield stop
    except Cancelled as error:
        if expired:
            raise TimedOut(f"not done after {timeout:g} s", hint="run the same command again to go on") from error
        raise
    finally:
        done.set()


def _root(targets: Sequence[Target], *, recursive: bool) -> str:
    """The folder (with -r) or file that a task writes to."""
    if not targets:
        return "."
    first = targets[0]
    if not recursive:
        return first.path
    return first.path[: -len(first.entry.path)].rstrip(os.sep) or os.sep


def _joined(reports: Sequence[Report]) -> Report:
    sources: dict[str, int] = {}
    for report in reports:
        for source, count in report.sources.items():
            sources[source] = sources.get(source, 0) + count
    return Report(
        url=" ".join(r.url for r in reports),
        output=" ".join(r.output for r in reports),
        files=sum(r.files for r in reports),
        bytes=sum(r.bytes for r in reports),
        skipped=sum(r.skipped for r in reports),
        seconds=round(sum(r.seconds for r in reports), 3),
        sources=sources,
        plan=tuple(p for r in reports for p in r.plan),
    )
