"""`modelscope://`: repositories of ModelScope as snapshots whose files are pinned one by one.

What is pinned: each file, to the last commit that touched it and to its SHA-256, both from the listing; the repository, to
its head commit where the listing tells it (`LatestCommitter`, completed from the rows) or where the user gave it.

What cannot be pinned: a repository whose listing does not tell the head keeps the branch or tag in `Snapshot.source`, and
`revision` is None; a file whose row has no revision is asked for at the repository's; a file whose row has neither that
nor a SHA-256 has no validator at all and is not shared between tasks. A listing of several calls of which none tells the
head (a model of more than 3,000 files, a dataset of more than 200) may span a change; its files stay pinned one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, ClassVar, TypeVar

import attrs

from dfly import (
    AccessDenied,
    Backend,
    Changed,
    Digest,
    Entry,
    NotAFile,
    NotFound,
    OriginUnavailable,
    Request,
    Snapshot,
    SourceError,
    Tools,
    UsageError,
)
from dfly_modelscope.api import LARGEST_ERROR, HubApi
from dfly_modelscope.listing import everything, pinned, row, top
from dfly_modelscope.rows import Row
from dfly_modelscope.settings import ModelScopeSettings
from dfly_modelscope.urls import DEFAULT_REVISION, INTERNATIONAL, RepoUrl, checked_revision, endpoint_of
from dfly_modelscope.within import within

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class ModelScopeBackend(Backend):
    """ModelScope

    The public sites, or the one hub that is given, with one token. `sleep` waits between tries of a denied page.
    """

    schemes: ClassVar[tuple[str, ...]] = ("modelscope",)
    options: ClassVar[type] = ModelScopeSettings
    prefix: ClassVar[str] = "ms"
    examples: ClassVar[tuple[str, ...]] = (
        "modelscope://Qwen/Qwen3-0.6B -O models/ -r",
        "modelscope://datasets/owner/name/train.json -O train.json",
    )
    #: Asked in this order where no endpoint is given, the later ones where the repository is not on the first.
    sites: ClassVar[dict[str, str]] = {"": "https://modelscope.cn", INTERNATIONAL: "https://www.modelscope.ai"}

    def __init__(
        self, settings: ModelScopeSettings, tools: Tools, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        super().__init__(settings, tools)
        self._endpoint = endpoint_of(settings.endpoint) if settings.endpoint else None
        self._revision = checked_revision(settings.revision) if settings.revision else None
        endpoints = {"": self._endpoint} if self._endpoint else {s: endpoint_of(u) for s, u in self.sites.items()}
        self._hubs = {
            site: HubApi(client=tools.client, endpoint=endpoint, token=settings.token, sleep=sleep)
            for site, endpoint in endpoints.items()
        }

    def stat(self, url: str) -> Entry:
        """One file. One API call, two for a URL that was pinned while `--ms-revision` is set."""

        def ask(hub: HubApi, at: RepoUrl) -> Entry:
            if not at.path:
                top(hub, at, recursive=False)
                raise NotAFile(url)
            found = row(hub, at)
            if not found.is_file:
                raise NotAFile(url)
            return self._entry(hub, at, found, at.name)

        return self._at_first_site(url, ask)

    def list(self, url: str) -> Snapshot:
        """A repository, a folder or a file. `public` stays False: a listing does not tell who may read the files."""
        name = RepoUrl.parse(url, endpoint=self._endpoint).name

        def ask(hub: HubApi, named: RepoUrl) -> Snapshot:
            page = top(hub, named, recursive=not named.path)
            at = pinned(named, page)
            below = ""
            if at.path:
                found = row(hub, at, root=page)
                if found.is_file:
                    return self._snapshot(at, name, [self._entry(hub, at, found, at.name)])
                below = f"{at.path}/"
                page = hub.level(at, at.path, recursive=True)
            files = everything(hub, at, page)
            return self._snapshot(at, name, [self._entry(hub, at, f, f.path.removeprefix(below)) for f in files])

        return self._at_first_site(url, ask)

    def locate(self, entry: Entry) -> Request:
        """The hub's own URL: it serves small files itself and redirects to a signed link for large ones."""
        at = RepoUrl.parse(entry.url)
        hub = self._hub(at)
        return Request(url=hub.file_url(at), headers=hub.headers)

    def check(self, entry: Entry, response: httpx.Response) -> None:
        """Refuse what the hub refuses, under any status, and content that is announced as another file's."""
        at = RepoUrl.parse(entry.url)
        hub = self._hub(at)
        suspect = response.status_code >= 400 or _is_message(entry, response)
        refused = hub.refused(response, at, _read(response) if suspect else b"")
        if refused is not None:
            raise refused
        if suspect and response.status_code < 400:
            raise OriginUnavailable(f"{at}: {hub.endpoint.url} answered with JSON instead of the file", url=str(at))
        linked = response.headers.get("x-linked-etag", "").strip('"').lower()
        expected = entry.digest("sha256")
        if expected is not None and len(linked) == len(expected) and linked != expected:
            raise Changed(f"{at}: the hub has other content than it listed", hint="run the command again", url=str(at))
        super().check(entry, response)

    def authorize(self, snapshot: Snapshot) -> bool:
        """Asks for the content of one file: who may list a gated repository need not be who may read it."""
        try:
            for entry in snapshot.entries[:1]:
                at = RepoUrl.parse(entry.url)
                self.check(entry, self._hub(at).head(at))
            if not snapshot.entries:
                self._at_first_site(snapshot.source, lambda hub, at: top(hub, at, recursive=False))
        except (AccessDenied, NotFound):
            return False
        return True

    def covers(
        self, url: str, snapshot: Snapshot, *, names: Collection[str] = (), revisions: Collection[str] = ()
    ) -> Snapshot | None:
        """By its commit, and by every branch and tag that it was asked by: the repository, its folders and its files."""
        asked, own = RepoUrl.parse(url, endpoint=self._endpoint), RepoUrl.parse(snapshot.source)
        aliases = [RepoUrl.parse(name, endpoint=self._endpoint) for name in names]
        known = {own.revision, *revisions, *(alias.revision or DEFAULT_REVISION for alias in aliases)}
        given, named = self._revision, asked.revision
        agree = named is None or given in (None, named) or (asked.pinned and given in known)
        same = (asked.kind, asked.repo) == (own.kind, own.repo) and asked.site in ("", own.site)
        if not agree or not same or (named or given or DEFAULT_REVISION) not in known:
            return None
        return within(asked, own, snapshot)

    def _at_first_site(self, url: str, ask: Callable[[HubApi, RepoUrl], T]) -> T:
        """What `ask` finds at the first site that has the repository."""
        named = RepoUrl.parse(url, endpoint=self._endpoint)
        sites = [named.site] if named.site in self._hubs and named.site else list(self._hubs)
        missing: NotFound | None = None
        for site in sites:
            hub, at = self._hubs[site], attrs.evolve(named, site=site)
            try:
                return ask(hub, self._with_revision(hub, at))
            except NotFound as error:
                if error.kind != "repository":
                    raise
                missing = missing or error
            except SourceError as error:
                if missing is None:
                    raise
                # the second site is no reason to hide what the first one said
                raise missing from error
        assert missing is not None
        if len(sites) > 1:
            missing.message += f"; asked were {' and '.join(hub.endpoint.url for hub in self._hubs.values())}"
        raise missing

    def _with_revision(self, hub: HubApi, named: RepoUrl) -> RepoUrl:
        given = self._revision
        if given is None or given == named.revision:
            return attrs.evolve(named, revision=named.revision or DEFAULT_REVISION)
        other = attrs.evolve(named, revision=given)
        if named.revision is None:
            return other
        if named.pinned:
            # our own pinned URLs come back here, with the option that they were made from
            one = row(hub, other).revision if named.path else None
            if named.revision in (one, pinned(other, top(hub, other, recursive=False)).revision):
                return named
        raise UsageError(
            f"{named} names a revision, and --ms-revision names another: {given!r}", hint="give the revision once"
        )

    def _hub(self, at: RepoUrl) -> HubApi:
        # with an endpoint given, the sites' names mean nothing
        return self._hubs.get(at.site) or self._hubs[""]

    def _snapshot(self, at: RepoUrl, name: str, entries: Iterable[Entry]) -> Snapshot:
        return Snapshot(source=str(at), name=name, entries=tuple(entries), revision=at.revision if at.pinned else None)

    def _entry(self, hub: HubApi, at: RepoUrl, found: Row, path: str) -> Entry:
        file = attrs.evolve(at, path=found.path, revision=found.revision or at.revision)
        commit = file.revision if file.pinned else None
        return Entry(
            path=path,
            size=found.size,
            url=str(file),
            identity=f"modelscope:{hub.endpoint.url}/{at.kind}/{at.repo}/{found.path}",
            digests=(Digest("sha256", found.sha256),) if found.sha256 else (),
            validator=f"sha256:{found.sha256}" if found.sha256 else commit,
        )


def _is_message(entry: Entry, response: httpx.Response) -> bool:
    """Whether a good answer is JSON that is not this file's: by its length, or where either's is unknown by the file's name."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code not in (200, 203) or kind != "application/json" or "content-range" in response.headers:
        return False
    length: str | None = response.headers.get("content-length")
    if entry.size is None or length is None:
        return not entry.path.lower().endswith(".json")
    return length != str(entry.size)


def _read(response: httpx.Response) -> bytes:
    """At most 64 KiB of a body that is not a file."""
    # imported here, because `dfget --help` shows this plugin's flags and must not wait for an HTTP client
    import httpx

    if response.is_stream_consumed:
        return response.content
    body = b""
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= LARGEST_ERROR:
                break
    except (httpx.HTTPError, httpx.StreamError):
        return b""
    return body
