"""Judges what came back for a range, by its Content-Range and lengths, never by its status alone.

Servers answer 200 with a right Content-Range, 206 with a wrong one, a whole file for a part, a login page for a model.
Each check here is one of those; none reads the body.
"""

import re

import attrs
import httpx

from dfly.errors import Changed, OriginUnavailable, RangesUnsupported
from dfly.values import Entry

#: Fewer digits than `int` refuses to read.
_CONTENT_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18}|\*)", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")
_PAGES = ("html", "htm", "xhtml", "shtml")
#: Encodings that change nothing; some stores leave the second one behind from an upload.
_PLAIN = frozenset({"", "identity", "aws-chunked"})


@attrs.frozen
class Wanted:
    """Bytes `[start, stop)` of an entry, to its end where `stop` is None; `whole` where that is all of it."""

    start: int
    stop: int | None
    whole: bool

    @property
    def range(self) -> str:
        """The Range header. Always absolute and single: suffixes and lists are where servers differ."""
        return f"bytes={self.start}-" if self.stop is None else f"bytes={self.start}-{self.stop - 1}"


@attrs.frozen
class Body:
    """How to read an accepted body: `length` bytes come out (None: until it ends), after decoding if `encoded`."""

    length: int | None
    encoded: bool = False


def accept(response: httpx.Response, entry: Entry, wanted: Wanted, *, url: str) -> Body:
    """What the body is good for. `url` is bare, for messages.

    Raises RangesUnsupported, Changed, or OriginUnavailable for an answer that another try may better.
    """
    if response.status_code == 416:
        return _past_the_end(response, entry, wanted, url)
    if response.status_code not in (200, 203, 206):
        raise OriginUnavailable(f"{entry.path}: {url} answered {response.status_code} without the file", url=url)
    encoded = response.headers.get("content-encoding", "").strip().lower() not in _PLAIN
    if "content-range" in response.headers and not (wanted.whole and encoded):
        return _part(response, entry, wanted, encoded=encoded, url=url)
    if response.status_code == 206:
        raise _wrong(entry, "a part without saying which", url)
    length = _content_length(response)
    if _is_page(response) and not _is_page_name(entry.path) and (length is None or length != entry.size):
        raise OriginUnavailable(
            f"{entry.path}: {url} answered with a web page instead of the file",
            hint="a login wall, proxy or captive portal may be in between; open the URL in a browser",
            url=url,
        )
    if not wanted.whole:
        raise RangesUnsupported(f"{entry.path}: {url} answers a range with the whole file", url=url)
    return _whole(response, entry, encoded=encoded, url=url)


def _part(response: httpx.Response, entry: Entry, wanted: Wanted, *, encoded: bool, url: str) -> Body:
    if encoded:
        # its offsets count compressed bytes
        raise RangesUnsupported(f"{entry.path}: {url} answers a range in compressed form", url=url)
    first, last, total = _content_range(response)
    if total is not None and entry.size is not None and total != entry.size:
        raise Changed(
            f"{entry.path}: {url} has {total} bytes now, {entry.size} were listed",
            hint="the file changed since it was listed; run the command again",
            url=url,
        )
    if first is None or last is None or first != wanted.start:
        raise _wrong(entry, "another part than the one asked for", url)
    stop = last + 1
    if stop <= first or (wanted.stop is not None and stop > wanted.stop):
        raise _wrong(entry, "another part than the one asked for", url)
    if wanted.stop is None and total is not None and stop != total:
        raise _wrong(entry, "a part that does not reach the end", url)
    length = _content_length(response)
    if length is not None and length != stop - first:
        raise _wrong(entry, f"{length} bytes for a part of {stop - first}", url)
    return Body(stop - first)


def _whole(response: httpx.Response, entry: Entry, *, encoded: bool, url: str) -> Body:
    length = _content_length(response)
    if encoded and (entry.size is None or length != entry.size):
        return Body(entry.size, encoded=True)
    # a length that is exactly the listed size counts the file itself, whatever Content-Encoding says
    if length is not None and entry.size is not None and length != entry.size:
        raise _wrong(entry, f"{length} bytes where {entry.size} were listed", url)
    return Body(entry.size if length is None else length)


def _past_the_end(response: httpx.Response, entry: Entry, wanted: Wanted, url: str) -> Body:
    _, _, total = _content_range(response)
    if total is None:
        raise OriginUnavailable(f"{entry.path}: {url} refused bytes {wanted.start}– (416)", url=url)
    if total == wanted.start and entry.size in (None, total):
        return Body(0)
    if entry.size == total:
        raise _wrong(entry, "416 to a range inside the file", url)
    raise Changed(
        f"{entry.path}: {url} ends at byte {total}, before the bytes that were asked for",
        hint="the file changed while it was being fetched; run the command again",
        url=url,
    )


def _wrong(entry: Entry, what: str, url: str) -> OriginUnavailable:
    return OriginUnavailable(
        f"{entry.path}: {url} sent {what}", hint="a mirror or proxy in front of the origin may be out of step", url=url
    )


def _content_range(response: httpx.Response) -> tuple[int | None, int | None, int | None]:
    """First and last byte, both included, and the total; None for what is absent or unreadable."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if found is None:
        return None, None, None
    first, last, total = found.groups()
    return int(first) if first else None, int(last) if last else None, int(total) if total != "*" else None


def _content_length(response: httpx.Response) -> int | None:
    text = response.headers.get("content-length", "")
    return int(text) if _LENGTH.fullmatch(text) else None


def _is_page(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith("text/html")


def _is_page_name(path: str) -> bool:
    name, dot, extension = path.rpartition("/")[2].rpartition(".")
    return not (name and dot) or extension.lower() in _PAGES
