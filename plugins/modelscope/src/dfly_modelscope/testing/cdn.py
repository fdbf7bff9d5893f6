"""The second origin: the storage that the hub redirects to. It knows signed links and nothing else, least of all tokens."""

from __future__ import annotations

from urllib.parse import parse_qs

from aiohttp import web

from dfly_modelscope.testing.bodies import Body
from dfly_modelscope.testing.site import Site


class Cdn:
    """Serves LFS content on signed, expiring links."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to this origin."""
        place, _, query = request.raw_path.partition("?")
        repo, path, file = self._site.stored(place)
        call, fault = self._site.open_call(request, "cdn", repo, path)
        if fault.status is not None:
            call.status = fault.status
            return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
        refusal = self._refusal(request, place, parse_qs(query)) or ((404, "NoSuchKey") if file is None else None)
        if refusal is not None or file is None:
            status, why = refusal or (404, "NoSuchKey")
            call.status = status
            body = f'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>{why}</Message></Error>'
            return web.Response(status=status, text=body, content_type="application/xml")
        return await Body(
            request=request,
            file=file,
            call=call,
            fault=fault,
            throttle=self._site.throttle,
            headers={"ETag": f'"{file.sha256[:32].upper()}-1"', "X-Linked-ETag": file.sha256},
            part_status=self._site.part_status,
        ).send()

    def _refusal(self, request: web.Request, place: str, query: dict[str, list[str]]) -> tuple[int, str] | None:
        if "Authorization" in request.headers or "Cookie" in request.headers:
            return 400, "credentials of the hub were sent to its storage"
        if request.method != "GET":
            return 403, "the link is signed for GET"
        why = self._site.signed(place, query.get("Expires", [""])[0], query.get("Signature", [""])[0])
        return (403, why) if why else None
