"""The backend options that came with a request, in its headers; a secret only where nobody on the way could read it."""

import asyncio

from aiohttp import web

from dfly import wire
from dfly.plugins import Plugins
from dfly.seed.access import Access, is_loopback
from dfly.seed.options import Given, plain_options


async def given_in(request: web.Request, *, access: Access, plugins: Plugins) -> Given:
    """By option name. Raises AccessDenied for a secret that should not have come this way."""
    given: dict[str, tuple[str, ...]] = {}
    prefix = wire.OPTION_HEADER.lower()
    for name, value in request.headers.items():
        if name.lower().startswith(prefix) and value:
            option = name.lower().removeprefix(prefix)
            given[option] = (*given.get(option, ()), value)
    if given and not (request.secure or access.insecure or is_loopback(request.remote)):
        plain = await asyncio.to_thread(plain_options, plugins)
        if not plain.issuperset(given):
            access.check_secret(secure=request.secure, remote=request.remote)
    return given
