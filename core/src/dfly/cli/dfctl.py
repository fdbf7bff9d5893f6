"""dfctl: look at and steer what dfly does on this machine. A subcommand is a file `ctl_<name>.py`, added in `_app`."""

import sys
from collections.abc import Sequence

import typer

from dfly.cli import (
    ctl_archive,
    ctl_cache,
    ctl_config,
    ctl_ls,
    ctl_peers,
    ctl_plugins,
    ctl_preheat,
    ctl_put,
    ctl_rm,
    ctl_status,
    ctl_torrent,
    flags,
)
from dfly.cli.failures import Failures, wants_debug
from dfly.cli.streams import open_closed
from dfly.plugins import Plugins


def main() -> None:
    """The entry point of the `dfctl` command."""
    open_closed()
    sys.exit(run(sys.argv[1:], plugins=Plugins()))


def run(argv: Sequence[str], *, plugins: Plugins) -> int:
    """Run one command line and return its exit code."""
    failures = Failures(program="dfctl", stream=sys.stderr, debug=wants_debug(argv), debug_by="DFLY_DEBUG=1")
    try:
        code = int(_app(plugins, argv)(args=list(argv), prog_name="dfctl", standalone_mode=False) or 0)
        sys.stdout.flush()
    except typer.TyperException as error:
        message = error.format_message()
        context = getattr(error, "ctx", None)
        # a flag without its value is found out before there is one
        command = context.command_path if context else f"dfctl {argv[0]}"
        hint = f"{command} --help lists the {'commands' if command == 'dfctl' else 'flags'}"
        return failures.say("UsageError", message, hint=hint, exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last place where a failure can be put into words
        return failures.tell(error)
    else:
        return code


def _app(plugins: Plugins, argv: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        help=_globals.__doc__,
        epilog="Exit codes are dfget's: 2 nobody answers, or the question is wrong; 4 nothing goes by that name; "
        "5 the wrong token; 12 it is in use. dfget --help has all of them.",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    app.command("ls")(ctl_ls.ls)
    app.command("status")(ctl_status.status)
    app.command("peers")(ctl_peers.peers)
    app.command("config")(ctl_config.config)
    app.command("plugins")(ctl_plugins.command(plugins))
    app.command("verify")(ctl_cache.verify)
    app.command("pin")(ctl_cache.pin)
    app.command("unpin")(ctl_cache.unpin)
    app.command("rm")(ctl_rm.rm)
    app.command("put")(ctl_put.command(plugins, argv))
    app.command("preheat")(ctl_preheat.command(plugins, argv))
    app.command("torrent")(ctl_torrent.torrent)
    app.command("export")(ctl_archive.export)
    app.command("import")(ctl_archive.import_)
    return app


def _globals(version: flags.Version = False) -> None:  # noqa: FBT002 - typer calls it by name
    """See and steer what dfly does: on this machine, or with --seed-peer at a seed peer."""
