"""Every global flag: its name, its help, and for settings of a machine or a session also an environment variable.

What changes what is fetched or overwritten (`--include`, `--overwrite`, …) has none: a forgotten one would surprise.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dfly.cli.units import parse_duration, parse_rate
from dfly.values import Digest, seed_peer_url

T = TypeVar("T")

WHAT, HOW, SWARM = "What to fetch", "How to fetch it", "Swarm"
DAEMON, NETWORK, SHOW = "The node's daemon", "Network", "What to show"


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` with its ValueError as a usage error that names the flag."""

    def parsed(text: Any) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


def seed_peer_flag(text: str, **more: Any) -> Any:
    """`--seed-peer URL` with this help; `more` is for `typer.Option`."""
    return typer.Option("--seed-peer", metavar="URL", parser=checked(seed_peer_url), help=text, **more)


def _digest(text: str) -> str:
    return str(Digest.parse(text))


def _levels() -> tuple[str, ...]:
    return ("debug", "info", "warning", "error")


def _level(text: str) -> str:
    if text not in _levels():
        raise ValueError(f"{text!r} is not a level; write debug, info, warning or error")
    return text


def _ways_to_link() -> tuple[str, ...]:
    return ("auto", "hard")


def _link(text: str) -> str:
    if text not in _ways_to_link():
        raise ValueError(f"{text!r} is no way to link; write auto or hard")
    return text


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        from dfly import __version__

        typer.echo(f"dfly {__version__}")
        raise typer.Exit


_FILE: Any = {"exists": True, "dir_okay": False, "readable": True}

Urls = Annotated[
    list[str],
    typer.Argument(
        metavar="URL", help="Source URLs, scheme://…; pasted web links of a known hub work too.", show_default=False
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-O",
        "--output",
        metavar="PATH",
        help="Where to: a file, or a directory (an existing one, or with a trailing /). - is standard output. "
        "Default: the source's own name, here. With several URLs, a directory.",
        rich_help_panel=WHAT,
    ),
]
Recursive = Annotated[
    bool, typer.Option("-r", "--recursive", help="Everything below URL, directly under PATH.", rich_help_panel=WHAT)
]
Include = Annotated[
    list[str],
    typer.Option(
        "--include",
        metavar="GLOB",
        help="Only these files. Case matters, * crosses /, a trailing / means everything below. Repeatable.",
        rich_help_panel=WHAT,
    ),
]
Exclude = Annotated[
    list[str], typer.Option("--exclude", metavar="GLOB", help="But not these. Repeatable.", rich_help_panel=WHAT)
]
Checksum = Annotated[
    str | None,
    typer.Option(
        "--digest",
        metavar="ALGORITHM:HEX",
        parser=checked(_digest),
        help="What the one file must be, sha256:… for example, whatever the origin says.",
        rich_help_panel=WHAT,
    ),
]
MaxFiles = Annotated[
    int | None,
    typer.Option(
        "--max-files",
        min=1,
        metavar="N",
        help="Refuse a source with more files.",
        rich_help_panel=WHAT,
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Fetch again even what is already there and right.", rich_help_panel=WHAT)
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="List files, sizes and what is there; transfer nothing.", rich_help_panel=WHAT),
]

Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency",
        min=1,
        max=64,
        metavar="N",
        envvar="DFLY_CONCURRENCY",
        help="Most connections to the origin at a time.",
        rich_help_panel=HOW,
    ),
]
LimitRate = Annotated[
    int | None,
    typer.Option(
        "--limit-rate",
        metavar="RATE",
        parser=checked(parse_rate),
        envvar="DFLY_LIMIT_RATE",
        help="Most bytes per second from the origin: 800k, 50M, 1.5G (1k is 1024).",
        rich_help_panel=HOW,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="TIME",
        parser=checked(parse_duration),
        envvar="DFLY_TIMEOUT",
        help="Give up after this long in all: 30s, 5m, 2h. What has arrived is kept.",
        rich_help_panel=HOW,
    ),
]

CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="PEM",
        envvar="DFLY_CA_FILE",
        help="Authorities to trust besides the usual ones.",
        rich_help_panel=NETWORK,
        **_FILE,
    ),
]
Cert = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        metavar="PEM",
        envvar="DFLY_CERT",
        help="Client certificate.",
        rich_help_panel=NETWORK,
        **_FILE,
    ),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="PEM",
        envvar="DFLY_KEY",
        help="Its private key, where the certificate's file has none.",
        rich_help_panel=NETWORK,
        **_FILE,
    ),
]
Proxy = Annotated[
    str | None,
    typer.Option(
        "--proxy",
        metavar="URL",
        envvar="DFLY_PROXY",
        help="Instead of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
        rich_help_panel=NETWORK,
    ),
]

