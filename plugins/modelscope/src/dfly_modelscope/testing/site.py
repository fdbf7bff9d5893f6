"""Everything the two origins of a fixture hub share: repositories, accounts, signed links, faults, records."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import quote, unquote

import attrs
from aiohttp import web

from dfly_modelscope.testing.bodies import Throttle
from dfly_modelscope.testing.content import File
from dfly_modelscope.testing.faults import Fault, Faults
from dfly_modelscope.testing.records import Call, Records
from dfly_modelscope.testing.repos import Account, Repo

_HARMLESS = frozenset({"accept", "accept-encoding", "connection", "host", "range", "user-agent"})


@attrs.define(kw_only=True)
class Site:
    """The state of a fixture hub. Tests change it while the server's thread reads it."""

    prefix: str
    cap: int
    link_seconds: int
    part_status: int
    tells_head: str
    bare_lists: bool
    throttle: Throttle
    hub_url: str = ""
    cdn_url: str = ""
    repos: dict[tuple[str, str], Repo] = attrs.field(factory=dict)
    accounts: dict[str, Account] = attrs.field(factory=dict)
    faults: Faults = attrs.field(factory=Faults)
    records: Records = attrs.field(factory=Records)
    #: Replaced to make all links expire.
    key: bytes = attrs.field(factory=lambda: secrets.token_bytes(16))
    _stored: dict[str, File] = attrs.field(factory=dict)

    def open_call(self, request: web.Request, kind: str, repo: str = "", path: str = "") -> tuple[Call, Fault]:
        """Record a request and find out what is to go wrong with it."""
        headers = request.headers
        call = Call(
            kind=kind,
            method=request.method,
            url=request.raw_path,
            repo=repo,
            path=path,
            range=headers.get("Range"),
            authorized="Authorization" in headers,
            cookies="Cookie" in headers,
            leaked=any(name.lower() not in _HARMLESS for name in headers),
            encoding=headers.get("Accept-Encoding", ""),
            user_agent=headers.get("User-Agent", ""),
        )
        self.records.add(call)
        return call, self.faults.take(call)

    def sign(self, repo: Repo, path: str, file: File) -> str:
        """A link to a file's content that is good for `link_seconds`."""
        self._stored[file.sha256] = file
        place = f"/{repo.kind}/{quote(repo.id, safe='')}/{file.sha256}/{quote(path)}"
        expires = int(time.time() + self.link_seconds)
        return f"{self.cdn_url}{place}?Expires={expires}&OSSAccessKeyId=FIXTURE&Signature={self._signature(place, expires)}"

    def signed(self, place: str, expires: str, signature: str) -> str | None:
        """Why a link is no good, or None."""
        if not expires.isdigit() or not hmac.compare_digest(self._signature(place, int(expires)), signature):
            return "SignatureDoesNotMatch"
        return "Request has expired." if int(expires) < time.time() else None

    def stored(self, place: str) -> tuple[str, str, File | None]:
        """Repository, path and content behind a link's path."""
        kind, repo, name, path = (place.strip("/").split("/", 3) + [""] * 4)[:4]
        return f"{kind}/{unquote(repo)}", unquote(path), self._stored.get(name)

    def _signature(self, place: str, expires: int) -> str:
        return hmac.new(self.key, f"{place}\n{expires}".encode(), hashlib.sha256).hexdigest()
