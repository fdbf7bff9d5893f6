"""The read side of the hub's API on a node daemon: `HF_ENDPOINT=http://127.0.0.1:PORT/hf`.

Revisions, listings and files are answered from the snapshot of the whole repository at a commit, which the seed peer has
resolved once for everybody. The hub answers the rest itself: what is no reading of a repository, what a snapshot does not
tell (the whole description of a model, refs, the last commit of each file), and every refusal, so that clients raise the
errors that they would raise there. While the hub is away, what is known stands in for that, too.

What is not open to everybody is asked for at the hub with the caller's own token before a file of it is handed out.

A daemon that is to be offline asks the hub nothing, for whatever caller: to it the hub is away.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, urlencode
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
from dfly_hf.delivery import deliver
from dfly_hf.listing import Listing
from dfly_hf.routes import Route, read_route
from dfly_hf.settings import is_true
from dfly_hf.urls import DEFAULT_REVISION, RepoUrl

#: Rows of a page of a listing, and of an expanded one; the hub's own numbers.
PAGE, EXPANDED_PAGE = 1000, 50
#: Seconds for which the hub's yes to a token is believed, and for which it is while the hub cannot be asked.
ADMITTED, ADMITTED_ALONE = 30.0, 3600.0
_MOST_ADMITTED = 4096
_AWAY = (OriginUnavailable, RateLimited, SwarmError)


class HfFacade(Facade):
    """The hub's API. `usual` has `endpoint`, the hub itself."""

    prefix: ClassVar[str] = "hf"

    def __init__(self, usual: Any, *, page: int = PAGE, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__({name: value for name, value in usual.items() if name in ("endpoint", "offline")})
        self._upstream = usual.get("endpoint") or "https://huggingface.co"
        self._offline = is_true(self.usual.get("offline"))
        self._page, self._clock = page, clock
        self._listings: WeakKeyDictionary[Opened, Listing] = WeakKeyDictionary()
        self._admitted: OrderedDict[str, float] = OrderedDict()

    async def answer(self, asked: Asked, reads: Reads) -> Answer:
        """Answer one request."""
        route = read_route(asked.method, asked.path)
        if route is None or (asked.headers.get("authorization") and not asked.bearer):
            return await self._from_hub(asked, reads)
        try:
            opened = await self._open(route, asked, reads)
        except DflyError as error:
            return await self._refusal(error, asked, reads)
        if route.what == "resolve":
            return await self._file(route, asked, opened, reads)
        if self._is_for_hub(route, asked, opened):
            try:
                return await self._from_hub(asked, reads)
            except _AWAY:
                pass  # the answer from here has less in it, and is better than none
        return self._listed(route, asked, opened)

    async def _open(self, route: Route, asked: Asked, reads: Reads) -> Opened:
        at = attrs.evolve(route.at, revision=route.at.revision or DEFAULT_REVISION, path="")
        token = {"token": asked.bearer} if asked.bearer else {}
        return await reads.resolve(str(at), {**self.usual, **token})

    async def _from_hub(self, asked: Asked, reads: Reads) -> Answer:
        if self._offline:
            raise OriginUnavailable(
                "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set for the daemon: no connection to the hub is allowed",
                hint="unset it where dfdaemon is started, to have what is not in its cache",
            )
        answer = await reads.passed_on(asked, self._upstream)
        # or a client would go past the swarm
        kept = {n: v for n, v in answer.headers.items() if not n.lower().startswith("x-xet-") and "xet-auth" not in v}
        return attrs.evolve(answer, headers=kept)

    async def _refusal(self, error: DflyError, asked: Asked, reads: Reads) -> Answer:
        """What the hub says of what could not be resolved; what is known here where it says nothing."""
        if not isinstance(error, _AWAY):
            try:
                return await self._from_hub(asked, reads)
            except _AWAY:
                pass
        return _worded(error)

    # Files

    async def _file(self, route: Route, asked: Asked, opened: Opened, reads: Reads) -> Answer:
        if not opened.snapshot.public:
            refused = await self._admit(route, asked, reads)
            if refused is not None:
                return refused
        entry = self._listing(opened).files.get(route.at.path)
        if entry is None or entry.size is None:
            commit = opened.snapshot.revision or ""
            return _no(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit})
        return deliver(asked, opened, entry)

    async def _admit(self, route: Route, asked: Asked, reads: Reads) -> Answer | None:
        """The hub's refusal of this file, None where it would give it: a gated repository lists its files to everybody."""
        at = route.at
        # all that the hub may go by: a yes that a cookie has won is for nobody without it
        shown = (at.kind, at.repo, asked.bearer, asked.headers.get("cookie"))
        who = hashlib.sha256(repr(shown).encode("utf-8", "surrogatepass")).hexdigest()
        age = self._clock() - self._admitted.get(who, -ADMITTED_ALONE)
        if age < ADMITTED:
            return None
        bare = {name: value for name, value in asked.headers.items() if not name.startswith(("range", "if-"))}
        try:
            said = await self._from_hub(attrs.evolve(asked, method="HEAD", headers=bare), reads)
        except _AWAY as error:
            return None if age < ADMITTED_ALONE else _worded(error)
        if said.status in (401, 403) or (said.status == 404 and said.headers.get("x-error-code") != "EntryNotFound"):
            self._admitted.pop(who, None)
            # a GET of the same says why in its body
            return said if asked.method == "HEAD" else await self._from_hub(asked, reads)
        if said.status < 400:
            self._admitted[who] = self._clock()
            self._admitted.move_to_end(who)
            while len(self._admitted) > _MOST_ADMITTED:
                self._admitted.popitem(last=False)
        return None if said.status < 400 or said.status == 404 else said

    # Listings

    def _is_for_hub(self, route: Route, asked: Asked, opened: Opened) -> bool:
        """Whether the hub has more to say than a snapshot tells."""
        if route.what == "refs":
            return True
        form = asked.body.decode("utf-8", "replace") if route.what == "paths-info" else asked.query
        asks = parse_qs(form)
        if route.what in ("info", "revision"):
            partly = {"expand", "securityStatus"}.intersection(asks)
            return route.what == "info" or bool(partly) or not opened.snapshot.public
        return _is_set(asks.get("expand"))

    def _listed(self, route: Route, asked: Asked, opened: Opened) -> Answer:
        listing = self._listing(opened)
        if route.what == "tree":
            return self._tree(route, asked, listing)
        if route.what == "refs":
            head = {"name": DEFAULT_REVISION, "ref": f"refs/heads/{DEFAULT_REVISION}"}
            branch = {**head, "targetCommit": opened.snapshot.revision}
            return _json({"branches": [branch], "tags": [], "converts": []})
        if route.what == "paths-info":
            return _json([row for path in _paths(asked) if (row := listing.row(path.rstrip("/"))) is not None])
        return _json(_description(route, opened, listing, blobs="blobs" in parse_qs(asked.query)))

    def _tree(self, route: Route, asked: Asked, listing: Listing) -> Answer:
        folder = route.at.path
        if folder and folder not in listing.folders:
            return _no(404, "EntryNotFound", f"{folder} does not exist on {route.at.revision!r}")
        query = parse_qs(asked.query)
        paths = list(listing.below(folder, recursive=_is_set(query.get("recursive"))))
        size = min(self._page, EXPANDED_PAGE) if _is_set(query.get("expand")) else self._page
        start = _cursor(query.get("cursor"))
        headers = {}
        if start + size < len(paths):
            rest = [(name, value) for name, value in parse_qsl(asked.query) if name != "cursor"]
            after = base64.urlsafe_b64encode(str(start + size).encode()).decode()
            headers["Link"] = f'<{asked.base}{asked.path}?{urlencode([*rest, ("cursor", after)])}>; rel="next"'
        return _json([listing.row(path) for path in paths[start : start + size]], headers)

    def _listing(self, opened: Opened) -> Listing:
        if opened not in self._listings:
            self._listings[opened] = Listing(opened.snapshot)
        return self._listings[opened]


