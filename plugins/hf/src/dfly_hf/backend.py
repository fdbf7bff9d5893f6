"""`hf://`: repositories of a Hugging Face Hub as snapshots pinned to a commit.

A fetch costs an API call and one more per thousand files listed; after that one resolve call per file, whose redirect
the core remembers until the signed link in it expires. Everything that leaves this module names the commit.
"""

from __future__ import annotations

import threading
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urljoin, urlsplit

import attrs

from dfly import (
    AccessDenied,
    Backend,
    CacheLayout,
    Changed,
    Digest,
    Endpoint,
    Entry,
    NotAFile,
    NotFound,
    Request,
    Snapshot,
    SourceError,
    Tools,
    UsageError,
)
from dfly_hf.api import HubApi, Row
from dfly_hf.cache import LAYOUT
from dfly_hf.refusals import not_a_hub
from dfly_hf.revisions import Pinned, near, pin
from dfly_hf.settings import HfSettings, is_true
from dfly_hf.urls import DEFAULT_REVISION, RepoUrl, checked_revision
from dfly_hf.within import within

if TYPE_CHECKING:
    import httpx

#: Files of a repository that a misspelt path is compared with.
_MOST_GUESSES = 3000
#: Files of which is remembered whether anybody may read them.
_MOST_OPEN = 1000


