"""The bytes of one connection, and what goes wrong with them, in httpx's words."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import httpcore
import httpx

from dfly.errors import Cancelled

#: Bytes asked of a socket at a time; beyond this the buffers no longer stay in the CPU's cache.
WIDTH = 256 << 10

#: Seconds between two looks at whether a silent server is still to be waited for.
_LOOK = 0.2

_NETWORK_TROUBLE = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)


class Wire:
    """A network stream of httpcore without its ceremony. `timeout`, in seconds, is for each part that comes or goes.

    Once `cancel` is set, nobody waits for a server that says nothing.
    """

    def __init__(self, stream: httpcore.NetworkStream, *, cancel: threading.Event | None = None) -> None:
        self.stream = stream
        self._cancel = cancel
        self._socket: socket.socket = stream.get_extra_info("socket")
        self._timeout = self._socket.gettimeout()

    @property
    def readable(self) -> bool:
        """Whether the other side has said something, or is gone."""
        return bool(self.stream.get_extra_info("is_readable"))

    def read(self, most: int, timeout: float | None) -> bytes:
        """What is there, at least a byte; nothing at the end. Raises httpx's errors, and Cancelled."""
        try:
            if self._cancel is None:
                self._set(timeout)
                return self._socket.recv(most)
            return self._read_or_cancel(most, timeout, self._cancel)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error

    def _read_or_cancel(self, most: int, timeout: float | None, cancel: threading.Event) -> bytes:
        until = None if timeout is None else time.monotonic() + timeout
        wait = _LOOK if timeout is None else min(_LOOK, timeout)
        while True:
            self._set(wait)
            try:
                return self._socket.recv(most)
            except TimeoutError:
                if cancel.is_set():
                    raise Cancelled from None
                if until is not None and time.monotonic() >= until:
                    raise

    def write(self, data: bytes | memoryview, timeout: float | None) -> None:
        """All of it; the time is for each part that the other side takes."""
        try:
            self._set(timeout)
            while data:
                sent = self._socket.send(data)
                data = data[sent:] if sent == len(data) else memoryview(data)[sent:]
        except TimeoutError as error:
            raise httpx.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    def close(self) -> None:
        """Both ways. Harmless if done twice."""
        self.stream.close()

    def _set(self, timeout: float | None) -> None:
        # a system call, though nothing changes
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout


@contextmanager
def as_httpx() -> Iterator[None]:
    """Raise the errors of httpcore and h11 from the block as httpx's of the same name."""
    try:
        yield
    except h11.LocalProtocolError as error:
        raise httpx.LocalProtocolError(str(error)) from error
    except h11.RemoteProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
    except _NETWORK_TROUBLE as error:
        kind: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise kind(str(error)) from error
