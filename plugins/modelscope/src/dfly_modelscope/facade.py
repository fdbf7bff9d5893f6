"""The read side of the hub's API on a node daemon: `MODELSCOPE_ENDPOINT=http://127.0.0.1:PORT/modelscope`.

Files and listings are answered from the snapshot of the whole repository, which the seed peer has resolved once for
everybody. The hub answers the rest itself, every refusal too: nobody words them as it does, and a revision that does not exist
is an empty listing there. While the hub is away, what is known stands in for that.

A listing does not tell who may read the files, so the hub is asked with the caller's own token before one is handed out.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import attrs

from dfly import (
    AccessDenied,
    Answer,
    Asked,
    DflyError,
    Facade,
    NotFound,
    Opened,
    OriginUnavailable,
    RateLimited,
    Reads,
    SwarmError,
)
from dfly_modelscope.delivery import deliver
from dfly_modelscope.envelope import NO_ACCESS, NO_FILE, NO_REPOSITORY, NO_TREE
from dfly_modelscope.routes import Route, asks_for_region, read_route
from dfly_modelscope.tree import Tree
from dfly_modelscope.urls import with_scheme

#: Seconds for which the hub's yes to a token is believed, and for which it is while the hub cannot be asked.
ADMITTED, ADMITTED_ALONE = 30.0, 3600.0
_MOST_ADMITTED = 4096
_AWAY = (OriginUnavailable, RateLimited, SwarmError)
_CODES = {"repository": NO_REPOSITORY, "revision": NO_TREE}


class ModelScopeFacade(Facade):
    """The hub's API. `usual` has `endpoint`, the hub itself, where it is not the public one."""

    prefix: ClassVar[str] = "modelscope"

    def __init__(self, usual: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__({name: with_scheme(value) for name, value in usual.items() if name == "endpoint"})
        self._upstream = self.usual.get("endpoint") or "https://modelscope.cn"
        self._clock = clock
        self._trees: WeakKeyDictionary[Opened, Tree] = WeakKeyDictionary()
        self._admitted: OrderedDict[str, float] = OrderedDict()

    async def answer(self, asked: Asked, reads: Reads) -> Answer:
        """Answer one request."""
        if asks_for_region(asked.method, asked.path):
            return _said({"EnableInternalAcceleration": False, "InternalRegionQueryAddress": ""})
        route = read_route(asked.method, asked.path, asked.query)
        if route is None or (asked.headers.get("authorization") and not asked.bearer):
            return await reads.passed_on(asked, self._upstream)
        token = _token(asked)
        options = {**self.usual, **({"token": token} if token else {})}
        try:
            # no listing tells that it is public, and this plugin has nothing to show but what the caller does
            opened = await reads.resolve(str(attrs.evolve(route.at, path="")), options, vouched=True)
        except DflyError as error:
            return await self._refusal(error, asked, reads)
        tree = self._tree(opened)
        if route.what == "listing":
            rows = list(tree.rows(route.at.path, recursive=route.recursive))
            return _said(tree.listing(rows[slice(*route.page)] if route.page else rows))
        return await self._file(route, asked, opened, tree, reads)

    async def _file(self, route: Route, asked: Asked, opened: Opened, tree: Tree, reads: Reads) -> Answer:
        entry = tree.files.get(route.at.path)
        if entry is None:
            missing = NotFound(f"file {route.at.path} not found")
            return await self._refusal(missing, asked, reads)
        refused = None if opened.snapshot.public else await self._admit(route, asked, reads)
        if refused is not None:
            return refused
        if entry.size is None:
            return await reads.passed_on(asked, self._upstream)
        return deliver(asked, opened, entry, entry.size)

    async def _admit(self, route: Route, asked: Asked, reads: Reads) -> Answer | None:
        """The hub's refusal of this file, None where it would give it."""
        at = route.at
        # all that the hub may go by: a yes that the cookie has won is for nobody without it
        shown = (at.kind, at.repo, asked.bearer, asked.headers.get("cookie"))
        who = hashlib.sha256(repr(shown).encode("utf-8", "surrogatepass")).hexdigest()
        age = self._clock() - self._admitted.get(who, -ADMITTED_ALONE)
        if age < ADMITTED:
            return None
        bare = {name: value for name, value in asked.headers.items() if not name.startswith(("range", "if-"))}
        try:
            said = await reads.passed_on(attrs.evolve(asked, method="HEAD", headers=bare), self._upstream)
            if said.status >= 500 and age < ADMITTED_ALONE:
                return None
            if said.status >= 400:
                self._admitted.pop(who, None)
                # a GET of the same says why in its body
                return said if asked.method == "HEAD" else await reads.passed_on(asked, self._upstream)
        except _AWAY as error:
            return None if age < ADMITTED_ALONE else _worded(error)
        self._admitted[who] = self._clock()
        self._admitted.move_to_end(who)
        while len(self._admitted) > _MOST_ADMITTED:
            self._admitted.popitem(last=False)
        return None

    async def _refusal(self, error: DflyError, asked: Asked, reads: Reads) -> Answer:
        """What the hub says of what is not there or not for this caller; what is known here where it says nothing."""
        if not isinstance(error, _AWAY):
            try:
                return await reads.passed_on(asked, self._upstream)
            except _AWAY:
                pass
        return _worded(error)

    def _tree(self, opened: Opened) -> Tree:
        if opened not in self._trees:
            self._trees[opened] = Tree(opened.snapshot)
        return self._trees[opened]


def _token(asked: Asked) -> str:
    """The caller's token: the hub's client shows it twice, its older calls as a cookie only."""
    if asked.bearer:
        return asked.bearer
    try:
        found = SimpleCookie(asked.headers.get("cookie", "")).get("m_session_id")
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _worded(error: DflyError) -> Answer:
    """A refusal in the hub's words, where the hub itself cannot be asked."""
    if isinstance(error, NotFound):
        return _said(None, status=404, code=_CODES.get(error.kind, NO_FILE), message=error.message)
    if isinstance(error, AccessDenied):
        return _said(None, status=404, code=NO_ACCESS, message=error.message)
    if isinstance(error, RateLimited):
        after = {"Retry-After": str(max(1, round(error.after)))} if error.after is not None else {}
        return _said(None, status=429, code=429, message=error.message, headers=after)
    return _said(None, status=504, code=504, message=error.message)


def _said(
    data: Any, *, status: int = 200, code: int = 200, message: str = "success", headers: dict[str, str] | None = None
) -> Answer:
    envelope = {"Code": code, "Data": data, "Message": message, "RequestId": "", "Success": status < 400}
    return Answer(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps(envelope).encode(),
    )
