"""`s3://`: objects and prefixes of an object store, each object pinned by its version or its ETag.

**Pinning.** In a versioned bucket the version goes into the URL. Elsewhere the ETag is the validator: it rides on every
range as If-Match, 412 means Changed, and of servers that ignore If-Match the core compares the ETag of each answer.

**Listings.** A listing tells key, size and ETag. Up to a thousand objects are then asked about one by one, several at a time,
for version and checksums, so that an object is the same blob alone and among others. Of more, what the listing says is all
that is known: they are pinned by ETag and verified by size. Their ETags are not taken for MD5s, because only an object's own
headers tell whether it is encrypted, and a wrong guess would refuse right bytes.

**Folders.** S3 has none. `dir/` of no bytes is a marker that some tools leave, and is passed over; with bytes it is an object
that cannot become a file, and stays in the listing for the core to refuse by name.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar

import attrs

from dfly import (
    AccessDenied,
    Backend,
    Changed,
    Entry,
    Expired,
    NotAFile,
    NotFound,
    Request,
    Snapshot,
    SourceError,
    Tools,
    UsageError,
)
from dfly_s3.answers import Facts, Row
from dfly_s3.settings import S3Settings, is_true
from dfly_s3.urls import S3Url

if TYPE_CHECKING:
    import httpx

#: A listing of more objects is not asked about object by object.
MOST_HEADS = 1000
_HEADS_AT_A_TIME = 16
_ETAG = "etag:"


class S3Backend(Backend):
    """Amazon S3 and compatible object stores."""

    schemes: ClassVar[tuple[str, ...]] = ("s3",)
    options: ClassVar[type] = S3Settings
    examples: ClassVar[tuple[str, ...]] = (
        "s3://bucket/models/llama/ -O models/llama/ -r",
        "s3://bucket/model.gguf --s3-endpoint http://minio:9000",
    )

    def __init__(self, settings: S3Settings, tools: Tools) -> None:
        super().__init__(settings, tools)
        # imported here, because `dfget --help` shows this plugin's flags and must not wait for an HTTP client
        from dfly_s3.account import Account
        from dfly_s3.api import S3Api

        account = Account(settings)
        self._api = S3Api(client=tools.client, account=account, requester_pays=is_true(settings.requester_pays))

    @classmethod
    def at_strange_endpoint(cls, settings: S3Settings) -> S3Settings:
        """Signed with the keys that came with the endpoint, else not at all: this machine's own are for its own store."""
        return settings if settings.access_key_id is not None else attrs.evolve(settings, anonymous="1")

    def stat(self, url: str) -> Entry:
        """One object. One HEAD; a GET of a byte says why where that is refused."""
        at = S3Url.parse(url)
        if at.is_prefix:
            raise NotAFile(url)
        try:
            return self._entry(at, self._api.head(at), at.name)
        except NotFound as error:
            if error.kind == "file" and at.version is None and self._has_any(at.at(f"{at.key}/")):
                raise NotAFile(url, hint="add a final / and -r to fetch everything below it") from error
            raise

    def list(self, url: str) -> Snapshot:
        """Everything below a prefix, or one object. A thousand keys a call."""
        at = S3Url.parse(url)
        if at.version is not None and at.is_prefix:
            raise UsageError(f"{url}: only an object has versions", hint="leave out ?versionId=")
        refused: SourceError | None = None
        if not at.is_prefix:
            try:
                entry = self._entry(at, self._api.head(at), at.name)
                return Snapshot(source=entry.url, name=at.name, entries=(entry,))
            except (NotFound, AccessDenied) as error:
                if at.version is not None or getattr(error, "kind", "file") != "file":
                    raise
                refused = error
        below = at if at.is_prefix else at.at(f"{at.key}/")
        return Snapshot(source=str(below), name=at.name, entries=tuple(self._below(below, refused)))

    def locate(self, entry: Entry) -> Request:
        """The object's own URL; each range is signed when it is sent."""
        at = S3Url.parse(entry.url)
        validator = entry.validator or ""
        return Request(
            url=self._api.url(at),
            headers=self._api.headers,
            auth=self._api.signature(at),
            ranges=True,
            etag=validator.removeprefix(_ETAG) if validator.startswith(_ETAG) else None,
        )

    def check(self, entry: Entry, response: httpx.Response) -> None:
        """Refuse what the store refuses; where it only says how to ask, the core asks again at the offset."""
        at = S3Url.parse(entry.url)
        if response.is_success:
            version = response.headers.get("x-amz-version-id", at.version)
            if at.version is not None and version != at.version:
                raise Changed(f"{at}: the store answers with another version", url=str(at))
            return
        # the core has capped a refusal; of a redirect the headers say all
        body = b"" if response.is_redirect or response.status_code == 416 else response.read()
        if self._api.learn(response.request, response, body, at):
            raise Expired(f"{entry.path}: {at.bucket} is to be asked in another way", url=str(at))
        error = self._api.refused(response, body, at)
        if error is not None:
            raise error

    def authorize(self, snapshot: Snapshot) -> bool:
        """Whether these options may read the first object, or list where there is none."""
        if snapshot.entries:
            return super().authorize(snapshot)
        try:
            self.list(snapshot.source)
        except (AccessDenied, NotFound):
            return False
        return True

    def covers(
        self,
        url: str,
        snapshot: Snapshot,
        *,
        names: Collection[str] = (),
        revisions: Collection[str] = (),  # noqa: ARG002 - the contract's words
    ) -> Snapshot | None:
        """A prefix covers what is below it. An object is covered under the version, or the lack of one, that it was asked by."""
        asked, own = S3Url.parse(url), S3Url.parse(snapshot.source)
        if asked in {own, *map(S3Url.parse, names)} or asked.at(f"{asked.key}/") == own:
            return attrs.evolve(snapshot, name=asked.name)
        if asked.bucket == own.bucket and own.is_prefix and asked.key.startswith(own.key):
            return self._within(asked, own, snapshot)
        return None

    def put(self, path: os.PathLike[str], url: str) -> None:
        """Store a file, verified by the store: in one piece up to 64 MiB, else in parts, several at a time."""
        at = S3Url.parse(url)
        if at.is_prefix or at.version is not None:
            raise UsageError(f"{url} names no object that a file could become", hint="write s3://bucket/key")
        from dfly_s3.upload import upload

        upload(self._api, path, at)

    @staticmethod
    def _within(asked: S3Url, own: S3Url, snapshot: Snapshot) -> Snapshot | None:
        path = asked.key[len(own.key) :]
        for entry in snapshot.entries:
            if entry.path == path:
                if asked.version not in (None, S3Url.parse(entry.url).version):
                    return None
                return Snapshot(source=entry.url, name=asked.name, entries=(attrs.evolve(entry, path=asked.name),))
        entries = snapshot.below(path.removesuffix("/"))
        if not entries:
            raise NotFound(f"s3://{own.bucket} has nothing at {asked.key!r}", url=str(asked))
        below = asked if asked.is_prefix else asked.at(f"{asked.key}/")
        return Snapshot(source=str(below), name=asked.name, entries=entries)

    def _has_any(self, below: S3Url) -> bool:
        try:
            return any(page.rows for page in self._api.pages(below, most=1))
        except SourceError:
            # whoever may not list gets the answer that there is no such object
            return False

    def _below(self, below: S3Url, refused: SourceError | None) -> Iterable[Entry]:
        try:
            rows = [row for page in self._api.pages(below) for row in page.rows]
        except SourceError as error:
            raise refused or error from error
        objects = [row for row in rows if row.size or not row.key.endswith("/")]
        if not rows and below.key:
            raise refused or NotFound(f"s3://{below.bucket} has nothing below {below.key!r}", url=str(below))
        if any(not row.key.startswith(below.key) for row in rows):
            raise SourceError(f"{below}: the listing has keys of another prefix", url=str(below))
        if len(objects) > MOST_HEADS:
            return [self._entry(*self._as_listed(below, row)) for row in objects]
        with ThreadPoolExecutor(_HEADS_AT_A_TIME, thread_name_prefix="s3-head") as pool:
            return list(pool.map(lambda row: self._entry(*self._as_it_is(below, row)), objects))

    def _as_it_is(self, below: S3Url, row: Row) -> tuple[S3Url, Facts, str]:
        try:
            facts = self._api.head(below.at(row.key))
        except (AccessDenied, NotFound):
            # it may not be wanted at all; if it is, its fetch tells why not
            return self._as_listed(below, row)
        return below.at(row.key), facts, row.key.removeprefix(below.key)

    @staticmethod
    def _as_listed(below: S3Url, row: Row) -> tuple[S3Url, Facts, str]:
        facts = Facts(size=row.size, etag=row.etag, version=None)
        return below.at(row.key), facts, row.key.removeprefix(below.key)

    def _entry(self, at: S3Url, facts: Facts, path: str) -> Entry:
        version = facts.version or at.version
        if facts.version is not None:
            validator: str | None = f"version:{facts.version}"
        else:
            validator = f"{_ETAG}{facts.etag}" if facts.etag else None
        return Entry(
            path=path,
            size=facts.size,
            url=str(attrs.evolve(at, version=version)),
            identity=f"s3:{self._api.endpoint.name}/{at.bucket}/{at.key}",
            digests=facts.digests,
            validator=validator,
        )
