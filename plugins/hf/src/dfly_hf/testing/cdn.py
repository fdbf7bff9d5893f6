"""The second origin: where the hub's redirects lead. It knows signed links and nothing else, least of all tokens."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from dfly_hf.testing.bodies import Body
from dfly_hf.testing.site import Site


class Cdn:
    """Serves LFS content on signed, expiring links."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to this origin."""
        place, _, query = request.raw_path.partition("?")
        found = self._site.stored(place)
        repo, path, file = found or ("", "", None)
        call, fault = self._site.open_call(request, "cdn", repo, path)
        if fault is not None and fault.status is not None:
            call.status = fault.status
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        refusal = self._refusal(request, place, parse_qs(query))
        if refusal is None and file is None:
            refusal = 404, "NoSuchKey"
        if refusal is not None or file is None:
            status, why = refusal or (404, "NoSuchKey")
            call.status = status
            body = f'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>{why}</Message></Error>'
            return web.Response(status=status, text=body, content_type="application/xml")
        return await Body(
            request=request,
            file=file,
            call=call,
            throttle=self._site.throttle,
            headers={"ETag": f'"{file.etag}"'},
            fault=fault,
        ).send()

    def _refusal(self, request: web.Request, place: str, query: dict[str, list[str]]) -> tuple[int, str] | None:
        if "Authorization" in request.headers or "Cookie" in request.headers:
            return 400, "Only one auth mechanism allowed"
        if request.method != "GET":
            return 403, "The link is signed for GET"
        why = self._site.signed(place, query.get("Expires", [""])[0], query.get("Signature", [""])[0])
        return (403, why) if why else None
