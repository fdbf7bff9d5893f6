"""The hub's HTTP API: its URLs and its JSON, checked. Nothing else in this plugin knows either.

Every answer is a stranger's: its size is capped, its shape is checked field by field, and what it names is data.
A page of a listing that cannot be read is an error, never a shorter listing. Retries and redirects are the client's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

import attrs

from dfly import Endpoint, Secret, SourceError, UsageError, bare_url, reaching, read_capped
from dfly_hf.refusals import not_a_hub, refusal
from dfly_hf.urls import RepoUrl

if TYPE_CHECKING:
    import httpx

#: A listing without end is a stranger's way to fill a memory.
MOST_PAGES = 10_000
LARGEST_ANSWER = 64 << 20
LARGEST_ERROR = 64 << 10
_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
_HEX64 = re.compile(r"[0-9a-fA-F]{64}")


@attrs.frozen
class Revision:
    """What the hub says about a repository at a revision. `open` is True where it says that anybody may read it."""

    repo: str
    commit: str
    open: bool


@attrs.frozen
class Row:
    """One file or folder of a listing. `sha256` is of an LFS file's content, `oid` git's hash of a plain file."""

    path: str
    is_file: bool
    size: int = 0
    oid: str | None = None
    sha256: str | None = None
    xet: str | None = None


class HubApi:
    """Calls to one hub with one token. Raises SourceErrors; UsageError where offline mode forbids every call."""

    def __init__(
        self, *, client: httpx.Client, endpoint: Endpoint, token: Secret | None, offline: bool = False
    ) -> None:
        self.endpoint = endpoint
        self.token_given = token is not None
        self._client = client
        self._offline = offline
        self._headers = _authorization(endpoint, token)

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the hub carries. Raises UsageError when offline: no request is to be made."""
        if self._offline:
            raise UsageError(
                "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set: no connection to the hub is allowed",
                hint="unset it (or pass --hf-offline 0) to fetch from the hub",
            )
        return dict(self._headers)

    def revision(self, at: RepoUrl) -> Revision:
        """The commit that `at.revision` is now."""
        assert at.revision is not None
        answer, response = self._json("GET", self._api(at, "revision", at.revision), about=at)
        said = self._mapping(answer, response)
        commit, repo = said.get("sha"), said.get("id")
        if not isinstance(commit, str) or not _HEX40.fullmatch(commit):
            raise not_a_hub(response, self.endpoint, "a revision without a commit hash")
        return Revision(
            repo=repo if isinstance(repo, str) else at.repo,
            commit=commit.lower(),
            # a gated repository lists its files to everybody, so that a listing worked says nothing
            open=said.get("private") is False and said.get("gated", False) is False,
        )

    def tree(self, at: RepoUrl) -> Iterator[Row]:
        """Everything below `at`, recursively, page by page."""
        assert at.revision is not None
        url: str | None = self._api(at, "tree", at.revision, path=at.path) + "?recursive=true&expand=false"
        seen = set[str]()
        while url is not None:
            if url in seen:
                raise SourceError(f"{at}: the hub's listing leads back to a page already read", url=bare_url(url))
            if len(seen) >= MOST_PAGES:
                raise SourceError(f"{at}: the hub's listing has more than {MOST_PAGES:,} pages", url=bare_url(url))
            seen.add(url)
            answer, response = self._json("GET", url, about=at)
            yield from self._rows(answer, response)
            url = self._next_page(url, response)

    def row(self, at: RepoUrl) -> Row | None:
        """The file or folder at `at.path`; None where there is none."""
        assert at.revision is not None
        form = {"paths": at.path, "expand": "false"}
        answer, response = self._json("POST", self._api(at, "paths-info", at.revision), about=at, data=form)
        return next((row for row in self._rows(answer, response) if row.path == at.path), None)

    def refs(self, at: RepoUrl) -> dict[str, str]:
        """Names that a revision may have, with their commits: branches, tags, conversions."""
        answer, response = self._json("GET", self._api(at, "refs"), about=at)
        groups = self._mapping(answer, response)
        found: dict[str, str] = {}
        for group, key in (("branches", "name"), ("tags", "name"), ("converts", "ref")):
            for ref in groups.get(group) or ():
                match ref:
                    case {"targetCommit": str(commit)} if isinstance(ref.get(key), str):
                        found[ref[key]] = commit.lower()
        return found

    def commits(self, at: RepoUrl, *, pages: int) -> Iterator[str]:
        """Commit hashes that led to `at.revision`, newest first, of at most `pages` pages."""
        assert at.revision is not None
        url: str | None = self._api(at, "commits", at.revision)
        for _ in range(pages):
            if url is None:
                return
            answer, response = self._json("GET", url, about=at)
            for commit in answer if isinstance(answer, list) else ():
                match commit:
                    case {"id": str(name)}:
                        yield name.lower()
            url = self._next_page(url, response)

    def head(self, at: RepoUrl) -> httpx.Response:
        """The hub's own answer for a file's content, not followed."""
        with self._reaching():
            return self._client.request(
                "HEAD", self.resolve_url(at), headers=self.headers, extensions={"dfly.follow": False}
            )

    def resolve_url(self, at: RepoUrl) -> str:
        """Where the hub serves a file's bytes or redirects to them."""
        assert at.revision is not None
        return f"{self.endpoint.url}/{at.web_path}/resolve/{quote(at.revision, safe='')}/{quote(at.path)}"

    def refused(self, response: httpx.Response, about: RepoUrl, said: str = "") -> SourceError | None:
        """The error that `response` means, or None."""
        return refusal(response, about=about, endpoint=self.endpoint, token_given=self.token_given, said=said)

    def _api(self, at: RepoUrl, what: str, revision: str | None = None, *, path: str = "") -> str:
        parts = [self.endpoint.url, "api", at.kind, at.repo, what]
        if revision is not None:
            parts.append(quote(revision, safe=""))
        if path:
            parts.append(quote(path))
        return "/".join(parts)

    def _json(
        self, method: str, url: str, *, about: RepoUrl, data: Mapping[str, str] | None = None
    ) -> tuple[Any, httpx.Response]:
        # a POST here only asks: it may be sent again
        extensions = {"dfly.idempotent": True}
        asking = self._client.stream(method, url, headers=self.headers, data=data, extensions=extensions)
        with self._reaching(), asking as response:
            failed = response.status_code >= 400
            body = read_capped(response, LARGEST_ERROR if failed else LARGEST_ANSWER)
        refused = self.refused(response, about, _error_text(body) if failed else "")
        if refused is not None:
            raise refused
        if body is None:
            raise not_a_hub(response, self.endpoint, f"more than {LARGEST_ANSWER >> 20} MiB, or an unknown encoding")
        try:
            return json.loads(body), response
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no type").partition(";")[0]
            raise not_a_hub(response, self.endpoint, f"{kind} where JSON belongs") from None

    def _mapping(self, answer: Any, response: httpx.Response) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise not_a_hub(response, self.endpoint, "JSON of another shape")
        return answer

    def _rows(self, answer: Any, response: httpx.Response) -> Iterator[Row]:
        if not isinstance(answer, list):
            raise not_a_hub(response, self.endpoint, "a listing that is no list")
        for item in answer:
            row = _row(item)
            if row is None:
                raise not_a_hub(response, self.endpoint, "a listing with a row that cannot be read")
            yield row

    def _next_page(self, url: str, response: httpx.Response) -> str | None:
        """The next page, on our endpoint: behind a mirror the link may name the public hub."""
        link = response.links.get("next", {}).get("url")
        if not link:
            return None
        try:
            parts = urlsplit(urljoin(url, link))
        except ValueError:
            raise not_a_hub(response, self.endpoint, "a next page that is no URL") from None
        path = parts.path
        if self.endpoint.prefix and path.startswith(self.endpoint.prefix + "/api/"):
            path = path[len(self.endpoint.prefix) :]
        if not path.startswith("/api/"):
            raise not_a_hub(response, self.endpoint, "a next page outside the API")
        return f"{self.endpoint.url}{path}?{parts.query}"

    def _reaching(self) -> AbstractContextManager[None]:
        return reaching(self.endpoint.url, hint="check the network, the proxy settings and HF_ENDPOINT")


