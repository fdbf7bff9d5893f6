"""The first origin: the hub's API and its /resolve/ URLs, with the words and headers of the real one."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode

from aiohttp import web

from dfly.testing.hub import Account, Call, Fault, Target
from dfly_hf.testing.repos import Commit, Repo, folders, row
from dfly_hf.testing.site import HfSite
from dfly_hf.urls import KINDS

_CALLS = ("revision", "tree", "paths-info", "refs", "commits", "auth-check")
_EXPANDED_PAGE = 50


class RefusedError(Exception):
    """The hub says no: status, code and message as its headers carry them."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {**headers, "X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.message = message


class Hub:
    """Answers requests to the hub's origin."""

    def __init__(self, site: HfSite) -> None:
        self._site = site
        self._ids = itertools.count(1)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to this origin."""
        place = request.raw_path.partition("?")[0]
        target = read_target(place.removeprefix(self._site.prefix))
        call, fault = self._site.open_call(request, target.what, f"{target.kind}/{target.repo}", target.path)
        try:
            if fault.status is not None:
                response: web.StreamResponse = web.Response(
                    status=fault.status, body=fault.body, headers={"Content-Type": "text/html", **fault.headers}
                )
            elif not place.startswith(self._site.prefix):
                raise RefusedError(404, "", "Not Found")  # noqa: TRY301 - one place turns refusals into answers
            else:
                response = await self._dispatch(request, target, call, fault)
        except RefusedError as refused:
            response = web.json_response({"error": refused.message}, status=refused.status, headers=refused.headers)
        call.status = response.status
        if not response.prepared:
            self._finish(response, fault)
        return response

    def _finish(self, response: web.StreamResponse, fault: Fault) -> None:
        response.headers["X-Request-Id"] = f"fixture-{next(self._ids)}"
        for name, value in fault.headers.items():
            response.headers.popall(name, None)
            if value:
                response.headers[name] = value

    async def _dispatch(self, request: web.Request, target: Target, call: Call, fault: Fault) -> web.StreamResponse:
        account = self._account(request)
        if target.what == "whoami":
            return _whoami(account)
        if target.what == "other":
            raise RefusedError(404, "", "Sorry, we can't find the page you are looking for.")
        new_id = self._site.renames.get((target.kind, target.repo))
        if new_id is not None:
            return _renamed(request, target.repo, new_id)
        repo = self._repo(target, account)
        if target.what in ("resolve", "auth-check"):
            _refuse_gated(repo, account)
        if target.what == "auth-check":
            return web.json_response({})
        if target.what == "refs":
            return web.json_response(_refs(repo, with_pulls="include_prs" in request.query))
        commit = repo.find(target.revision or "main", short_hashes=self._site.short_hashes)
        if commit is None:
            raise RefusedError(404, "RevisionNotFound", f"Invalid rev id: {target.revision}")
        if target.what == "resolve":
            return await self._resolve(request, target, repo, commit, call, fault)
        return await self._list(request, target, repo, commit)

    async def _list(self, request: web.Request, target: Target, repo: Repo, commit: Commit) -> web.Response:
        if target.what == "paths-info":
            form = await request.post()
            return web.json_response(_paths_info(commit, [str(path) for path in form.getall("paths", [])]))
        if target.what == "tree":
            return self._tree(request, target, commit)
        if target.what == "commits":
            return self._page(request, [_commit_row(c) for c in repo.history(commit)], self._site.page_size)
        return web.json_response(_info(repo, commit, blobs="blobs" in request.query))

    def _account(self, request: web.Request) -> Account | None:
        given = request.headers.get("Authorization", "")
        if self._site.password is not None:
            expected = "Basic " + base64.b64encode(self._site.password.encode()).decode()
            if given != expected:
                raise RefusedError(401, "", "The proxy wants a password")
            return None
        if not given:
            return None
        account = self._site.accounts.get(given.removeprefix("Bearer "))
        if account is None:
            raise RefusedError(401, "", "Invalid credentials in Authorization header")
        return account

    def _repo(self, target: Target, account: Account | None) -> Repo:
        repo = self._site.repos.get((target.kind, target.repo))
        if repo is None or (repo.private and not (account and account.may_read(repo))):
            # the same for both, so that private names stay private
            if account is None:
                raise RefusedError(401, "RepoNotFound", "Invalid username or password.")
            raise RefusedError(404, "RepoNotFound", "Repository not found")
        if repo.disabled:
            raise RefusedError(403, "", "Access to this resource is disabled.")
        return repo

    async def _resolve(
        self, request: web.Request, target: Target, repo: Repo, commit: Commit, call: Call, fault: Fault
    ) -> web.StreamResponse:
        file = commit.files.get(target.path)
        if file is None:
            raise RefusedError(404, "EntryNotFound", "Entry not found", **{"X-Repo-Commit": commit.id})
        headers = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
        if file.stored_elsewhere:
            link = self._site.sign(repo, target.path, file)
            headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.etag}"', "Location": link}
            if file.xet:
                route = f"{self._site.hub_url}/api/{repo.kind}/{repo.id}/xet-read-token/{commit.id}"
                headers |= {"X-Xet-Hash": file.xet, "Link": f'<{route}>; rel="xet-auth"'}
            return web.Response(status=302, text=f"Found. Redirecting to {link}", headers=headers)
        headers |= {"ETag": f'"{file.oid}"', "X-Request-Id": f"fixture-{next(self._ids)}"}
        return await self._site.send(request, file, call=call, fault=fault, headers=headers, compressible=True)

    def _tree(self, request: web.Request, target: Target, commit: Commit) -> web.Response:
        query = request.query
        dirs = folders(commit.files)
        if target.path and target.path not in dirs:
            raise RefusedError(404, "EntryNotFound", f"{target.path} does not exist on {target.revision!r}")
        below = f"{target.path}/" if target.path else ""
        expand = commit if query.get("expand", "").lower() == "true" else None
        names = sorted(name for name in (*commit.files, *dirs) if name.startswith(below))
        if query.get("recursive", "").lower() not in ("true", "1"):
            names = [name for name in names if "/" not in name[len(below) :]]
        rows = [row(name, commit.files.get(name), dirs.get(name, ""), commit=expand) for name in names]
        return self._page(request, rows, _EXPANDED_PAGE if expand else self._site.page_size)

    def _page(self, request: web.Request, rows: Sequence[dict[str, Any]], size: int) -> web.Response:
        place, _, query = request.raw_path.partition("?")
        cursor = parse_qs(query).get("cursor", [""])[0]
        start = int(base64.urlsafe_b64decode(cursor)) if cursor else 0
        headers = {}
        if start + size < len(rows):
            after = base64.urlsafe_b64encode(str(start + size).encode()).decode()
            asked = [(name, value) for name, value in parse_qsl(query) if name != "cursor"]
            base = self._site.next_link_base or self._site.hub_url
            link = f"{base}{place.removeprefix(self._site.prefix)}?{urlencode([*asked, ('cursor', after)])}"
            headers["Link"] = f'<{link}>; rel="next"'
        return web.json_response(list(rows[start : start + size]), headers=headers)


def read_target(place: str) -> Target:
    """What a raw path names. A slash in a revision is `%2F`, so the path is cut before it is unquoted."""
    segments = place.strip("/").split("/")
    if segments[:2] == ["api", "whoami-v2"]:
        return Target("whoami")
    api = segments[0] == "api"
    segments = segments[1:] if api else segments
    kind = segments.pop(0) if segments and segments[0] in KINDS else ""
    calls = _CALLS if api else ("resolve",)
    ids = next((n for n in (1, 2) if segments[n : n + 1] and segments[n] in calls), 2)
    repo = "/".join(segments[:ids])
    what, rest = segments[ids : ids + 1], segments[ids + 1 :]
    if api and kind and not what:
        return Target("info", kind, repo)
    if not what or what[0] not in calls or (api and not kind):
        return Target("other")
    revision, path = unquote(rest[0]) if rest else "", unquote("/".join(rest[1:]))
    return Target(what[0], kind or "models", repo, revision, path)


def _whoami(account: Account | None) -> web.Response:
    if account is None:
        raise RefusedError(401, "", "Invalid username or password.")
    return web.json_response({"type": "user", "name": account.name, "fullname": account.name, "orgs": []})


def _refuse_gated(repo: Repo, account: Account | None) -> None:
    if not repo.gated or (account and account.may_read(repo)):
        return
    said = f"Access to model {repo.id} is restricted"
    if account is None:
        raise RefusedError(401, "GatedRepo", f"{said}. You must have access to it and be authenticated. Please log in.")
    raise RefusedError(403, "GatedRepo", f"{said} and you are not in the authorized list.")


def _renamed(request: web.Request, old: str, new: str) -> web.Response:
    return web.Response(status=307, headers={"Location": request.raw_path.replace(f"/{old}", f"/{quote(new)}", 1)})


def _info(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.files)]
    for sibling in siblings if blobs else ():
        file = commit.files[sibling["rfilename"]]
        sibling |= {"size": file.size, "blobId": file.oid}
        if file.sha256:
            sibling["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    found = {
        "_id": "0" * 24,
        "id": repo.id,
        "sha": commit.id,
        "private": repo.private,
        "disabled": repo.disabled,
        "lastModified": "2026-01-01T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "tags": [],
        "siblings": siblings,
    }
    return found if repo.kind == "spaces" else {**found, "gated": "auto" if repo.gated else False}


def _refs(repo: Repo, *, with_pulls: bool) -> dict[str, Any]:
    groups = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
    if with_pulls:
        groups["pullRequests"] = "refs/pr/"
    return {
        group: [
            {"name": ref.removeprefix(start), "ref": ref, "targetCommit": commit}
            for ref, commit in sorted(repo.refs.items())
            if ref.startswith(start)
        ]
        for group, start in groups.items()
    }


def _commit_row(commit: Commit) -> dict[str, Any]:
    return {
        "id": commit.id,
        "title": commit.title,
        "message": "",
        "authors": [{"user": "fixture"}],
        "date": "2026-01-01T00:00:00.000Z",
    }


def _paths_info(commit: Commit, paths: Sequence[str]) -> list[dict[str, Any]]:
    dirs = folders(commit.files)
    known = [path for path in paths if path in commit.files or path in dirs]
    return [row(path, commit.files.get(path), dirs.get(path, "")) for path in known]
