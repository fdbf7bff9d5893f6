"""dfdaemon: the long-lived process of a machine. Parses, calls one function, says where it listens.

With --seed-peer it is a seed peer, else a node. Standard output carries one line, `dfdaemon: seed peer at URL` or
`dfdaemon: node at SOCKET`, once requests are answered: a supervisor can wait for it.
"""

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dfly.cli import flags, node_role, seed_role
from dfly.cli.config_file import Config
from dfly.cli.failures import Failures, wants_debug
from dfly.cli.secrets import secret_from
from dfly.cli.streams import open_closed
from dfly.cli.units import parse_duration
from dfly.config import Fetch, Joining, Network
from dfly.errors import UsageError
from dfly.plugins import Plugins

ROLE = "What to be"


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[v6]:PORT`. Raises ValueError with what to write instead.

    >>> parse_listen("[::1]:65001")
    ('::1', 65001)
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^\[\]:]+)):(\d{1,5})", text.strip())
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not an address; write HOST:PORT, or [ADDRESS]:PORT for IPv6")
    return match[1] or match[2], int(match[3])


SeedPeerRole = Annotated[
    bool,
    typer.Option(
        "--seed-peer",
        envvar="DFLY_SEED_PEER",
        help="Go back to the source once for everybody, and be every torrent's web seed.",
        rich_help_panel=ROLE,
    ),
]
Listen = Annotated[
    Any,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        parser=flags.checked(parse_listen),
        envvar="DFLY_LISTEN",
        help="Where to answer; port 0 takes a free one. [ADDRESS]:PORT for IPv6. A seed peer's is 127.0.0.1:65001 unless "
        "told; a node answers on its socket, and over HTTP only if this is given.",
        rich_help_panel=ROLE,
    ),
]
MetricsListen = Annotated[
    Any,
    typer.Option(
        "--metrics-listen",
        metavar="HOST:PORT",
        parser=flags.checked(parse_listen),
        envvar="DFLY_METRICS_LISTEN",
        help="A second address, which answers /metrics, /healthz and /readyz to anybody, and nothing else.",
        rich_help_panel=ROLE,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        file_okay=False,
        envvar="DFLY_DATA_DIR",
        help="Where blobs are kept. A node's is ~/.cache/dfly unless told, root's /var/lib/dfly.",
        rich_help_panel=ROLE,
    ),
]
RevisionTtl = Annotated[
    float | None,
    typer.Option(
        "--revision-ttl",
        metavar="TIME",
        parser=flags.checked(partial(parse_duration, zero=True)),
        envvar="DFLY_REVISION_TTL",
        help="How long a branch counts as unchanged (30s); 0s to ask each time. A commit always does.",
        rich_help_panel=ROLE,
    ),
]


def main() -> None:
    """The entry point of the `dfdaemon` command."""
    open_closed()
    sys.exit(run(sys.argv[1:], plugins=Plugins()))


def run(argv: Sequence[str], *, plugins: Plugins) -> int:
    """Run one command line and return its exit code."""
    failures = Failures(program="dfdaemon", stream=sys.stderr, debug=wants_debug(argv))
    try:
        return int(_app()(args=list(argv), prog_name="dfdaemon", standalone_mode=False, obj=plugins) or 0)
    except typer.TyperException as error:
        message = error.format_message()
        return failures.say("UsageError", message, hint="dfdaemon --help lists the flags", exit_code=error.exit_code)
    except Exception as error:  # noqa: BLE001 - the last place where a failure can be put into words
        return failures.tell(error)


def dfdaemon(  # noqa: PLR0917 - one parameter a flag; typer calls them by name
    context: typer.Context,
    seed_peer: SeedPeerRole = False,  # noqa: FBT002 - typer calls it by name
    listen: Listen = None,
    metrics_listen: MetricsListen = None,
    data_dir: DataDir = None,
    join: node_role.Join = [],  # noqa: B006 - typer hands out a list of its own
    socket: node_role.Socket = None,
    allow_user: node_role.AllowUser = [],  # noqa: B006 - as join
    cache_size: node_role.CacheSize = None,
    rings: node_role.Rings = 32,
    location: flags.Location = "",
    peer_port: flags.PeerPort = 0,
    interface: flags.Interface = "",
    advertise: flags.Advertise = [],  # noqa: B006 - as join
    upload_limit: flags.UploadLimit = None,
    no_back_to_source: flags.NoBackToSource = False,  # noqa: FBT002 - as seed_peer
    revision_ttl: RevisionTtl = None,
    cluster_token_file: seed_role.ClusterTokenFile = None,
    cluster_secret_file: seed_role.ClusterSecretFile = None,
    operator_token_file: seed_role.OperatorTokenFile = None,
    allow_source: seed_role.AllowSource = [],  # noqa: B006 - typer hands out a list of its own
    tls_cert: seed_role.TlsCert = None,
    tls_key: seed_role.TlsKey = None,
    insecure: seed_role.Insecure = False,  # noqa: FBT002 - as seed_peer
    concurrency: flags.Concurrency = 8,
    limit_rate: flags.LimitRate = None,
    ca_file: flags.CaFile = None,
    cert: flags.Cert = None,
    key: flags.Key = None,
    proxy: flags.Proxy = None,
    config: Config = None,  # noqa: ARG001 - its callback has read it
    log_level: flags.LogLevel = "info",
    debug: flags.Debug = False,  # noqa: ARG001, FBT002 - read before typer does
    version: flags.Version = False,  # noqa: ARG001, FBT002 - its callback has answered
) -> int:
    """Keep a machine's part of the swarm alive."""
    if tls_key is not None and tls_cert is None:
        raise UsageError("--tls-key belongs to a certificate", hint="give the certificate with --tls-cert")
    if key is not None and cert is None:
        raise UsageError("--key belongs to a client certificate", hint="give the certificate with --cert")

    from dfly.cli import logs

    logs.configure(log_level, human=sys.stderr.isatty())
    fetch = Fetch(concurrency=concurrency, limit_rate=limit_rate)
    network = Network(ca_file=_text(ca_file), cert=_text(cert), key=_text(key), proxy=proxy or None)
    if not seed_peer:
        token = secret_from(cluster_token_file, "DFLY_CLUSTER_TOKEN", what="cluster token")
        node_role.run_node(
            data_dir=data_dir,
            socket=socket,
            listen=listen,
            metrics_listen=metrics_listen,
            allow_user=allow_user,
            cache_size=cache_size,
            rings=rings,
            joining=Joining(
                seed_peers=tuple(join),
                cluster_token=token.reveal() if token else "",
                location=location,
                port=peer_port,
                interface=interface,
                advertise=tuple(advertise),
                upload_limit=upload_limit,
                back_to_source=not no_back_to_source,
                insecure=insecure,
            ),
            fetch=fetch,
            network=network,
            plugins=context.obj,
        )
        return 0
    seed_role.run_seed_peer(
        data_dir=data_dir,
        listen=listen,
        metrics_listen=metrics_listen,
        revision_ttl=revision_ttl,
        cluster_token_file=cluster_token_file,
        cluster_secret_file=cluster_secret_file,
        operator_token_file=operator_token_file,
        allow_source=allow_source,
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure=insecure,
        fetch=fetch,
        network=network,
        plugins=context.obj,
    )
    return 0


def _app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(name="dfdaemon", context_settings={"help_option_names": ["-h", "--help"]})(dfdaemon)
    return app


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
