"""dfdaemon as a seed peer: the flags that say whom it serves, and the settings that they mean."""

import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfly.cli.secrets import secret_from
from dfly.errors import UsageError
from dfly.tracing import from_environment

if TYPE_CHECKING:
    from dfly.config import Fetch, Network
    from dfly.plugins import Plugins

ACCESS = "Whom to serve"
_FILE: Any = {"exists": True, "dir_okay": False, "readable": True}

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


def run_seed_peer(
    *,
    data_dir: Path | None,
    listen: tuple[str, int] | None,
    metrics_listen: tuple[str, int] | None,
    revision_ttl: float | None,
    cluster_token_file: Path | None,
    cluster_secret_file: Path | None,
    operator_token_file: Path | None,
    allow_source: list[str],
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    fetch: "Fetch",
    network: "Network",
    plugins: "Plugins",
) -> None:
    """Be a seed peer until told to stop; `revision_ttl` in seconds. Raises UsageError and SwarmError for what cannot be had."""
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
        tls_cert=None if tls_cert is None else str(tls_cert),
        tls_key=None if tls_key is None else str(tls_key),
        revision_ttl=30.0 if revision_ttl is None else revision_ttl,
        fetch=fetch,
        network=network,
    )
    _warn(settings.listen[0], open_to_all=settings.cluster_token is None)
    with from_environment("dfly-seed-peer") as traces:
        SeedPeer(settings, plugins=plugins, traces=traces).run(started=_say, supervisor=Notify.of())


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
