"""A file as the hub's /resolve/ URLs give it: conditions, ranges, and the headers that its clients read.

The hub redirects for large files and sends small ones itself, compressed to whom takes it; here both come the same way, at
once and as they are. Several ranges in one request are answered as its storage does: with the whole file.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from dfly import Answer, Asked, Content, Entry, Opened
from dfly_hf.listing import etag, is_lfs


def deliver(asked: Asked, opened: Opened, entry: Entry) -> Answer:
    """The answer to a GET or HEAD of a file whose content the caller may have."""
    size, tag = entry.size or 0, f'"{etag(entry)}"'
    headers = {
        "X-Repo-Commit": opened.snapshot.revision or "",
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        "Content-Disposition": _disposition(entry.path),
    }
    if is_lfs(entry):
        headers |= {"X-Linked-Size": str(size), "X-Linked-ETag": tag}
    if not _allows(asked.headers.get("if-match"), tag, weak=False):
        return Answer(status=412, headers=headers)
    unless = asked.headers.get("if-none-match")
    if unless is not None and _allows(unless, tag, weak=True):
        return Answer(status=304, headers=headers)
    if asked.method == "HEAD":
        return Answer(headers={**headers, "Content-Length": str(size)})
    part = asked.part(size, tag)
    start, stop = part or (0, size)
    if part is not None and start >= stop:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    # who names no end downloads the file, or goes on with it; who does reads in it
    proven = stop == size and re.fullmatch(r"(bytes=\d+-)?", asked.headers.get("range", "")) is not None
    content = Content(opened=opened, entry=entry, start=start, stop=stop, proven=proven)
    return Answer(status=200 if part is None else 206, headers=headers, body=content)


def _allows(condition: str | None, tag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match names this tag."""
    if condition is None or condition.strip() == "*":
        return True
    named = [each.strip() for each in condition.split(",")]
    return tag in ([each.removeprefix("W/") for each in named] if weak else named)


def _disposition(path: str) -> str:
    name = path.rpartition("/")[2]
    plain = re.sub(r'[^ -~]|["\\%]', "_", name)
    return f"inline; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\";"
