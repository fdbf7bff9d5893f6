"""What was asked of the hub and what it sent, for tests and for benchmarks (`GET /_stats`)."""

from __future__ import annotations

import threading
from typing import Any

import attrs

#: Calls of the API; "resolve" asks for a file's content at the hub, "cdn" at its storage.
API_KINDS = ("files", "tree", "revisions", "info", "exists", "region")


@attrs.define(kw_only=True)
class Call:
    """One request. `repo` is `models/owner/name`, `path` the file or folder in it, `url` as it was asked for.

    `authorized` tells of a bearer token, `cookies` of any cookie, `leaked` of any header that a bare GET does not need.
    `bytes` counts content handed to the connection so far.
    """

    kind: str
    method: str
    url: str
    repo: str = ""
    path: str = ""
    range: str | None = None
    authorized: bool = False
    cookies: bool = False
    leaked: bool = False
    encoding: str = ""
    user_agent: str = ""
    status: int = 0
    bytes: int = 0


class Records:
    """All calls in the order in which they came. Thread-safe."""

    def __init__(self) -> None:
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

    def calls(self, *kinds: str) -> list[Call]:
        """The calls of some kinds, of all where none is named; "api" stands for every kind of API call."""
        wanted = {*kinds, *(API_KINDS if "api" in kinds else ())}
        with self._lock:
            return [call for call in self._calls if not wanted or call.kind in wanted]

    def leaks(self) -> list[Call]:
        """Requests that brought more to the storage than a bare GET needs: credentials, above all."""
        return [call for call in self.calls("cdn") if call.leaked]

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
            "api": sum(count for kind, count in kinds.items() if kind in API_KINDS),
            "resolve": kinds.get("resolve", 0),
            "cdn": kinds.get("cdn", 0),
            "bytes": self.bytes_sent(),
            "leaks": len(self.leaks()),
            "kinds": kinds,
            "paths": paths,
        }
