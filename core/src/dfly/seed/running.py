"""An application behind its socket, and an event loop in a thread of its own: what seed peers, stand-ins and daemons share."""

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from dfly.errors import SwarmError

T = TypeVar("T")

#: Seconds that open requests get at the end.
_LAST_WORDS = 2.0
_BACKLOG = 4096
#: Seconds that a connection may stay without a complete request: a thousand silent ones would hold every descriptor.
_SILENCE = 75.0


@asynccontextmanager
async def listening(
    application: web.Application, where: tuple[str, int] | socket.socket, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve at (host, port), or on a socket that listens already; yields the URL. Raises SwarmError where that cannot be had."""
    # a node's closed connection ends its handler at once, not with the next failing write: so the ring heals at once
    runner = web.AppRunner(
        application,
        handler_cancellation=True,
        access_log=None,
        logger=http_logger(),
        shutdown_timeout=_LAST_WORDS,
        keepalive_timeout=_SILENCE,
    )
    await runner.setup()
    try:
        if isinstance(where, socket.socket):
            await web.SockSite(runner, where, ssl_context=tls, backlog=_BACKLOG).start()
        else:
            await bind(runner, *where, tls=tls)
        yield url_of(runner, tls=tls)
    finally:
        await runner.cleanup()


@contextmanager
def in_thread(serving: Callable[[], AbstractAsyncContextManager[T]], *, name: str) -> Iterator[T]:
    """Serve from a thread of its own; yields what `serving` does. Raises what that raises at its start."""
    ready: list[T | BaseException] = []
    up, stops = threading.Event(), []

    async def serve() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with serving() as served:
            ready.append(served)
            up.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            ready.append(error)
            # who waits for the start hears of it there
            if up.is_set():
                raise
        finally:
            up.set()

    thread = threading.Thread(target=run, name=name)
    thread.start()
    up.wait()
    found = ready[0]
    if isinstance(found, BaseException):
        thread.join()
        raise found
    try:
        yield found
    finally:
        with contextlib.suppress(RuntimeError):
            stops[0]()
        thread.join()


class _NoStrangers(logging.Filter):
    """Drops what aiohttp says of requests that are none: a traceback for each, with the header that it stopped at, which may
    be somebody's token.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


async def bind(runner: web.AppRunner, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
    """Answer there as well. Raises SwarmError where the address cannot be had."""
    try:
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG).start()
    except OSError as error:
        raise SwarmError(
            f"cannot listen on {host}:{port}: {error.strerror or error}", hint="choose another address with --listen"
        ) from error


def url_of(runner: web.AppRunner, *, tls: ssl.SSLContext | None = None) -> str:
    """Where it is reached first."""
    host, port = runner.addresses[0][:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def http_logger() -> logging.Logger:
    """Where aiohttp says what went wrong; not what a stranger sent."""
    logger = logging.getLogger("dfly.http")
    if not logger.filters:
        logger.addFilter(_NoStrangers())
    return logger
