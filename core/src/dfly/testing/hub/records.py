"""What was asked of a hub and what it sent, for tests and for benchmarks (`GET /_stats`)."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import attrs

#: What a bare GET carries. Everything else is none of the storage's business, credentials above all.
HARMLESS = frozenset({"accept", "accept-encoding", "connection", "content-length", "host", "range", "user-agent"})


@attrs.define(kw_only=True)
class Call:
    """One request. `repo` is `models/owner/name`, `path` the file or folder in it, `url` as it was asked for.

    `authorized` tells of an Authorization header, `cookies` of any cookie, `more` has the names of all headers that a bare GET
    does not need. `bytes` counts content handed to the connection so far, before compression.
    """

    kind: str
    method: str
    url: str
    repo: str = ""
    path: str = ""
    range: str | None = None
    authorized: bool = False
    cookies: bool = False
    more: frozenset[str] = frozenset()
    encoding: str = ""
    user_agent: str = ""
    status: int = 0
    bytes: int = 0


class Records:
    """All calls in the order in which they came. Thread-safe.

    A call's kind is one of `api_kinds`, "resolve" where it asks for a file's content at the hub, "cdn" at its storage.
    `tolerated` are headers that a client may bring to the storage besides the harmless ones.
    """

    def __init__(self, *, api_kinds: Collection[str], tolerated: Collection[str] = ()) -> None:
        self._api_kinds = frozenset(api_kinds)
        self._tolerated = frozenset(tolerated)
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def add(self, call: Call) -> None:
        """Remember one call; it is filled in while it is answered."""
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        """Forget what was."""
        with self._lock:
            self._calls.clear()

    def is_api(self, kind: str) -> bool:
        """Whether calls of this kind are the API's."""
        return kind in self._api_kinds

    def calls(self, *kinds: str) -> list[Call]:
        """The calls of some kinds, of all where none is named; "api" stands for every kind of API call."""
        wanted = {*kinds, *(self._api_kinds if "api" in kinds else ())}
        with self._lock:
            return [call for call in self._calls if not wanted or call.kind in wanted]

    def leaks(self) -> list[Call]:
        """Requests that brought more to the storage than it may see."""
        return [call for call in self.calls("cdn") if call.more - self._tolerated]

    def bytes_sent(self, path: str | None = None) -> int:
        """Bytes of file content, of one file or of all."""
        return sum(call.bytes for call in self.calls("resolve", "cdn") if path in (None, call.path))

    def summary(self) -> dict[str, Any]:
        """Counts as JSON: `api`, `resolve` and `cdn` calls, `bytes` of content, and both per `paths`."""
        kinds: dict[str, int] = {}
        paths: dict[str, dict[str, int]] = {}
        for call in self.calls():
            kinds[call.kind] = kinds.get(call.kind, 0) + 1
            if call.kind in ("resolve", "cdn"):
                counts = paths.setdefault(f"{call.repo}/{call.path}", {"resolve": 0, "cdn": 0, "bytes": 0})
                counts[call.kind] += 1
                counts["bytes"] += call.bytes
        return {
            "api": sum(count for kind, count in kinds.items() if kind in self._api_kinds),
            "resolve": kinds.get("resolve", 0),
            "cdn": kinds.get("cdn", 0),
            "bytes": self.bytes_sent(),
            "leaks": len(self.leaks()),
            "kinds": kinds,
            "paths": paths,
        }
