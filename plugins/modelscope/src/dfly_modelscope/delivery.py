"""A file as the hub gives it, at once and from here, where the hub redirects to its storage for a large one."""

from __future__ import annotations

from dfly import Answer, Asked, Content, Entry, Opened


def deliver(asked: Asked, opened: Opened, entry: Entry, size: int) -> Answer:
    """The answer to a GET or HEAD of a file of `size` bytes whose content the caller may have."""
    headers = {"Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    sha256 = entry.digest("sha256")
    if sha256:
        # where the client was told no hash, it takes this one
        headers |= {"ETag": f'"{sha256}"', "X-Linked-ETag": sha256}
    if asked.method == "HEAD":
        return Answer(headers={**headers, "Content-Length": str(size)})
    part = asked.part(size, headers.get("ETag", ""))
    if part is None:
        content = Content(opened=opened, entry=entry, start=0, stop=size, proven=True)
        return Answer(headers=headers, body=content)
    start, stop = part
    if start >= stop:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    # who names no end goes on with a download
    proven = asked.headers["range"].strip().endswith("-")
    content = Content(opened=opened, entry=entry, start=start, stop=stop, proven=proven)
    return Answer(status=206, headers=headers, body=content)