def _authorization(endpoint: Endpoint, token: Secret | None) -> dict[str, str]:
    # a password in the endpoint opens what is in front of the hub: there is one header for both, and it comes first
    if endpoint.authorization is not None:
        return {"Authorization": endpoint.authorization}
    if token is None:
        return {}
    text = token.reveal()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError("the token has characters that no token has", hint="check --hf-token or HF_TOKEN")
    return {"Authorization": f"Bearer {text}"}


def _row(item: Any) -> Row | None:
    match item:
        case {"type": "file", "path": str(path), "size": int(size), **more} if path and size >= 0:
            lfs = more.get("lfs")
            lfs = lfs if isinstance(lfs, dict) else {}
            sha256 = _hex(_HEX64, lfs.get("oid"))
            length = lfs.get("size")
            return Row(
                path=path,
                is_file=True,
                size=length if isinstance(length, int) and length >= 0 else size,
                # for an LFS file git hashes the pointer, which nobody downloads
                oid=None if lfs or more.get("xetHash") else _hex(_HEX40, more.get("oid")),
                sha256=sha256,
                xet=_hex(_HEX64, more.get("xetHash")),
            )
        case {"type": str(), "path": str(path)} if path and item["type"] != "file":
            return Row(path=path, is_file=False)
    return None


def _hex(shape: re.Pattern[str], value: Any) -> str | None:
    return value.lower() if isinstance(value, str) and shape.fullmatch(value) else None


def _error_text(body: bytes | None) -> str:
    try:
        said = json.loads(body or b"{}").get("error", "")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return said if isinstance(said, str) else ""
