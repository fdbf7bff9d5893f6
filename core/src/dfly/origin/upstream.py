"""The hub behind an endpoint that turns out to be the facade of a node daemon (`dfly.facade`).

With a hub's endpoint variable set to a daemon's facade for everybody on the machine, dfget and the daemon itself inherit it.
Asking the facade would go round in a circle, and its loopback address, sent to a seed peer, would mean another machine. So an
endpoint that looks like a facade, because its path ends in the backend's scheme or prefix, is asked once whether it is one.
"""

import threading
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx

from dfly.backend import Backend, option_fields
from dfly.errors import DflyError
from dfly.facade import IDENTITY, WHO

#: Facades that may stand behind one another.
_MOST_HOPS = 4
#: Seconds to wait for one, which is on this machine or near it.
_PATIENCE = 5.0


class Upstreams:
    """Remembers what it was told. Thread-safe; `client` does not retry."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._told: dict[str, str | None] = {}

    def settled(self, backend_class: type[Backend], settings: Any) -> Any:
        """`settings` with the hub's own URL where an option that is an endpoint names a facade; else as they are."""
        changes: dict[str, Any] = {}
        # a facade is mounted at one of its plugin's schemes
        places = {backend_class.prefix, *backend_class.schemes} - {""}
        for spec in option_fields(backend_class):
            url = getattr(settings, spec.field) if spec.endpoint else None
            if isinstance(url, str) and (real := self._behind(url, places)) != url:
                changes[spec.field] = spec.default if real is None else real
        return attrs.evolve(settings, **changes) if changes else settings

    def _behind(self, url: str, places: Collection[str]) -> str | None:
        """The hub that `url` leads to; None where that is for the default to say: a facade that names none, or a circle."""
        seen: list[str] = []
        found = url
        while _may_be_facade(found, places):
            place = found.rstrip("/")
            if place in seen or len(seen) >= _MOST_HOPS:
                return None
            seen.append(place)
            following = self._ask(place)
            if following is None:
                return found
            if not following:
                return None
            found = following
        return found

    def _ask(self, url: str) -> str | None:
        """What stands behind the facade at `url`, "" where it does not say; None where it is no facade."""
        with self._lock:
            if url in self._told:
                return self._told[url]
        try:
            answer = self._client.get(f"{url}{WHO}", timeout=_PATIENCE)
        except (httpx.HTTPError, httpx.InvalidURL, DflyError):
            return None  # whoever uses it finds out, and says so
        told = _upstream(answer) if IDENTITY in answer.headers else None
        with self._lock:
            self._told[url] = told
        return told


def _may_be_facade(url: str, places: Collection[str]) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    last = parts.path.rstrip("/").rpartition("/")
    return parts.scheme in ("http", "https") and bool(last[1]) and last[2] in places


def _upstream(answer: httpx.Response) -> str:
    try:
        told = answer.json()["upstream"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return told if isinstance(told, str) else ""
