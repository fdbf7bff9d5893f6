"""What a request to the hub's API is about. Pure text: no I/O.

Only what a snapshot can answer is recognised here: files, listings, and whether this machine is in the hub's own cloud.
"""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

import attrs

from dfly import UsageError
from dfly_modelscope.urls import DEFAULT_REVISION, KINDS, RepoUrl, checked_revision

_REGION = "/api/v1/repos/internalAccelerationInfo"
#: Rows of a page of a data set where the client names no number, and the most that it gets.
_USUAL_PAGE, _LARGEST_PAGE = 100, 10_000


@attrs.frozen(kw_only=True)
class Route:
    """One call: `what` is "file" or "listing"; `at` says of what, where `at.path` is the file, or the folder that is listed.

    `page` has the first and the last row of a page, None where everything is asked for.
    """

    what: str
    at: RepoUrl
    recursive: bool = False
    page: tuple[int, int] | None = None


def asks_for_region(method: str, path: str) -> bool:
    """Whether a client wants to know if it runs in the hub's own cloud, where files come from inside."""
    return method == "GET" and path == _REGION


def read_route(method: str, path: str, query: str) -> Route | None:
    """The call that a method, a raw path and a query are; None for what only the hub can answer.

    >>> read_route("GET", "/api/v1/models/o/n/repo", "Revision=v1&FilePath=a+b%2Fc").at.path
    'a b/c'
    """
    try:
        match path.split("/")[1:]:
            case ["api", "v1", kind, owner, name, "repo"] if kind in KINDS and method in ("GET", "HEAD"):
                asks = _asks(query)
                return _file(kind, owner, name, asks.get("Revision", DEFAULT_REVISION), asks.get("FilePath", ""))
            case ["api", "v1", "models", owner, name, "repo", "files"] if method == "GET":
                return _listing("models", owner, name, _asks(query))
            case ["api", "v1", "datasets", owner, name, "repo", "tree"] if method == "GET":
                return _listing("datasets", owner, name, _asks(query), paged=True)
            case [kind, owner, name, "resolve", revision, *parts] if kind in KINDS and method in ("GET", "HEAD"):
                inside = "/".join(unquote(part, errors="strict") for part in parts)
                return _file(kind, owner, name, unquote(revision, errors="strict"), inside)
    except (UnicodeDecodeError, UsageError, ValueError):
        pass
    return None


def _asks(query: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(query, errors="strict").items()}


def _file(kind: str, owner: str, name: str, revision: str, path: str) -> Route | None:
    at = _repository(kind, owner, name, revision)
    return Route(what="file", at=attrs.evolve(at, path=path)) if path else None


def _listing(kind: str, owner: str, name: str, asks: dict[str, str], *, paged: bool = False) -> Route:
    at = _repository(kind, owner, name, asks.get("Revision", DEFAULT_REVISION))
    page = None
    if paged:
        size = min(max(int(asks.get("PageSize", _USUAL_PAGE)), 1), _LARGEST_PAGE)
        first = (max(int(asks.get("PageNumber", 1)), 1) - 1) * size
        page = (first, first + size)
    return Route(
        what="listing",
        at=attrs.evolve(at, path=asks.get("Root", "").strip("/")),
        recursive=asks.get("Recursive", "").lower() == "true",
        page=page,
    )


def _repository(kind: str, owner: str, name: str, revision: str) -> RepoUrl:
    kind = "" if kind == "models" else f"{kind}/"
    at = RepoUrl.parse(f"modelscope://{kind}{unquote(owner, errors='strict')}/{unquote(name, errors='strict')}")
    if at.path or at.revision:
        raise UsageError("not a repository id")
    return attrs.evolve(at, revision=checked_revision(revision))
