"""Links to single files on plain web servers.

**What pins a file.** Only a strong ETag: it becomes `Entry.validator` and rides on every range as If-Match. A weak ETag
or a date may stay the same while bytes change, so such a file has no validator and is never shared between tasks; a
change is still noticed, because this instance remembers the mark it saw and compares it with every response.

**What is secret.** A link's user-info and signature open doors, and `Entry.url` is sent to other machines. So entries
carry the public form, and the instance that resolved the link remembers the private one for `locate`. A process that
has only the entry asks without them, and is told to get the link again. The private form never answers `stat` or
`authorize`: who holds only the public link must open the door with options of their own.

**What is asked.** The link as typed, always; where it redirects to is the core's business and never part of an entry.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, MutableSequence
from typing import TYPE_CHECKING

import attrs

import dfly
from dfly_http.given import given_headers
from dfly_http.headers import Facts, Mark, is_web_page
from dfly_http.links import Link

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpBackend", "HttpOptions"]

_NO_LISTINGS = "HTTP has no folder listings: give the link of each file, or use the hub's own scheme (dfctl plugins)"
#: Names that no server means to send as a web page: a login form or a captive portal answers in the file's place.
_DATA = re.compile(
    r".*\.(arrow|bin|bz2|ckpt|gguf|ggml|gz|h5|img|iso|jsonl?|md|model|mp4|msgpack|np[yz]|onnx|parquet|pkl|pth?"
    r"|safetensors|tar|tflite|tgz|txt|whl|xz|ya?ml|zip|zst)",
    re.IGNORECASE | re.DOTALL,
)


@attrs.frozen
class HttpOptions:
    """What a user may set for web links."""

    header: tuple[dfly.Secret, ...] = dfly.option(
        help="'Name: value' to send to the link's own server, never to where it redirects; may be repeated",
        secret=True,
        travels=True,
        repeated=True,
        flags=("--header",),
    )


@attrs.frozen
class _Private:
    """What an entry does not carry and its bytes need."""

    link: Link
    mark: Mark | None


class HttpBackend(dfly.Backend):
    """Files on web servers

    Of any kind: with and without HEAD, ranges, lengths and validators.
    """

    schemes = ("http", "https")
    options = HttpOptions
    prefix = "http"
    examples = (
        "https://host/models/model.gguf -O model.gguf",
        "https://host/private/model.gguf --header 'Authorization: Bearer …'",
    )

    #: How many links an instance remembers; the oldest go first.
    remembered = 10_000

    def __init__(self, settings: HttpOptions, tools: dfly.Tools) -> None:
        """Raises UsageError for a header that cannot be sent."""
        super().__init__(settings, tools)
        self._headers = given_headers(settings.header)
        self._private: OrderedDict[str, _Private] = OrderedDict()
        self._lock = threading.Lock()

    def stat(self, url: str) -> dfly.Entry:
        """The file at a link. One HEAD; where that is refused or tells no length, a GET of the first byte."""
        return self._resolve(url)[0]

    def list(self, url: str) -> dfly.Snapshot:
        """The one file at a link. Raises Unsupported for a folder: HTTP has no way to list one."""
        try:
            entry, facts = self._resolve(url)
        except dfly.NotAFile as error:
            raise dfly.Unsupported(f"{error.url} is a folder", hint=_NO_LISTINGS, url=error.url) from error
        if facts.web_page and not entry.path.lower().endswith((".html", ".htm", ".xhtml")):
            shown = dfly.bare_url(entry.url)
            raise dfly.Unsupported(f"{shown} is a web page, perhaps an index", hint=_NO_LISTINGS, url=shown)
        return dfly.Snapshot(entry.url, entry.path, (entry,))

    def covers(
        self,
        url: str,
        snapshot: dfly.Snapshot,
        *,
        names: Collection[str] = (),  # noqa: ARG002 - the contract's words
        revisions: Collection[str] = (),  # noqa: ARG002 - the contract's words
    ) -> dfly.Snapshot | None:
        """A link by its public form, however it is signed."""
        return snapshot if Link.parse(url).public == snapshot.source else None

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        """The link as it was typed, if this instance resolved it; else its public form."""
        private = self._remembered(entry)
        link = private.link if private else Link.parse(entry.url)
        return dfly.Request(url=link.address, headers=self._headers_for(link), etag=entry.validator)

    def check(self, entry: dfly.Entry, response: httpx.Response) -> None:
        """Refuse other content, web pages in a file's place, and closed doors, each with what to do."""
        private = self._remembered(entry)
        if private and response.status_code in (401, 403, 412) and _is_older(response, private.link, entry):
            shown = dfly.bare_url(entry.url)
            raise dfly.Expired(f"{entry.path}: the link to {shown} has been replaced", url=shown)
        if response.is_success:
            _refuse_web_page(entry.path, response)
            if private and private.mark and private.mark.contradicts(response):
                shown = dfly.bare_url(entry.url)
                raise dfly.Changed(
                    f"{entry.path}: {shown} has other content than before (its {private.mark.header} changed)",
                    hint="run the command again; if it stays so, the servers behind this name disagree",
                    url=shown,
                )
        _refuse(entry.path, response, private.link if private else Link.parse(entry.url))

    def _resolve(self, url: str) -> tuple[dfly.Entry, Facts]:
        link = Link.parse(url)
        facts = self._ask(link)
        name = link.name or facts.name
        if not name:
            raise dfly.NotAFile(dfly.bare_url(link.public), hint=_NO_LISTINGS)
        entry = dfly.Entry(
            path=name,
            size=facts.size,
            url=link.public,
            identity=link.public,
            digests=facts.digests,
            validator=facts.etag,
        )
        with self._lock:
            self._private[link.public] = _Private(link, facts.mark)
            self._private.move_to_end(link.public)
            if len(self._private) > self.remembered:
                self._private.popitem(last=False)
        return entry, facts

    def _ask(self, link: Link) -> Facts:
        headers = {**self._headers_for(link), "accept-encoding": "identity"}
        chain: MutableSequence[httpx.Response] = []
        head = self.tools.client.head(link.address, headers=headers, extensions={"dfly.on_response": chain.append})
        if head.status_code in (429, 502, 503, 504):
            _refuse(link.name, head, link)
        facts = Facts.of(head) if head.is_success else None
        # a length of nothing is what some servers give to every HEAD
        if facts is None or not facts.size:
            facts = self._ask_for_a_byte(link, headers, facts, chain)
        else:
            _refuse_web_page(link.name, head)
        _refuse_index(link, facts, chain[-1].request.url)
        return facts

    def _ask_for_a_byte(
        self, link: Link, headers: Mapping[str, str], head: Facts | None, chain: MutableSequence[httpx.Response]
    ) -> Facts:
        def look(response: httpx.Response) -> None:
            chain.append(response)
            _stop_before_a_body(response)

        try:
            response = self.tools.client.get(
                link.address, headers={**headers, "range": "bytes=0-0"}, extensions={"dfly.on_response": look}
            )
        except _EnoughSeen as seen:
            response = seen.response
        if head is not None and head.size == 0 and response.status_code in (400, 416):
            return head
        _refuse(link.name, response, link)
        _refuse_web_page(link.name, response)
        return Facts.of(response)

    def _headers_for(self, link: Link) -> dict[str, str]:
        basic = {"authorization": link.authorization.reveal()} if link.authorization else {}
        return {**basic, **self._headers}

    def _remembered(self, entry: dfly.Entry) -> _Private | None:
        with self._lock:
            return self._private.get(entry.url)


