"""What a request to the hub's API is about. Pure text: no I/O.

A slash in a revision is sent as `%2F`, so a path is cut into its parts before any of them is decoded. What is not
recognised here is for the hub itself.
"""

from __future__ import annotations

from urllib.parse import unquote

import attrs

from dfly import UsageError
from dfly_hf.urls import KINDS, RepoUrl, checked_revision, valid_repo_id

#: The calls that a listing answers, with the methods that make them.
_CALLS = {"revision": ("GET", "HEAD"), "tree": ("GET", "HEAD"), "paths-info": ("POST",), "refs": ("GET", "HEAD")}


@attrs.frozen
class Route:
    """One call: `what` is "info", "revision", "tree", "paths-info", "refs" or "resolve"; `at` says of what, where `at.path` is a
    file ("resolve") or a folder ("tree"). A call that names no revision means the default one.
    """

    what: str
    at: RepoUrl


def read_route(method: str, path: str) -> Route | None:
    """The call that a method and a raw path are; None for what only the hub can answer.

    >>> read_route("GET", "/owner/name/resolve/refs%2Fpr%2F1/a%20b").at.revision
    'refs/pr/1'
    """
    segments = path.split("/")[1:]
    try:
        if segments[0] == "api":
            return _api(method, segments[1:])
        return _resolve(method, segments)
    except (UnicodeDecodeError, UsageError):
        return None


def _api(method: str, segments: list[str]) -> Route | None:
    kind, rest = segments[0] if segments else "", segments[1:]
    if kind not in KINDS or not rest:
        return None
    ids = next((n for n in (1, 2) if rest[n : n + 1] and rest[n] in _CALLS), None)
    if ids is None:
        return Route("info", _repository(kind, rest)) if method in ("GET", "HEAD") and len(rest) <= 2 else None
    at, what, tail = _repository(kind, rest[:ids]), rest[ids], rest[ids + 1 :]
    if method not in _CALLS[what]:
        return None
    if what == "refs":
        return None if tail else Route(what, at)
    if not tail or (len(tail) > 1 and what != "tree"):
        return None
    return Route(what, _inside(at, tail))


def _resolve(method: str, segments: list[str]) -> Route | None:
    kind = segments.pop(0) if segments[0] in KINDS else "models"
    ids = next((n for n in (1, 2) if segments[n : n + 1] == ["resolve"]), None)
    if ids is None or method not in ("GET", "HEAD") or len(segments) < ids + 3:
        return None
    at = _inside(_repository(kind, segments[:ids]), segments[ids + 1 :])
    return Route("resolve", at) if at.path else None


def _repository(kind: str, ids: list[str]) -> RepoUrl:
    repo = unquote("/".join(ids), errors="strict")
    if not valid_repo_id(repo):
        raise UsageError(f"{repo!r} is not a repository id")
    return RepoUrl(kind, repo)


def _inside(at: RepoUrl, tail: list[str]) -> RepoUrl:
    revision = checked_revision(unquote(tail[0], errors="strict"))
    path = unquote("/".join(tail[1:]), errors="strict")
    return attrs.evolve(at, revision=revision, path=path.rstrip("/") if path.endswith("/") else path)
