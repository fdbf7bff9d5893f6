"""The grammar of `modelscope://` URLs and of the hub's web links. Pure text: no I/O.

    modelscope://[modelscope.ai/][models|datasets/]owner/repo[@revision][/path]

`@` counts only right after the repository; a revision is percent-decoded (`feature%2Fx`); a path is taken literally:
`%`, `+`, `?` and `#` in it are ordinary characters. `modelscope.ai/` names the international site, which has names of
its own: what was found there must not be looked for on the other one later.
"""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs

from dfly import Endpoint, UsageError, bare_url

KINDS = ("models", "datasets")
DEFAULT_REVISION = "master"
#: How a URL says that it means the international site.
INTERNATIONAL = "modelscope.ai"
#: Hosts of the public sites, and what a URL on each says about the site.
HOSTS = {
    "modelscope.cn": "",
    "www.modelscope.cn": "",
    "modelscope.ai": INTERNATIONAL,
    "www.modelscope.ai": INTERNATIONAL,
}
_OTHER_KINDS = ("studios", "skills", "mcp", "mcps", "collections")
_GRAMMAR = "write modelscope://[datasets/]owner/repo[@revision][/path]"
#: Tabs of a repository's page that show the repository and no file of it.
_TABS = ("summary", "files", "feedback", "quickstart", "dataPeview", "dataPreview")
_COMMIT = re.compile(r"[0-9a-fA-F]{40}")
_PART = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


def endpoint_of(text: str) -> Endpoint:
    """Read a MODELSCOPE_ENDPOINT; a bare domain is https. Raises UsageError.

    >>> endpoint_of("www.modelscope.ai/").url
    'https://www.modelscope.ai'
    """
    return Endpoint.parse(with_scheme(text))


def with_scheme(text: str) -> str:
    """An endpoint as a URL, a password in it included; a bare domain is https."""
    given = text.strip()
    return given if "://" in given else f"https://{given}"


@attrs.frozen
class RepoUrl:
    """A repository, or a file or folder in it, at a revision (None where the URL names none).

    `site` is INTERNATIONAL, or "" where the URL leaves open which of the public sites is meant.
    """

    kind: str
    repo: str
    revision: str | None = None
    path: str = ""
    site: str = ""

    @classmethod
    def parse(cls, text: str, *, endpoint: Endpoint | None = None) -> Self:
        """Read a `modelscope://` URL, or a web link of a public site or of `endpoint`. Raises UsageError."""
        scheme, _, body = text.partition("://")
        if scheme.lower() in ("http", "https"):
            return cls(*_from_link(text, endpoint))
        if scheme.lower() != "modelscope" or not body:
            raise UsageError(f"{text!r} is not a modelscope:// URL", hint=_GRAMMAR)
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
    def repository(self) -> str:
        """The URL of the repository alone, for messages."""
        site = f"{self.site}/" if self.site else ""
        kind = "" if self.kind == "models" else f"{self.kind}/"
        return f"modelscope://{site}{kind}{self.repo}"

    def __str__(self) -> str:
        at = "" if self.revision is None else "@" + quote(self.revision, safe="")
        return f"{self.repository}{at}" + (f"/{self.path}" if self.path else "")


Parts = tuple[str, str, str | None, str, str]


def checked_revision(revision: str) -> str:
    """`revision`, a commit's hash in lower case, or UsageError where git could not have it."""
    if not revision or revision == "." or ".." in revision or any(ord(c) < 33 or ord(c) == 127 for c in revision):
        raise UsageError(f"{revision!r} is not a revision", hint="give a branch, a tag or a commit hash")
    return revision.lower() if _COMMIT.fullmatch(revision) else revision


def _from_body(text: str, body: str) -> Parts:
    site, kind = "", "models"
    first, _, rest = body.partition("/")
    if first.lower() in HOSTS:
        site, body = HOSTS[first.lower()], rest
        first, _, rest = body.partition("/")
    if first in KINDS:
        kind, body = first, rest
    elif first in _OTHER_KINDS:
        raise UsageError(f"{text}: {first} are not supported", hint=_GRAMMAR)
    owner, _, rest = body.partition("/")
    name, _, path = rest.partition("/")
    if "@" not in name:
        return kind, _checked_id(text, owner, name), None, _checked_path(text, path), site
    name, _, tail = rest.partition("@")
    revision, _, path = tail.partition("/")
    repo = _checked_id(text, owner, name)
    return kind, repo, checked_revision(_unquoted(text, revision)), _checked_path(text, path), site


def _from_link(text: str, endpoint: Endpoint | None) -> Parts:
    shown = bare_url(text)
    try:
        link = urlsplit(text)
        host = (link.hostname or "").lower()
        if endpoint is not None and endpoint.serves(link):
            below, site = link.path[len(endpoint.prefix) :], ""
        elif host in HOSTS:
            below, site = link.path, HOSTS[host]
        else:
            raise UsageError(f"{shown} is not a link of the hub", hint=_GRAMMAR)
    except ValueError:
        raise UsageError(f"{shown} is not a link", hint=_GRAMMAR) from None
    segments = [segment for segment in below.split("/") if segment]
    query = {name: values[0] for name, values in parse_qs(link.query).items()}
    api = segments[:2] == ["api", "v1"]
    segments = segments[2:] if api else segments
    if not segments or segments[0] not in KINDS:
        raise UsageError(f"{shown} names no model and no dataset", hint=_GRAMMAR)
    kind, owner, name = (*segments[:3], "", "")[:3]
    repo = _checked_id(shown, owner, name)
    revision, path = _from_api(query) if api else _from_page(shown, segments[3:], query)
    return kind, repo, None if revision is None else checked_revision(revision), _checked_path(shown, path), site


def _from_api(query: dict[str, str]) -> tuple[str | None, str]:
    return query.get("Revision"), query.get("FilePath", "")


def _from_page(shown: str, view: list[str], query: dict[str, str]) -> tuple[str | None, str]:
    """Revision and path that the rest of a page's path names."""
    if not view or view[0] in _TABS:
        return None, ""
    match view:
        case ["resolve" | "tree" | "blob", *tail] | ["file", "view", *tail]:
            if not tail:
                return None, ""
            path = "/".join(_unquoted(shown, part) for part in tail[1:])
            return _unquoted(shown, tail[0]), path or query.get("fileName", "")
    raise UsageError(
        f"{shown}: a /{view[0]}/ page names no file or folder", hint="use a link with one of: file/view, resolve, tree"
    )


def _checked_id(text: str, owner: str, name: str) -> str:
    if not all(_PART.fullmatch(part) and ".." not in part for part in (owner, name)):
        raise UsageError(f"{text}: {f'{owner}/{name}'!r} is not a repository id", hint=_GRAMMAR)
    return f"{owner}/{name}"


def _checked_path(text: str, path: str) -> str:
    path = path.removesuffix("/")
    if path and any(part in ("", ".", "..") for part in path.split("/")):
        raise UsageError(f"{text}: {path!r} is not a path in a repository", hint=_GRAMMAR)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r} is not valid UTF-8") from None
    return path


def _unquoted(text: str, quoted: str) -> str:
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        raise UsageError(f"{text}: {quoted!r} is not percent-encoded UTF-8") from None