def _description(route: Route, opened: Opened, listing: Listing, *, blobs: bool) -> dict[str, Any]:
    """A repository in as many words as are known here."""
    snapshot, repo = opened.snapshot, _repo_of(opened, route)
    found: dict[str, Any] = {
        "_id": hashlib.sha256(repo.encode()).hexdigest()[:24],
        "id": repo,
        "sha": snapshot.revision,
        "private": not snapshot.public,
        "disabled": False,
        "tags": [],
        "siblings": listing.siblings(blobs=blobs),
    }
    return found if route.at.kind == "spaces" else {**found, "gated": False}


def _repo_of(opened: Opened, route: Route) -> str:
    """What the repository is called now: it may have been asked for by an older name."""
    try:
        return RepoUrl.parse(opened.snapshot.source).repo
    except DflyError:
        return route.at.repo


def _paths(asked: Asked) -> Sequence[str]:
    text = asked.body.decode("utf-8", "replace")
    if asked.headers.get("content-type", "").startswith("application/json"):
        try:
            said = json.loads(text)["paths"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return ()
        return [path for path in said if isinstance(path, str)] if isinstance(said, list) else (str(said),)
    return parse_qs(text).get("paths", [])


def _cursor(values: Sequence[str] | None) -> int:
    try:
        return max(0, int(base64.urlsafe_b64decode(values[0]))) if values else 0
    except (ValueError, binascii.Error):
        return 0


def _is_set(values: Sequence[str] | None) -> bool:
    return values is not None and values[-1].lower() in ("true", "1")


def _worded(error: DflyError) -> Answer:
    """A refusal in the hub's words, where the hub itself cannot be asked."""
    if isinstance(error, RateLimited):
        after = {"Retry-After": str(max(1, round(error.after)))} if error.after is not None else {}
        return _no(429, "", error.message, **after)
    if isinstance(error, NotFound):
        code = {"repository": "RepoNotFound", "revision": "RevisionNotFound"}.get(error.kind, "EntryNotFound")
        return _no(404, code, error.message)
    if isinstance(error, AccessDenied):
        return _no(403, "", error.message)
    return _no(504, "", error.message)


def _no(status: int, code: str, message: str, **headers: str) -> Answer:
    # a header is one line of Latin-1
    shown = message.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ")
    said = {**headers, "X-Error-Message": shown, **({"X-Error-Code": code} if code else {})}
    return _json({"error": message}, said, status=status)


def _json(value: Any, headers: dict[str, str] | None = None, *, status: int = 200) -> Answer:
    body = json.dumps(value).encode()
    return Answer(
        status=status, headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body=body
    )
