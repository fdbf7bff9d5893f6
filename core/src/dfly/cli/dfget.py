"""dfget: fetch source URLs. Parses, calls `dfly.fetch`, renders.

What is heavy (httpx, the core's engine, the log, rich) is imported when it is needed: `--version`, `--help` and shell
completion answer at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from dfly.backend import Backend
from dfly.cli import flags, manual
from dfly.cli.caches import CacheFlags, refuse_strange, spelled_out, with_cache_flags
from dfly.cli.failures import Failures, wants_debug
from dfly.cli.hearsay import with_hearsay
from dfly.cli.options import (
    Options,
    PluginFlags,
    declared_flags,
    needed_backends,
    source_urls,
    with_plugin_flags,
)
from dfly.cli.output import JsonLines
from dfly.cli.page import PlainHelp
from dfly.cli.sparing import spare_imports
from dfly.cli.streams import open_closed
from dfly.cli.task import Screen
from dfly.config import Fetch, Joining, Network
from dfly.errors import UsageError
from dfly.events import Listener, Warned
from dfly.plugins import Plugins
from dfly.tracing import from_environment

if TYPE_CHECKING:
    from dfly.daemon.client import Daemon
    from dfly.node.fetch import Report

Fetcher = Callable[..., "Report"]


def main() -> None:
    """The entry point of the `dfget` command."""
    open_closed()
    spare_imports()
    sys.exit(run(sys.argv[1:], plugins=Plugins()))


def run(argv: Sequence[str], *, plugins: Plugins, fetch: Fetcher | None = None) -> int:
    """Run one command line and return its exit code. `fetch` stands in for `dfly.fetch`."""
    argv = spelled_out(argv)
    json_lines = JsonLines(sys.stdout, on_closed=lambda: None) if "--json" in argv else None
    failures = Failures(program="dfget", stream=sys.stderr, emit=json_lines, debug=wants_debug(argv))
    try:
        if not _asks_nothing(argv):
            plugins = with_hearsay(argv, plugins, dfget, help_page=_asks_for_help(argv))
        app = _app(partial(dfget, plugins=plugins, fetch=fetch), _backends(argv, plugins), plugins)
        code = int(app(args=list(argv), prog_name="dfget", standalone_mode=False) or 0)
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message()
        return failures.say("UsageError", message, hint="dfget --help lists the flags", exit_code=error.exit_code)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - the last place where a failure can be put into words
        return failures.tell(error)
    else:
        return code


def dfget(  # noqa: PLR0917 - one parameter a flag; typer calls them by name
    urls: flags.Urls,
    output: flags.Output = None,
    recursive: flags.Recursive = False,  # noqa: FBT002 - typer calls it by name
    include: flags.Include = [],  # noqa: B006 - typer hands out a list of its own
    exclude: flags.Exclude = [],  # noqa: B006 - as include
    digest: flags.Checksum = None,
    max_files: flags.MaxFiles = None,
    overwrite: flags.Overwrite = False,  # noqa: FBT002 - as recursive
    dry_run: flags.DryRun = False,  # noqa: FBT002 - as recursive
    concurrency: flags.Concurrency = 8,
    limit_rate: flags.LimitRate = None,
    timeout: flags.Timeout = None,
    seed_peer: flags.SeedPeers = [],  # noqa: B006 - as include
    cluster_token: flags.ClusterToken = "",
    location: flags.Location = "",
    peer_port: flags.PeerPort = 0,
    interface: flags.Interface = "",
    advertise: flags.Advertise = [],  # noqa: B006 - as include
    upload_limit: flags.UploadLimit = None,
    seed_time: flags.SeedTime = None,
    no_back_to_source: flags.NoBackToSource = False,  # noqa: FBT002 - as recursive
    insecure: flags.Insecure = False,  # noqa: FBT002 - as recursive
    no_daemon: flags.NoDaemon = False,  # noqa: FBT002 - as recursive
    link: flags.Links = "auto",
    ca_file: flags.CaFile = None,
    cert: flags.Cert = None,
    key: flags.Key = None,
    proxy: flags.Proxy = None,
    json: flags.Json = False,  # noqa: FBT002 - as recursive
    quiet: flags.Quiet = False,  # noqa: FBT002 - as recursive
    no_progress: flags.NoProgress = False,  # noqa: FBT002 - as recursive
    log_level: flags.LogLevel = "warning",
    debug: flags.Debug = False,  # noqa: FBT002 - as recursive
    version: flags.Version = False,  # noqa: ARG001, FBT002 - its callback has answered
    *,
    options: Options,
    cache: str | None,
    plugins: Plugins,
    fetch: Fetcher | None,
) -> int:
    """The command itself; returns the exit code."""
    screen = Screen(
        program="dfget", json=json, quiet=quiet, progress=not no_progress, debug=debug, payload=output == "-"
    )

    def task(on_event: Listener, cancel: threading.Event) -> "Report":
        _check(output=output, json=json, dry_run=dry_run, cert=cert, key=key)
        network = Network(ca_file=_text(ca_file), cert=_text(cert), key=_text(key), proxy=proxy or None)
        joining = Joining(
            seed_peers=tuple(seed_peer),
            cluster_token=cluster_token,
            location=location,
            port=peer_port,
            interface=interface,
            advertise=tuple(advertise),
            upload_limit=upload_limit,
            seed_time=10.0 if seed_time is None else seed_time,
            back_to_source=not no_back_to_source,
            insecure=insecure,
        )
        alone = no_daemon or fetch is not None or network != Network()
        with from_environment("dfget") as traces:
            return (fetch or _engine(log_level))(
                urls[0] if len(urls) == 1 else urls,
                output,
                recursive=recursive,
                include=include,
                exclude=exclude,
                options=options,
                digest=digest,
                overwrite=overwrite,
                dry_run=dry_run,
                max_files=max_files,
                timeout=timeout,
                joining=joining,
                settings=Fetch(concurrency=concurrency, limit_rate=limit_rate),
                network=network,
                plugins=plugins,
                on_event=on_event,
                cancel=cancel,
                stdout=sys.stdout.buffer,
                cache=cache,
                **({"traces": traces} if traces.on else {}),
                **({} if alone else {"lender": _daemon(on_event, joining), "link": link}),
            )

    return screen.run(task, dry_run=dry_run)


def _app(command: "partial[int]", backends: list[type[Backend]], plugins: Plugins) -> typer.Typer:
    taken = declared_flags(dfget)
    plugin_flags = PluginFlags.of(backends, taken=taken)
    cache_flags = CacheFlags.of(backends, taken=taken | plugin_flags.names)
    app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(
        name="dfget",
        cls=PlainHelp,
        help=manual.SUMMARY,
        epilog=manual.epilog(backends, plugins.broken()),
        context_settings={"help_option_names": ["-h", "--help"]},
    )(with_cache_flags(with_plugin_flags(command, plugin_flags), cache_flags))
    return app


def _backends(argv: Sequence[str], plugins: Plugins) -> list[type[Backend]]:
    if _asks_nothing(argv):
        return []
    everything = _asks_for_help(argv) or "_DFGET_COMPLETE" in os.environ
    switches = declared_flags(dfget, switches_only=True)
    needed = needed_backends(argv, plugins, switches=switches, everything=everything)
    if not everything and source_urls(argv, switches):
        refuse_strange(argv, needed, taken=declared_flags(dfget))
    return needed


def _asks_nothing(argv: Sequence[str]) -> bool:
    """Whether no plugin has a say in what is asked for."""
    return not {"--version", "--show-completion", "--install-completion"}.isdisjoint(argv)


def _asks_for_help(argv: Sequence[str]) -> bool:
    return not {"--help", "-h"}.isdisjoint(argv)


def _engine(log_level: str) -> Fetcher:
    from dfly.cli import logs
    from dfly.node.fetch import fetch

    logs.configure(log_level, human=sys.stderr.isatty())
    return fetch


def _daemon(on_event: Listener, joining: Joining) -> "Daemon | None":
    """The daemon of this machine, where there is one that may be trusted."""
    from dfly.daemon.finding import find

    path = find()
    if path is None:
        if where := os.environ.get("DFLY_SOCKET"):
            on_event(Warned(message=f"no daemon that this user can trust listens at {where}; going on without it"))
        return None
    from dfly.daemon.client import Daemon

    return Daemon(path, joining)


def _check(*, output: str | None, json: bool, dry_run: bool, cert: Any, key: Any) -> None:
    if output == "-" and json:
        raise UsageError("--json and -O - both want standard output", hint="leave one of them out")
    if output == "-" and dry_run:
        raise UsageError("--dry-run writes nothing, so -O - has no meaning", hint="leave one of them out")
    if key and not cert:
        raise UsageError("--key belongs to a client certificate", hint="give the certificate with --cert")


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
