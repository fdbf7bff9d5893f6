"""Puts the transports together: two httpx clients over one set of connections.

    api   ─ Retrying ─┐
                      ├─ SafeRedirects ─ Reconnecting ─ Proxies ─ Connections, or httpx's own for a proxy
    data  ────────────┘

`data` does not retry, because a file resumes at the offset it has reached, which only `dfly.origin.patience` knows.
"""

import ipaddress
import logging
import os
import socket
import ssl
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self

import attrs
import httpx

from dfly.config import Network, Patience
from dfly.errors import UsageError
from dfly.origin.addresses import WaryNetwork, WaryTransport
from dfly.origin.connections import Connections
from dfly.origin.pauses import Pauses
from dfly.origin.proxies import Proxies
from dfly.origin.reads import with_wide_reads
from dfly.origin.redirects import SafeRedirects
from dfly.origin.retry import OnRetry, Reconnecting, Retrying, silently
from dfly.origin.sending import Sender
from dfly.origin.timing import OnAnswer, Timed
from dfly.values import bare_url
from dfly.version import VERSION

#: Seconds that an idle connection is kept.
KEEPALIVE = 30.0
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@attrs.frozen
class Clients:
    """`api` for a hub's API calls, `data` for files. Both verify TLS, keep no cookies, and share connections."""

    api: httpx.Client
    data: httpx.Client

    def close(self) -> None:
        """Close all connections."""
        self.api.close()
        self.data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_clients(
    network: Network,
    *,
    patience: Patience,
    pauses: Pauses,
    cancel: threading.Event | None = None,
    on_retry: OnRetry = silently,
    on_answer: OnAnswer | None = None,
    interface: str = "",
    direct: bool = False,
) -> Clients:
    """Build the clients. `cancel` ends the waits of API calls, and all waits for answers where there is no proxy; `interface` is
    the address or device that they leave by.

    `on_answer(kind, seconds)` hears how long each request took, of kind "api" or "content".

    `direct`: the environment's proxies are not for these, `network.proxy` is.

    Raises UsageError for a bad certificate or proxy.
    """
    # what was given is looked at now; reading all the usual authorities, or a company's, takes longer than many a small file
    context = tls_context(network) if network.ca_file or network.cert else None

    def way_out(proxy: str | None) -> httpx.BaseTransport:
        if proxy is None:
            return Connections(
                context=lambda: context or tls_context(network),
                keepalive=KEEPALIVE,
                network=WaryNetwork() if network.forbid_link_local else None,
                leaving_by=_leaving_by(interface),
                cancel=cancel,
            )
        # how many connections there are is decided by the workers, not by the pool
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE)
        verify = context or tls_context(network)
        return with_wide_reads(httpx.HTTPTransport(verify=verify, limits=limits, proxy=proxy, **_leaving_by(interface)))

    _keep_secrets_out_of_logs()
    way: httpx.BaseTransport = Proxies(way_out, proxy=network.proxy, environment={} if direct else None)
    files = SafeRedirects(Reconnecting(WaryTransport(way) if network.forbid_link_local else way))
    asked, fetched = (
        Timed(files, kind=kind, on_answer=on_answer) if on_answer else files for kind in ("api", "content")
    )
    calls = Retrying(asked, patience=patience, pauses=pauses, cancel=cancel, on_retry=on_retry)
    return Clients(api=_client(calls, network), data=_client(fetched, network))


def tls_context(network: Network) -> ssl.SSLContext:
    """The usual authorities (or those of SSL_CERT_FILE, SSL_CERT_DIR) and `ca_file`; the client's certificate.

    Raises UsageError for what is none.
    """
    try:
        context = httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        # the first that is set counts, as in OpenSSL
        named = next((f"{name}={os.environ[name]}" for name in _AUTHORITIES if os.environ.get(name)), "this machine")
        raise UsageError(
            f"the certificates of {named} cannot be used: {error.strerror or error}",
            hint="SSL_CERT_FILE is a PEM file, SSL_CERT_DIR a folder of hashed ones; unset them for the usual ones",
        ) from error
    if not any(map(os.environ.get, _AUTHORITIES)):
        context.load_default_certs()
    try:
        if network.ca_file:
            context.load_verify_locations(cafile=network.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {network.ca_file} cannot be used: {error.strerror or error}") from error
    try:
        if network.cert:
            context.load_cert_chain(network.cert, network.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--cert {network.cert} cannot be used: {error.strerror or error}",
            hint="--cert and --key are PEM files that belong together",
        ) from error
    return context


def authorities(network: Network) -> str:
    """Those that `tls_context` trusts, as PEM, for a library that does TLS by itself."""
    return "".join(map(ssl.DER_cert_to_PEM_cert, tls_context(network).get_ca_certs(binary_form=True)))


def _leaving_by(interface: str) -> dict[str, Any]:
    """What binds a transport's sockets to an address, or to the device of that name."""
    if not interface:
        return {}
    try:
        return {"local_address": str(ipaddress.ip_address(interface))}
    except ValueError:
        return {"socket_options": [(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())]}


def _client(transport: httpx.BaseTransport, network: Network) -> httpx.Client:
    return Sender(
        transport,
        headers={"Accept-Encoding": "identity", "User-Agent": f"dfly/{VERSION}"},
        # a jar that takes nothing from anybody: a cookie of one hub must never reach another
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        timeout=httpx.Timeout(network.read_timeout, connect=network.connect_timeout, pool=None),
    )


class _BareUrls(logging.Filter):
    """Takes queries out of httpx's request log and headers out of httpcore's: both may hold signatures."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_bare(value) for value in record.args)
        return "receive_response_headers.complete" not in str(record.msg)


def _bare(value: Any) -> Any:
    return bare_url(str(value)) if isinstance(value, httpx.URL) else value


def _keep_secrets_out_of_logs() -> None:
    # `dfly.fetch` runs in other people's processes, which may log httpx at level INFO; their handlers stay as they are
    for name in ("httpx", "httpcore.http11"):
        logger = logging.getLogger(name)
        if not any(isinstance(old, _BareUrls) for old in logger.filters):
            logger.addFilter(_BareUrls())
