"""dfdaemon as a node: its own flags, and the settings that they mean."""

import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfly.cli.flags import checked
from dfly.cli.units import parse_rate
from dfly.errors import UsageError
from dfly.tracing import from_environment
from dfly.values import seed_peer_url

if TYPE_CHECKING:
    from dfly.config import Fetch, Joining, Network
    from dfly.daemon.process import Started
    from dfly.plugins import Plugins

NODE = "As a node"


def _size(text: Any) -> int:
    try:
        return parse_rate(str(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a size; write bytes, as 800M, 50G or 1.5T (1k is 1024)") from error


Join = Annotated[
    list[str],
    typer.Option(
        "--join",
        metavar="URL",
        parser=checked(seed_peer_url),
        envvar="DFLY_SEED_PEERS",
        help="Take the bytes from this seed peer's swarm. Repeatable (in the environment: separated by spaces).",
        rich_help_panel=NODE,
    ),
]
Socket = Annotated[
    Path | None,
    typer.Option(
        "--socket",
        metavar="PATH",
        envvar="DFLY_SOCKET",
        help="Where dfget finds this daemon. Else $XDG_RUNTIME_DIR/dfly.sock; for root /run/dfly/dfly.sock.",
        rich_help_panel=NODE,
    ),
]
AllowUser = Annotated[
    list[str],
    typer.Option(
        "--allow-user",
        metavar="USER",
        envvar="DFLY_ALLOW_USERS",
        help="Who may use it, by name or number, besides root and the daemon's own user; * is everybody. Repeatable.",
        rich_help_panel=NODE,
    ),
]
CacheSize = Annotated[
    int | None,
    typer.Option(
        "--cache-size",
        metavar="SIZE",
        parser=_size,
        envvar="DFLY_CACHE_SIZE",
        help="Most bytes to keep: 500G, 2T (1k is 1024). The longest unused goes first. All that fits, where not given.",
        rich_help_panel=NODE,
    ),
]
Rings = Annotated[
    int,
    typer.Option(
        "--rings",
        min=0,
        metavar="N",
        envvar="DFLY_RINGS",
        help="Most snapshots to go on serving to other nodes at a time.",
        rich_help_panel=NODE,
    ),
]


def run_node(
    *,
    data_dir: Path | None,
    socket: Path | None,
    listen: tuple[str, int] | None,
    metrics_listen: tuple[str, int] | None,
    allow_user: list[str],
    cache_size: int | None,
    rings: int,
    joining: "Joining",
    fetch: "Fetch",
    network: "Network",
    plugins: "Plugins",
) -> None:
    """Be a node until told to stop. Raises UsageError, OutputError and SwarmError for what cannot be had."""
    import structlog

    from dfly.daemon.finding import default_path
    from dfly.daemon.notify import Notify
    from dfly.daemon.process import NodeDaemon
    from dfly.daemon.settings import NodeConfig

    if os.geteuid() == 0:
        structlog.get_logger(__name__).warning(
            "running.as.root", message="a user of its own is enough: User= in its unit, and --allow-user for the others"
        )
    config = NodeConfig(
        data_dir=str(data_dir or default_data_dir()),
        socket=str(socket or default_path()),
        listen=listen,
        metrics_listen=metrics_listen,
        users=_users(allow_user),
        cache_size=cache_size,
        rings=rings,
        joining=joining,
        fetch=fetch,
        network=network,
    )
    with from_environment("dfly-node") as traces:
        NodeDaemon(config, plugins=plugins, notify=Notify.of(), traces=traces).run(started=_say)


def default_data_dir() -> Path:
    """Where blobs are kept unless told: systemd's StateDirectory, /var/lib/dfly for root, else the user's cache."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/dfly")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "dfly")


def _users(names: list[str]) -> frozenset[int] | None:
    if "*" in names:
        return None
    found = set()
    for name in names:
        try:
            found.add(int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid)
        except KeyError as error:
            raise UsageError(f"--allow-user {name}: there is no such user") from error
    return frozenset(found)


def _say(started: "Started") -> None:
    also = f" and {started.url}" if started.url else ""
    sys.stdout.write(f"dfdaemon: node at {started.socket}{also}\n")
    sys.stdout.flush()
