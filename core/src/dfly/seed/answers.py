"""How the seed peer says no: every error as JSON that a node turns back into the same error, and no request that kills it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from aiohttp import web

from dfly.errors import (
    AccessDenied,
    Changed,
    DflyError,
    IntegrityError,
    NotFound,
    OriginUnavailable,
    PluginError,
    RateLimited,
    SourceError,
    SwarmError,
    UsageError,
)
from dfly.wire import WireError

_log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The first that fits counts.
_STATUS: tuple[tuple[type[DflyError], int], ...] = (
    (WireError, 400),
    (UsageError, 400),
    (NotFound, 404),
    (AccessDenied, 403),
    (RateLimited, 503),
    (OriginUnavailable, 502),
    (Changed, 409),
    (IntegrityError, 502),
    (SourceError, 422),
    (PluginError, 503),
    (SwarmError, 409),
    (DflyError, 503),
)


def refuse(error: DflyError, *, status: int | None = None) -> web.Response:
    """`{"error": class, "message", "hint", …the error's own fields}` with the status that fits."""
    status = status or next(code for kind, code in _STATUS if isinstance(error, kind))
    fields = {name: value for name, value in vars(error).items() if _is_plain(value)}
    body = {**fields, "error": type(error).__name__, "message": error.message, "hint": error.hint}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if isinstance(error, RateLimited) and error.after is not None:
        headers["Retry-After"] = str(max(1, round(error.after)))
    return web.json_response(body, status=status, headers=headers)


@web.middleware
async def in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong in a handler becomes an answer."""
    try:
        return await handler(request)
    except DflyError as error:
        return refuse(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return refuse(SwarmError(f"{request.method} {request.path}: {error.reason}"), status=error.status)
    except ConnectionError:
        # the other side is gone: there is nobody to answer, and nothing is wrong here
        raise
    except Exception:  # noqa: BLE001 - the log has it
        _log.exception("request.failed", method=request.method, route=_route(request))
        return refuse(SwarmError("the seed peer met an error of its own", hint="its log says more"), status=500)


@contextmanager
def no_more_words(request: web.Request) -> Iterator[None]:
    """From an answer's first byte on: whatever goes wrong ends the connection, as nothing else may be put into the stream.

    A client that hangs up is nothing that went wrong: it ends the handler as aiohttp itself does, without a word in the log.
    """
    try:
        yield
    except Exception as error:
        transport = request.transport
        gone = isinstance(error, ConnectionError) or transport is None or transport.is_closing()
        if not gone:
            _log.exception("request.failed", method=request.method, route=_route(request))
        if transport is not None:
            transport.abort()
        raise asyncio.CancelledError from error


def _route(request: web.Request) -> str:
    # the route, not the path: that may hold a grant
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
