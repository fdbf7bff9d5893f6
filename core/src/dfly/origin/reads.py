"""Reads of a quarter of a megabyte behind a proxy, where httpcore asks a socket for 64 KiB at a time."""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from dfly.origin.sockets import WIDTH


class WideReads(httpcore.NetworkBackend):
    """Opens what `inner` opens; what is read from it comes in longer stretches."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """As `inner` does it."""
        return _Wide(self._inner.connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """As `inner` does it."""
        return _Wide(self._inner.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        """As `inner` does it."""
        self._inner.sleep(seconds)


def with_wide_reads(transport: httpx.HTTPTransport) -> httpx.HTTPTransport:
    """The same transport, before its first request."""
    # httpx has no way to pass a network backend on
    pool: Any = transport._pool
    pool._network_backend = WideReads(pool._network_backend)
    return transport


class _Wide(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max(max_bytes, WIDTH), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Wide(self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