class _EnoughSeen(Exception):
    """Ends a request whose head told everything."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response = response


def _stop_before_a_body(response: httpx.Response) -> None:
    # the client reads an answer to its end, and this one may be the whole file
    if response.is_success and response.headers.get("content-length") not in ("0", "1"):
        raise _EnoughSeen(response)


def _is_older(response: httpx.Response, link: Link, entry: dfly.Entry) -> bool:
    """Whether the request was made before the link was given anew: the core remembers where it found an entry."""
    asked = response.request
    pinned = asked.headers.get("if-match", "").strip('"')
    return str(asked.url) != link.address or pinned != (entry.validator or "").strip('"')


def _refuse_web_page(name: str, response: httpx.Response) -> None:
    if _DATA.fullmatch(name) and is_web_page(response):
        shown = dfly.bare_url(str(response.request.url))
        raise dfly.AccessDenied(
            f"{name}: {shown} answered with a web page, not with the file",
            hint="a login page or a captive portal is in the way, or the link is that of a page about the file",
            url=shown,
        )


def _refuse_index(link: Link, facts: Facts, answered: httpx.URL) -> None:
    """A folder's link that lacks its last slash is redirected to the one that has it, where an index answers."""
    if facts.web_page and not facts.name and answered.path.endswith("/"):
        raise dfly.NotAFile(dfly.bare_url(link.public), hint=_NO_LISTINGS)


def _refuse(name: str, response: httpx.Response, link: Link) -> None:
    """Raise what a status means. 416 passes: there it is the answer for an empty file."""
    error = dfly.error_for_status(response, what=name)
    if error is None:
        return
    if isinstance(error, dfly.AccessDenied):
        if link.signed:
            error.hint = (
                "the link is signed and its time may be over: get a new one and run again, what has arrived is kept"
            )
        elif link.folder and response.status_code == 403:
            error.hint = _NO_LISTINGS
        else:
            error.hint = "give credentials with --header 'Authorization: …' or https://user:password@host/…"
    raise error
