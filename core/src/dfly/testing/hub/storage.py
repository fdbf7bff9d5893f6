"""The second origin: where a hub's redirects lead. It knows signed links and nothing else, least of all tokens."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from dfly.testing.hub.site import Site


class Storage:
    """Serves content on signed, expiring links."""

    def __init__(self, site: Site[Any]) -> None:
        self._site = site

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to this origin."""
        place, _, query = request.raw_path.partition("?")
        repo, path, file = self._site.stored(place)
        call, fault = self._site.open_call(request, "cdn", repo, path)
        if fault.status is not None:
            call.status = fault.status
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        status, why = self._refusal(request, place, parse_qs(query))
        if file is None or status:
            call.status = status or 404
            said = why or "There is no such key"
            body = f'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>{said}</Message></Error>'
            return web.Response(status=call.status, text=body, content_type="application/xml")
        return await self._site.send(request, file, call=call, fault=fault, headers=self._site.stored_headers(file))

    def _refusal(self, request: web.Request, place: str, query: dict[str, list[str]]) -> tuple[int, str]:
        """Status and reason; 0 where there is none."""
        if "Authorization" in request.headers or "Cookie" in request.headers:
            return 400, "Credentials of the hub were sent to its storage"
        if request.method != "GET":
            return 403, "The link is signed for GET"
        why = self._site.signed(place, query.get("Expires", [""])[0], query.get("Signature", [""])[0])
        return (403, why) if why else (0, "")
