"""A file as the hub's /resolve/ URLs give it: conditions, ranges, and the headers that its clients read.

The hub redirects for large files and sends small ones itself, compressed to whom takes it; here both come the same way, at
once and as they are. Several ranges in one request are answered as its storage does: with the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from dfly import Answer, Asked, Content, Entry, Opened
from dfly_hf.listing import etag, is_lfs

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


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
    start, stop, status = _range(asked.headers, size, tag)
    if status == 416:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    # who names no end downloads the file, or goes on with it; who does reads in it
    proven = stop == size and re.fullmatch(r"(bytes=\d+-)?", asked.headers.get("range", "")) is not None
    content = Content(opened=opened, entry=entry, start=start, stop=stop, proven=proven)
    return Answer(status=status, headers=headers, body=content)


def _range(headers: Mapping[str, str], size: int, tag: str) -> tuple[int, int, int]:
    """Start, stop and status. What is no single range is answered with everything."""
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or found[1] == found[2] == "" or headers.get("if-range", tag) != tag:
        return 0, size, 200
    if not found[1]:
        count = int(found[2])
        return (max(size - count, 0), size, 206) if count and size else (0, 0, 416)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return 0, size, 200
    stop = min(int(found[2]) + 1, size) if found[2] else size
    return (start, stop, 206) if start < stop else (0, 0, 416)


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
