"""The first origin: the hub's API and the content of small files, with the envelopes and codes of the real one."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from dfly.testing.hub import Account, Call, Fault, Target
from dfly_modelscope.envelope import BAD_TOKEN, NO_ACCESS, NO_FILE, NO_REPOSITORY
from dfly_modelscope.testing.repos import Commit, Repo, rows
from dfly_modelscope.testing.site import ModelScopeSite
from dfly_modelscope.urls import KINDS

_CALLS = {"repo/files": "files", "repo/tree": "tree", "repo": "resolve", "revisions": "revisions", "": "info"}
_DATASET_PAGE = 100


class RefusedError(Exception):
    """The hub says no: an HTTP status, and the code and message of the envelope."""

    def __init__(self, status: int, code: int | str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Hub:
    """Answers requests to the hub's origin."""

    def __init__(self, site: ModelScopeSite) -> None:
        self._site = site
        self._ids = itertools.count(1)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer any request to this origin."""
        place = request.raw_path.partition("?")[0]
        target = self._target(place, request)
        call, fault = self._site.open_call(request, target.what, f"{target.kind}/{target.repo}", target.path)
        if fault.status is not None:
            call.status = fault.status
            headers = {"Content-Type": "application/json", **fault.headers}
            return web.Response(status=fault.status, body=fault.body, headers=headers)
        try:
            answer = await self._dispatch(request, target, call, fault)
        except RefusedError as refused:
            answer = self._envelope(None, fault, status=refused.status, code=refused.code, message=refused.message)
        response = answer if isinstance(answer, web.StreamResponse) else self._envelope(answer, fault)
        call.status = response.status
        return response

    async def _dispatch(
        self, request: web.Request, target: Target, call: Call, fault: Fault
    ) -> web.StreamResponse | dict[str, Any] | list[Any]:
        if target.what == "region":
            return {"EnableInternalAcceleration": False, "InternalRegionQueryAddress": ""}
        if target.what == "other":
            raise RefusedError(404, 404, "page not found")
        account = self._account(request)
        repo = self._repo(target, account)
        if target.what == "exists":
            return web.json_response({"success": True, "data": {"id": repo.id}, "code": None})
        if target.what == "info":
            return {
                "Name": repo.id.partition("/")[2],
                "Path": repo.id.partition("/")[0],
                "Visibility": 1 if repo.private else 5,
            }
        if target.what == "revisions":
            return {"RevisionMap": {"Branches": _names(repo.branches), "Tags": _names(repo.tags)}}
        commit = repo.find(target.revision)
        if target.what == "resolve":
            return await self._content(request, target, repo, commit, account, call, fault)
        return self._listing(request, target, commit)

    def _listing(self, request: web.Request, target: Target, commit: Commit | None) -> dict[str, Any] | list[Any]:
        if commit is None:
            # not an error on the real hub: a revision that does not exist looks like one without files
            return {"Files": None, "IsVisual": 0, "LatestCommitter": None}
        recursive = request.query.get("Recursive", "False").lower() == "true"
        found = rows(commit, target.path, recursive=recursive)
        if target.what == "tree":
            size = int(request.query.get("PageSize", _DATASET_PAGE))
            start = (int(request.query.get("PageNumber", 1)) - 1) * size
            found = found[start : start + size]
            if self._site.bare_lists:
                return list(found)
        return {"Files": found[: self._site.cap], "IsVisual": 0, "LatestCommitter": self._latest(commit)}

    def _latest(self, commit: Commit) -> dict[str, Any] | None:
        if self._site.tells_head == "no":
            return None
        full = commit.id if self._site.tells_head == "full" else ""
        return {"Id": full, "ShortId": commit.id[:8], "Message": "Add files", "CommitterName": "fixture"}

    async def _content(
        self,
        request: web.Request,
        target: Target,
        repo: Repo,
        commit: Commit | None,
        account: Account | None,
        call: Call,
        fault: Fault,
    ) -> web.StreamResponse:
        if repo.gated and not (account and account.may_read(repo)):
            raise RefusedError(404, NO_ACCESS, "no access to this repository")
        file = commit.files.get(target.path) if commit else None
        if file is None:
            raise RefusedError(404, NO_FILE, f"file {target.path} not found")
        headers = {"X-Request-Id": f"fixture-{next(self._ids)}"}
        if file.lfs:
            headers["X-Linked-ETag"] = file.sha256
            if request.method == "GET":
                location = self._site.sign(repo, target.path, file)
                redirect = {**headers, "Location": location, **fault.headers}
                return web.Response(status=302, headers={name: value for name, value in redirect.items() if value})
        return await self._site.send(request, file, call=call, fault=fault, headers=headers)

    def _target(self, place: str, request: web.Request) -> Target:
        if not place.startswith(self._site.prefix):
            return Target("other")
        segments = [unquote(part) for part in place.removeprefix(self._site.prefix).strip("/").split("/")]
        query = request.query
        match segments:
            case ["api", "v1", "repos", "internalAccelerationInfo"]:
                return Target("region")
            case ["openapi", "v1", kind, owner, name] if kind in KINDS:
                return Target("exists", kind, f"{owner}/{name}")
            case ["api", "v1", kind, owner, name, *rest] if kind in KINDS and "/".join(rest) in _CALLS:
                path = query.get("FilePath", query.get("Root", ""))
                what = _CALLS["/".join(rest)]
                if what == {"models": "tree", "datasets": "files"}[kind]:
                    return Target("other")
                return Target(what, kind, f"{owner}/{name}", query.get("Revision", "master"), path)
            case [kind, owner, name, "resolve", revision, *path] if kind in KINDS:
                return Target("resolve", kind, f"{owner}/{name}", revision, "/".join(path))
        return Target("other")

    def _account(self, request: web.Request) -> Account | None:
        """Who asks: by the bearer token, else by the cookie. A token that nobody knows counts as none."""
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self._site.accounts.get(bearer) or self._site.accounts.get(request.cookies.get("m_session_id", ""))

    def _repo(self, target: Target, account: Account | None) -> Repo:
        repo = self._site.repos.get((target.kind, target.repo))
        if repo is None or (repo.private and not (account and account.may_read(repo))):
            code: int | str = NO_REPOSITORY if repo is None else NO_ACCESS
            raise RefusedError(404, "ResourceNotFound" if target.what == "exists" else code, "record not found")
        return repo

    def _envelope(
        self, data: Any, fault: Fault, *, status: int = 200, code: int | str = 200, message: str = "success"
    ) -> web.Response:
        told = f"fixture-{next(self._ids)}"
        envelope = {"Code": code, "Data": data, "Message": message, "RequestId": told, "Success": status < 400}
        if fault.edit is not None:
            fault.edit(envelope)
        response = web.json_response(envelope, status=status, headers={"X-Request-Id": told})
        response.headers.update(fault.headers)
        return response


def bad_token() -> dict[str, Any]:
    """How the hub refuses a token that it does not accept, as arguments of a fault: under status 400."""
    body = f'{{"Code":{BAD_TOKEN},"Message":"AccessToken is invalid","RequestId":"fixture-0","Success":false}}'
    return {"status": 400, "body": body.encode()}


def _names(refs: dict[str, str]) -> list[dict[str, Any]]:
    return [{"Revision": name, "CreatedAt": 1767225600} for name in sorted(refs)]
