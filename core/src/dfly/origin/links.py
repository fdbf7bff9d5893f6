"""Where each entry's bytes are: what `locate` said and where its redirects led, remembered until it fails or expires.

This is why a repository of thousands of ranges costs one resolve call per file: the signed link that a redirect leads
to is asked directly by all later ranges. While a file's first range is on its way, the others wait for the link it
will find.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

import attrs
import httpx

from dfly.backend import Backend, Request
from dfly.origin.names import origin_of
from dfly.values import Entry

#: As many files as one process can sensibly have in flight; a forgotten place costs one resolve call.
MOST_PLACES = 4096


@attrs.frozen(eq=False)
class Address:
    """What `locate` said, and the URL that answered in the end (the same where nothing redirected).

    `home` is the origin that the request's headers, auth and ETag belong to, `origin` that of the URL.
    """

    request: Request
    url: httpx.URL
    home: str
    origin: str = attrs.field(init=False, default=attrs.Factory(lambda self: origin_of(self.url), takes_self=True))

    @classmethod
    def of(cls, request: Request) -> "Address":
        """Where `locate` said."""
        url = httpx.URL(request.url)
        return cls(request, url, origin_of(url))

    @property
    def at_home(self) -> bool:
        """Whether the URL is of the origin that may see secrets."""
        return self.origin == self.home

    def redirected(self, url: httpx.URL) -> "Address":
        """The address after redirects to `url`; user-info in the request's URL stays good for its own origin."""
        moved = Address(self.request, url, self.home)
        if not moved.at_home:
            return moved
        return Address(self.request, url.copy_with(userinfo=httpx.URL(self.request.url).userinfo), self.home)


class Place:
    """What is known about one entry of one backend. `finding` is held by the thread that is finding its address."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.finding = threading.Lock()
        self._address: Address | None = None
        self._etags: dict[str, str] = {}

    def address(self, now: float) -> Address | None:
        """The address, unless it has expired by `now` (Unix seconds)."""
        address = self._address
        if address is None or (address.request.expires_at is not None and address.request.expires_at <= now):
            return None
        return address

    def remember(self, address: Address) -> None:
        """Let later ranges go straight there."""
        self._address = address

    def forget(self, address: Address) -> None:
        """Stop using `address`; a newer one that another thread has found stays."""
        if self._address is address:
            self._address = None

    def pinned(self, origin: str, etag: str) -> str:
        """The first ETag that `origin` gave for this entry; `etag` where it is the first."""
        return self._etags.setdefault(origin, etag)


class Places:
    """The places of all entries, the least recently used forgotten first. Thread-safe."""

    def __init__(self, *, now: Callable[[], float]) -> None:
        self.now = now
        self._places: OrderedDict[tuple[int, str, str | None], Place] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, backend: Backend, entry: Entry) -> Place:
        """The place of `entry`, new where there is none."""
        # by id, because a stranger's backend may be unhashable; the place holds the backend, so the id stays its own
        # with the validator, because a file that was stat'ed again after a change is another content at the same URL
        key = (id(backend), entry.url, entry.validator)
        with self._lock:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = Place(backend)
                if len(self._places) > MOST_PLACES:
                    self._places.popitem(last=False)
            else:
                self._places.move_to_end(key)
            return place

    def drop(self, backend: Backend, entry: Entry) -> None:
        """Forget all about `entry`, its pinned ETags included."""
        with self._lock:
            self._places.pop((id(backend), entry.url, entry.validator), None)