SeedPeers = Annotated[
    list[str],
    seed_peer_flag(
        "Take the bytes from this seed peer's swarm. Repeatable (in the environment: separated by spaces).",
        envvar="DFLY_SEED_PEERS",
        rich_help_panel=SWARM,
    ),
]
ClusterToken = Annotated[
    str,
    typer.Option(
        "--cluster-token",
        metavar="TOKEN",
        envvar="DFLY_CLUSTER_TOKEN",
        show_envvar=True,
        help="What the seed peers ask for; better in the environment, where other users cannot read it.",
        rich_help_panel=SWARM,
    ),
]
Location = Annotated[
    str,
    typer.Option(
        "--location",
        metavar="ZONE/RACK",
        envvar="DFLY_LOCATION",
        help="Where this node is: neighbours are chosen nearby.",
        rich_help_panel=SWARM,
    ),
]
PeerPort = Annotated[
    int,
    typer.Option(
        "--peer-port",
        min=0,
        max=65535,
        metavar="PORT",
        envvar="DFLY_PEER_PORT",
        help="Where other nodes reach this one; 0 takes a free port.",
        rich_help_panel=SWARM,
    ),
]
Interface = Annotated[
    str,
    typer.Option(
        "--interface",
        metavar="ADDRESS",
        envvar="DFLY_INTERFACE",
        help="IP address to speak to other nodes from; all where not given.",
        rich_help_panel=SWARM,
    ),
]
Advertise = Annotated[
    list[str],
    typer.Option(
        "--advertise",
        metavar="ADDRESS",
        envvar="DFLY_ADVERTISE",
        help="IP address that other nodes reach this one by, besides the one the seed peer sees. Repeatable.",
        rich_help_panel=SWARM,
    ),
]
UploadLimit = Annotated[
    int | None,
    typer.Option(
        "--upload-limit",
        metavar="RATE",
        parser=checked(parse_rate),
        envvar="DFLY_UPLOAD_LIMIT",
        help="Most bytes per second to other nodes, as for --limit-rate.",
        rich_help_panel=SWARM,
    ),
]
SeedTime = Annotated[
    float | None,
    typer.Option(
        "--seed-time",
        metavar="TIME",
        parser=checked(partial(parse_duration, zero=True)),
        envvar="DFLY_SEED_TIME",
        help="How long to go on serving neighbours that are not done yet (10s); 0s to leave at once.",
        rich_help_panel=SWARM,
    ),
]
NoBackToSource = Annotated[
    bool,
    typer.Option(
        "--no-back-to-source",
        envvar="DFLY_NO_BACK_TO_SOURCE",
        help="Fail rather than ask the hub from here when the swarm cannot serve.",
        rich_help_panel=SWARM,
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="DFLY_INSECURE",
        help="Send tokens to a seed peer over plain HTTP. TLS is verified all the same.",
        rich_help_panel=SWARM,
    ),
]

NoDaemon = Annotated[
    bool,
    typer.Option(
        "--no-daemon",
        envvar="DFLY_NO_DAEMON",
        help="Do it all in this process, even where a dfdaemon answers at DFLY_SOCKET or its usual place.",
        rich_help_panel=DAEMON,
    ),
]
Links = Annotated[
    str,
    typer.Option(
        "--link",
        metavar="HOW",
        parser=checked(_link),
        autocompletion=_ways_to_link,
        envvar="DFLY_LINK",
        help="How a dfdaemon's files become yours: auto shares blocks where the file system can and copies elsewhere; hard "
        "makes read-only links into its cache, if it runs as you.",
        rich_help_panel=DAEMON,
    ),
]

Json = Annotated[
    bool, typer.Option("--json", help="One event per line, as JSON, on standard output.", rich_help_panel=SHOW)
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", envvar="DFLY_QUIET", help="Nothing but errors.", rich_help_panel=SHOW)
]
NoProgress = Annotated[
    bool,
    typer.Option(
        "--no-progress",
        envvar="DFLY_NO_PROGRESS",
        help="Only trouble and the result.",
        rich_help_panel=SHOW,
    ),
]
LogLevel = Annotated[
    str,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        parser=checked(_level),
        autocompletion=_levels,
        envvar="DFLY_LOG_LEVEL",
        help="debug, info, warning or error; the log goes to standard error.",
        rich_help_panel=SHOW,
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", envvar="DFLY_DEBUG", help="The traceback of an error.", rich_help_panel=SHOW)
]
Version = Annotated[
    bool,
    typer.Option("--version", callback=_version, is_eager=True, help="The version, and no more.", rich_help_panel=SHOW),
]
