"""The grammar of `hf://` URLs and of the hub's web links. Pure text: no I/O.

    hf://[models|datasets|spaces|kernels/]owner/repo[@revision][/path]

The grammar is the hub's own, so what works with its tools works here: `@` counts only right after the repository, a
revision is percent-decoded (`feature%2Fx`) while `refs/pr/N` and `refs/convert/NAME` may keep their slashes, and a path
is taken literally: `%`, `?` and `#` in it are ordinary characters. Repositories from before owners existed have one
segment, `hf://gpt2`; a path in one needs a revision (`hf://gpt2@main/config.json`): two segments are owner/repo.
"""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import quote, unquote, urlsplit

import attrs

from dfly import Endpoint, UsageError, bare_url

KINDS = ("models", "datasets", "spaces", "kernels")
DEFAULT_REVISION = "main"
PUBLIC_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_VIEWS = ("blob", "resolve", "raw", "tree", "blame")
_GRAMMAR = "write hf://[datasets/|spaces/]owner/repo[@revision][/path]"
_REF = re.compile(r"refs/(?:pr/\d+|convert/[\w.-]+)(?=/|$)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_PART = re.compile(r"\w(?:[\w.-]{0,94}\w)?", re.ASCII)


@attrs.frozen
class RepoUrl:
    """A repository, or a file or folder in it, at a revision (None where the URL names none)."""

    kind: str
    repo: str
    revision: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str, *, endpoint: Endpoint | None = None) -> Self:
        """Read an `hf://` URL, or a web link of the public hub or of `endpoint`. Raises UsageError."""
        scheme, _, body = text.partition("://")
        if scheme.lower() in ("http", "https"):
            return cls(*_from_link(text, endpoint))
        if scheme.lower() != "hf" or not body:
            raise UsageError(f"{text!r} is not an hf:// URL", hint=_GRAMMAR)
        return cls(*_from_body(text, body))

    @property
    def pinned(self) -> bool:
        """Whether the revision is a full commit hash."""
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    @property
    def name(self) -> str:
        """The last part of what is named: the file, folder or repository."""
        return (self.path or self.repo).rpartition("/")[2]

    @property
    def web_path(self) -> str:
        """The repository's path on the hub: models have no type prefix there."""
        return self.repo if self.kind == "models" else f"{self.kind}/{self.repo}"

    @property
    def repository(self) -> str:
        """The URL of the repository alone, for messages."""
        return f"hf://{self.web_path}"

    def __str__(self) -> str:
        revision = self.revision
        if revision is None and self.path and "/" not in self.repo:
            revision = DEFAULT_REVISION
        at = "" if revision is None else "@" + (revision if _REF.fullmatch(revision) else quote(revision, safe=""))
        return f"{self.repository}{at}" + (f"/{self.path}" if self.path else "")


Parts = tuple[str, str, str | None, str]


def valid_repo_id(repo: str) -> bool:
    """Whether the hub could have a repository of this id.

    >>> valid_repo_id("deepseek-ai/DeepSeek-R1"), valid_repo_id("a--b"), valid_repo_id("x/y.git")
    (True, False, False)
    """
    parts = repo.split("/")
    return (
        len(parts) <= 2
        and all(_PART.fullmatch(part) for part in parts)
        and not any(bad in repo for bad in ("--", ".."))
        and not repo.endswith(".git")
    )


def _from_body(text: str, body: str) -> Parts:
    first, _, rest = body.partition("/")
    kind = "models"
    if first in KINDS:
        kind, body = first, rest
    elif first in ("bucket", "buckets"):
        raise UsageError(f"{text}: buckets are not supported", hint=_GRAMMAR)
    elif f"{first}s" in KINDS:
        raise UsageError(f"{text}: the type is plural", hint=f"write hf://{first}s/{rest}")
    owner, _, rest = body.partition("/")
    if "@" in owner:
        repo, _, tail = body.partition("@")
        return (kind, _checked_id(text, repo), *_split_revision(text, tail))
    name, _, path = rest.partition("/")
    if "@" not in name:
        repo = f"{owner}/{name}" if name else owner
        return kind, _checked_id(text, repo), None, _checked_path(text, path)
    name, _, tail = rest.partition("@")
    return (kind, _checked_id(text, f"{owner}/{name}"), *_split_revision(text, tail))


def _from_link(text: str, endpoint: Endpoint | None) -> Parts:
    shown = bare_url(text)
    try:
        link = urlsplit(text)
        if endpoint is not None and endpoint.serves(link):
            below = link.path[len(endpoint.prefix) :]
        elif link.hostname in PUBLIC_HOSTS:
            below = link.path
        else:
            raise UsageError(f"{shown} is not a link of the hub", hint=_GRAMMAR)
    except ValueError:
        raise UsageError(f"{shown} is not a link", hint=_GRAMMAR) from None
    segments = [segment for segment in below.split("/") if segment]
    kind = segments.pop(0) if segments and segments[0] in KINDS else "models"
    # one segment before the view: a repository from before owners existed
    ids = 1 if len(segments) == 1 or (len(segments) > 1 and segments[1] in _VIEWS) else 2
    repo = _checked_id(shown, "/".join(segments[:ids]))
    view, tail = segments[ids : ids + 1], segments[ids + 1 :]
    if view and view[0] not in _VIEWS:
        raise UsageError(
            f"{shown}: a /{view[0]}/ page names no file or folder", hint=f"use a link with one of: {', '.join(_VIEWS)}"
        )
    if not tail:
        return kind, repo, None, ""
    revision, path = _split_revision(shown, "/".join(tail))
    return kind, repo, revision, _checked_path(shown, _unquoted(shown, path))


def _split_revision(text: str, tail: str) -> tuple[str, str]:
    ref = _REF.match(tail)
    revision, path = (ref.group(), tail[ref.end() + 1 :]) if ref else tail.partition("/")[::2]
    return checked_revision(_unquoted(text, revision)), _checked_path(text, path)


def checked_revision(revision: str) -> str:
    """`revision`, or UsageError where git could not have it."""
    if not revision or revision == "." or ".." in revision or any(ord(c) < 33 or ord(c) == 127 for c in revision):
        raise UsageError(f"{revision!r} is not a revision", hint="give a branch, a tag or a commit hash")
    return revision


def _checked_id(text: str, repo: str) -> str:
    if not valid_repo_id(repo):
        raise UsageError(f"{text}: {repo!r} is not a repository id", hint=_GRAMMAR)
    return repo


def _checked_path(text: str, path: str) -> str:
    path = path.removesuffix("/")
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise UsageError(f"{text}: {path!r} is not a path in a repository", hint=_GRAMMAR)
    return _encodable(text, path)


def _unquoted(text: str, quoted: str) -> str:
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise UsageError(f"{text}: {quoted!r} is not percent-encoded UTF-8") from None


def _encodable(text: str, path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid UTF-8") from None
    return path