class HfBackend(Backend):
    """Hugging Face Hub

    One instance has one endpoint and one token.
    """

    schemes: ClassVar[tuple[str, ...]] = ("hf",)
    options: ClassVar[type] = HfSettings
    examples: ClassVar[tuple[str, ...]] = (
        "hf://deepseek-ai/DeepSeek-R1 -O models/DeepSeek-R1/ -r",
        "hf://datasets/owner/name@v2.0/train.json -O train.json",
        "hf://deepseek-ai/DeepSeek-R1 -r --hf-cache",
    )
    cache_layout: ClassVar[CacheLayout | None] = LAYOUT

    def __init__(self, settings: HfSettings, tools: Tools) -> None:
        super().__init__(settings, tools)
        self._endpoint = Endpoint.parse(settings.endpoint)
        self._revision = checked_revision(settings.revision) if settings.revision else None
        self._api = HubApi(
            client=tools.client, endpoint=self._endpoint, token=settings.token, offline=is_true(settings.offline)
        )
        self._open: dict[str, bool] = {}
        self._lock = threading.Lock()

    def stat(self, url: str) -> Entry:
        """One file. Two API calls."""
        pinned = self._pin(url)
        at = pinned.url
        row = self._row(at) if at.path else None
        if row is None or not row.is_file:
            raise NotAFile(url)
        entry = self._entry(at, row, at.name)
        with self._lock:
            # what the hub has said last of the repository; a seed peer asks about many in its life
            self._open[entry.url] = pinned.public
            while len(self._open) > _MOST_OPEN:
                del self._open[next(iter(self._open))]
        return entry

    def public(self, entry: Entry) -> bool:
        """As the hub said with the revision."""
        with self._lock:
            return self._open.get(entry.url, False)

    def list(self, url: str) -> Snapshot:
        """A repository, a folder or a file."""
        pinned = self._pin(url)
        at = pinned.url
        row = self._row(at) if at.path else None
        if row is not None and row.is_file:
            entries = [self._entry(at, row, at.name)]
        else:
            below = f"{at.path}/" if at.path else ""
            entries = [self._entry(at, row, row.path.removeprefix(below)) for row in self._api.tree(at) if row.is_file]
        name = RepoUrl.parse(url, endpoint=self._endpoint).name
        return Snapshot(source=str(at), name=name, entries=tuple(entries), revision=at.revision, public=pinned.public)

    def locate(self, entry: Entry) -> Request:
        """The hub's own URL: its redirect is the signed link, and its headers are checked on the way."""
        return Request(url=self._api.resolve_url(RepoUrl.parse(entry.url)), headers=self._api.headers)

    def check(self, entry: Entry, response: httpx.Response) -> None:
        """Refuse what the hub refuses, what is not from the pinned commit, and what no hub sends."""
        at = RepoUrl.parse(entry.url)
        error = self._api.refused(response, at)
        if error is not None:
            raise error
        commit = response.headers.get("x-repo-commit")
        if commit is not None and commit.lower() != at.revision:
            raise Changed(
                f"{at}: the hub answers for commit {commit[:40]!r}", hint="run the command again", url=str(at)
            )
        if commit is None and response.status_code != 416 and not self._is_detour(response):
            raise not_a_hub(response, self._endpoint, f"no X-Repo-Commit for {at}")
        super().check(entry, response)

    def authorize(self, snapshot: Snapshot) -> bool:
        """Asks for the content of one file: a gated repository shows its listing to everybody."""
        if snapshot.public:
            return True
        try:
            for entry in snapshot.entries[:1]:
                self.check(entry, self._api.head(RepoUrl.parse(entry.url)))
            if not snapshot.entries:
                pin(self._api, RepoUrl.parse(snapshot.source))
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
        wanted = self._revision_of(asked, known)
        if wanted not in known or asked.repository not in {own.repository, *(each.repository for each in aliases)}:
            return None
        return within(asked, own, snapshot)

    def _revision_of(self, asked: RepoUrl, known: Collection[str | None]) -> str | None:
        """What is asked for, a commit's digits in lower case; None where URL and option do not agree."""
        given = self._revision
        if asked.revision is None or given in (None, asked.revision):
            wanted = asked.revision or given or DEFAULT_REVISION
        elif asked.pinned and given in known:
            # our own pinned URLs come back here, with the option that they were made from
            wanted = asked.revision
        else:
            return None
        return wanted.lower() if attrs.evolve(asked, revision=wanted).pinned else wanted

    def _pin(self, url: str) -> Pinned:
        named = RepoUrl.parse(url, endpoint=self._endpoint)
        given = self._revision
        if given is None or given == named.revision:
            return pin(self._api, named)
        if named.revision is None:
            return pin(self._api, attrs.evolve(named, revision=given))
        if named.pinned:
            # our own pinned URLs come back here, with the option that they were made from
            pinned = pin(self._api, named)
            if pin(self._api, attrs.evolve(named, revision=given)).url == pinned.url:
                return pinned
        raise UsageError(
            f"{named} names a revision, and --hf-revision names another: {given!r}", hint="give the revision once"
        )

    def _row(self, at: RepoUrl) -> Row:
        row = self._api.row(at)
        if row is not None:
            return row
        everything = self._api.tree(attrs.evolve(at, path=""))
        try:
            hint = near(at.path, (row.path for row in islice(everything, _MOST_GUESSES)))
        except SourceError:
            hint = ""
        raise NotFound(f"{at.repository} has no file or folder {at.path!r} at {at.revision}", hint=hint, url=str(at))

    def _entry(self, at: RepoUrl, row: Row, path: str) -> Entry:
        digests: tuple[Digest, ...]
        if row.sha256:
            digests, validator = (Digest("sha256", row.sha256),), f"sha256:{row.sha256}"
        elif row.oid:
            # the content's own hash: a file that a commit does not touch stays the same blob
            digests, validator = (Digest("git-sha1", row.oid),), f"git-sha1:{row.oid}"
        else:
            # a Xet hash names content, but is no digest of its bytes that anybody could compare
            digests, validator = (), f"xet:{row.xet}" if row.xet else str(at.revision)
        file = attrs.evolve(at, path=row.path)
        return Entry(
            path=path,
            size=row.size,
            url=str(file),
            identity=f"hf:{self._endpoint.url}/{at.kind}/{at.repo}/{row.path}",
            digests=digests,
            validator=validator,
        )

    def _is_detour(self, response: httpx.Response) -> bool:
        """Whether a response without a commit is on the hub's way: to a renamed repository, or from its storage.

        Only a /resolve/ URL has to name the commit, and every fetch begins with one.
        """
        asked = str(response.request.url)
        if response.is_redirect:
            target = urlsplit(urljoin(asked, response.headers.get("location", "")))
            return self._endpoint.serves(target)
        html = response.headers.get("content-type", "").startswith("text/html")
        return not html and "/resolve/" not in urlsplit(asked).path
