"""dfdaemon: the long-lived process of a machine. Parses, calls one function, says where it listens.

With --seed-peer it is a seed peer, else a node. Standard output carries one line, `dfdaemon: seed peer at URL` or
`dfdaemon: node at SOCKET`, once requests are answered: a supervisor can wait for it.
"""

import ipaddress
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dfly.cli import flags, node_role
from dfly.cli.config_file import Config
from dfly.cli.failures import Failures
from dfly.cli.secrets import secret_from
from dfly.cli.units import parse_duration
from dfly.config import Fetch, Joining, Network
from dfly.errors import UsageError
from dfly.plugins import Plugins
from dfly.tracing import from_environment

ROLE, ACCESS = "What to be", "Whom to serve"
_FILE: Any = {"exists": True, "dir_okay": False, "readable": True}


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[v6]:PORT`. Raises ValueError with what to write instead.

    >>> parse_listen("[::1]:65001")
    ('::1', 65001)
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^\[\]:]+)):(\d{1,5})", text.strip())
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"{text!r} is not an address; write HOST:PORT, or [ADDRESS]:PORT for IPv6")
    return match[1] or match[2], int(match[3])


def _listen(text: str) -> tuple[str, int]:
    try:
        return parse_listen(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


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
        parser=_listen,
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
        parser=_listen,
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
        parser=_seconds,
        envvar="DFLY_REVISION_TTL",
        help="How long a branch counts as unchanged (30s). A commit always does.",
        rich_help_panel=ROLE,
    ),
]
ClusterTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster-token-file",
        metavar="FILE",
        envvar="DFLY_CLUSTER_TOKEN_FILE",
        help="What nodes must present; or in DFLY_CLUSTER_TOKEN. All are served where there is none.",
        rich_help_panel=ACCESS,
        **_FILE,
    ),
]
OperatorTokenFile = Annotated[
    Path | None,
    typer.Option(
        "--operator-token-file",
        metavar="FILE",
        envvar="DFLY_OPERATOR_TOKEN_FILE",
        help="What dfctl must present to see every source and to change what is kept; or in DFLY_OPERATOR_TOKEN. Else the "
        "cluster token is enough; where there is neither, only this machine may.",
        rich_help_panel=ACCESS,
        **_FILE,
    ),
]
ClusterSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--cluster-secret-file",
        metavar="FILE",
        envvar="DFLY_CLUSTER_SECRET_FILE",
        help="What all seed peers of the cluster share and no node knows, so that one takes over from another; "
        "or in DFLY_CLUSTER_SECRET.",
        rich_help_panel=ACCESS,
        **_FILE,
    ),
]
AllowSource = Annotated[
    list[str],
    typer.Option(
        "--allow-source",
        metavar="GLOB",
        envvar="DFLY_ALLOW_SOURCE",
        help="Fetch only source URLs like this, gopher://my-hole/* for example. Repeatable (in the environment: with spaces).",
        rich_help_panel=ACCESS,
    ),
]
TlsCert = Annotated[
    Path | None,
    typer.Option(
        "--tls-cert",
        metavar="PEM",
        envvar="DFLY_TLS_CERT",
        help="Answer over HTTPS with this certificate.",
        rich_help_panel=ACCESS,
        **_FILE,
    ),
]
TlsKey = Annotated[
    Path | None,
    typer.Option(
        "--tls-key",
        metavar="PEM",
        envvar="DFLY_TLS_KEY",
        help="Its private key, where the certificate's file has none.",
        rich_help_panel=ACCESS,
        **_FILE,
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="DFLY_INSECURE",
        help="Accept hub tokens over plain HTTP from other machines.",
        rich_help_panel=ACCESS,
    ),
]


def main() -> None:
    """The entry point of the `dfdaemon` command."""
    sys.exit(run(sys.argv[1:], plugins=Plugins()))


def run(argv: Sequence[str], *, plugins: Plugins) -> int:
    """Run one command line and return its exit code."""
    failures = Failures(program="dfdaemon", stream=sys.stderr, debug="--debug" in argv)
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
    cluster_token_file: ClusterTokenFile = None,
    cluster_secret_file: ClusterSecretFile = None,
    operator_token_file: OperatorTokenFile = None,
    allow_source: AllowSource = [],  # noqa: B006 - typer hands out a list of its own
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    insecure: Insecure = False,  # noqa: FBT002 - as seed_peer
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
    if data_dir is None:
        raise UsageError("a seed peer needs a place for its blobs", hint="give --data-dir DIR")

    from dfly.daemon.notify import Notify
    from dfly.seed.peer import SeedPeer
    from dfly.seed.settings import SeedPeerConfig

    settings = SeedPeerConfig(
        data_dir=str(data_dir),
        listen=listen or ("127.0.0.1", 65001),
        metrics_listen=metrics_listen,
        cluster_token=secret_from(cluster_token_file, "DFLY_CLUSTER_TOKEN", what="cluster token"),
        cluster_secret=secret_from(cluster_secret_file, "DFLY_CLUSTER_SECRET", what="cluster secret"),
        operator_token=secret_from(operator_token_file, "DFLY_OPERATOR_TOKEN", what="operator token"),
        allow_source=tuple(allow_source),
        insecure=insecure,
        tls_cert=_text(tls_cert),
        tls_key=_text(tls_key),
        revision_ttl=30.0 if revision_ttl is None else revision_ttl,
        fetch=fetch,
        network=network,
    )
    _warn(settings.listen[0], open_to_all=settings.cluster_token is None)
    with from_environment("dfly-seed-peer") as traces:
        SeedPeer(settings, plugins=context.obj, traces=traces).run(started=_say, supervisor=Notify.of())
    return 0


def _app() -> typer.Typer:
    app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.command(name="dfdaemon", context_settings={"help_option_names": ["-h", "--help"]})(dfdaemon)
    return app


def _say(url: str) -> None:
    sys.stdout.write(f"dfdaemon: seed peer at {url}\n")
    sys.stdout.flush()


def _warn(host: str, *, open_to_all: bool) -> None:
    try:
        private = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        private = host == "localhost"
    if open_to_all and not private:
        import structlog

        structlog.get_logger(__name__).warning(
            "cluster.open", message="whoever reaches this address is served; set DFLY_CLUSTER_TOKEN to ask for a token"
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
