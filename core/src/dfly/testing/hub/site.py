"""What the two origins of a hub share: repositories, accounts, signed links, faults, records."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Protocol, TypeVar
from urllib.parse import quote, unquote

import attrs
from aiohttp import web

from dfly.testing.hub.bodies import Body, Brake, Throttle
from dfly.testing.hub.contents import Content
from dfly.testing.hub.faults import Fault, Faults
from dfly.testing.hub.records import HARMLESS, Call, Records


class Repository(Protocol):
    """What is asked of a hub's repository: what `kind` it is ("models"), and its id, `owner/name`."""

    kind: str
    id: str


R = TypeVar("R", bound=Repository)


@attrs.frozen
class Account:
    """Who a token stands for. `grants` are ids of private and gated repositories open to it, besides its own."""

    name: str
    grants: frozenset[str] = frozenset()

    def may_read(self, repo: Repository) -> bool:
        """Whether a private or gated repository is open to this account."""
        return repo.id in self.grants or repo.id.partition("/")[0] == self.name


@attrs.frozen
class Target:
    """What a request is about, all parts unquoted: `what` is the kind of call, `path` a file or the folder of a listing."""

    what: str
    kind: str = "models"
    repo: str = ""
    revision: str = ""
    path: str = ""


@attrs.define(kw_only=True)
class Site(Generic[R]):
    """The state of a hub; a hub's own class adds what else can be set. Tests change it while the server's thread reads it.

    `prefix` is a path below which the hub lives; signed links live for `link_seconds`; a part of a file comes under
    `part_status`.
    """

    #: The kinds of API calls.
    api_kinds: ClassVar[tuple[str, ...]]
    #: Headers that the hub's own client brings to the storage, though it need not.
    tolerated: ClassVar[tuple[str, ...]] = ()
    #: How the storage names the key in a signed link.
    key_name: ClassVar[str] = "KeyId"

    prefix: str
    throttle: Throttle
    link_seconds: int = 3600
    part_status: int = 206
    hub_url: str = ""
    cdn_url: str = ""
    repos: dict[tuple[str, str], R] = attrs.field(factory=dict)
    accounts: dict[str, Account] = attrs.field(factory=dict)
    faults: Faults = attrs.field(factory=Faults)
    brake: Brake = attrs.field(factory=Brake)
    records: Records = attrs.field(init=False)
    #: Replaced to make all links expire.
    key: bytes = attrs.field(factory=lambda: secrets.token_bytes(16))
    _stored: dict[str, Content] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.records = Records(api_kinds=self.api_kinds, tolerated=self.tolerated)

    def stored_headers(self, file: Content) -> dict[str, str]:
        """What the storage says about a file besides its length."""
        return {"ETag": f'"{file.etag}"'}

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
            more=frozenset(map(str.lower, headers)) - HARMLESS,
            encoding=headers.get("Accept-Encoding", ""),
            user_agent=headers.get("User-Agent", ""),
        )
        self.records.add(call)
        return call, self.faults.take(call, api=self.records.is_api(kind))

    async def send(
        self, request: web.Request, file: Content, *, call: Call, fault: Fault, headers: Mapping[str, str], **more: Any
    ) -> web.StreamResponse:
        """Send a file's content as this hub does; `more` is for `Body`."""
        return await Body(
            request=request,
            file=file,
            call=call,
            fault=fault,
            throttle=self.throttle,
            brake=self.brake,
            headers=headers,
            part_status=self.part_status,
            **more,
        ).send()

    def sign(self, repo: Repository, path: str, file: Content) -> str:
        """A link to a file's content that is good for `link_seconds`."""
        self._stored[file.etag] = file
        place = f"/{repo.kind}/{quote(repo.id, safe='')}/{file.etag}/{quote(path)}"
        expires = int(time.time() + self.link_seconds)
        signature = self._signature(place, expires)
        return f"{self.cdn_url}{place}?Expires={expires}&Signature={signature}&{self.key_name}=FIXTURE"

    def signed(self, place: str, expires: str, signature: str) -> str | None:
        """Why a link is no good, or None."""
        if not expires.isdigit() or not hmac.compare_digest(self._signature(place, int(expires)), signature):
            return "The signature does not match"
        return "Request has expired" if int(expires) < time.time() else None

    def stored(self, place: str) -> tuple[str, str, Content | None]:
        """Repository, path and content behind a link's path."""
        kind, repo, etag, path = (place.strip("/").split("/", 3) + [""] * 4)[:4]
        return f"{kind}/{unquote(repo)}", unquote(path), self._stored.get(etag)

    def _signature(self, place: str, expires: int) -> str:
        return hmac.new(self.key, f"{place}\n{expires}".encode(), hashlib.sha256).hexdigest()
