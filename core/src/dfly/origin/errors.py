"""The one door where httpx's errors become dfly's: each says which host, what happened, and what to try."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from dfly.errors import AccessDenied, OriginUnavailable, SourceError, Unsupported, Untrusted
from dfly.values import bare_url

#: The alerts of a server that does not accept the client's certificate, or the lack of one.
_WANTS_A_CERTIFICATE = ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE")


class Overloaded(OriginUnavailable):
    """The origin has more to do than it can: fewer connections will get further."""


@contextmanager
def mapped(url: str) -> Iterator[None]:
    """Raise httpx's errors from the block as SourceErrors that name `url` without its query.

    OriginUnavailable for what may pass (DNS, refused, lost, slow), Untrusted for a certificate, AccessDenied for a
    proxy that wants a password, Unsupported for a request that cannot be sent.
    """
    try:
        yield
    except httpx.LocalProtocolError:
        # h11 quotes the offending header, which may be a token with a line break in it: not even as a cause
        raise Unsupported(
            f"{bare_url(url)}: the request cannot be sent",
            hint="a token or header given holds characters that HTTP does not allow, perhaps a line break",
            url=bare_url(url),
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise _translated(error, bare_url(url)) from error


def _translated(error: Exception, url: str) -> SourceError:
    host = url.partition("://")[2].partition("/")[0] or url
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            why = getattr(cause, "verify_message", "") or "it is not signed by an authority this machine knows"
            hint = "if that host is yours, give its authority's certificate with --ca-file"
            return Untrusted(f"{host}: its certificate cannot be trusted: {why}", hint=hint, url=url)
        if isinstance(cause, ssl.SSLError) and cause.reason in _WANTS_A_CERTIFICATE:
            hint = "give one that it accepts with --cert and --key"
            return AccessDenied(f"{host} wants a client certificate: {cause.reason}", hint=hint, url=url)
    if isinstance(error, httpx.ProxyError):
        return _proxy_trouble(error, host, url)
    if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.StreamError)):
        return Unsupported(f"{url} cannot be asked over HTTP ({type(error).__name__})", url=url)
    said, hint = _connection_trouble(error, causes)
    return OriginUnavailable(f"{host}: {said}", hint=hint, url=url)


def _proxy_trouble(error: Exception, host: str, url: str) -> SourceError:
    if "407" in str(error):
        hint = "give its user and password in HTTPS_PROXY, or name the host in NO_PROXY"
        return AccessDenied(f"the proxy in front of {host} wants a password", hint=hint, url=url)
    hint = "check HTTPS_PROXY and HTTP_PROXY, or name the host in NO_PROXY"
    return OriginUnavailable(f"the proxy in front of {host} failed: {error}", hint=hint, url=url)


def _connection_trouble(error: Exception, causes: list[BaseException]) -> tuple[str, str]:
    kinds = tuple(type(cause) for cause in causes)
    for kind in kinds:
        if issubclass(kind, socket.gaierror):
            return "the host name cannot be resolved", "check the name, the network, and whether a proxy is needed"
        if issubclass(kind, ConnectionRefusedError):
            return "connection refused", "check the port, that the service is up, and whether a proxy is needed"
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection within the connect time-out", "check the network, and whether a proxy is needed"
    if isinstance(error, httpx.TimeoutException):
        return "it sent nothing for the whole read time-out", "it may be overloaded; try again later"
    if isinstance(error, httpx.DecodingError):
        return "its compressed body is damaged", ""
    if any(issubclass(kind, ssl.SSLError) for kind in kinds):
        return f"TLS failed: {error}", "check that the port speaks https"
    return f"connection lost: {str(error) or type(error).__name__}", ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
