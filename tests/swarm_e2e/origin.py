"""An origin in memory that a test holds, spoils and takes away, and that counts what it sends."""

import threading
from collections import Counter

import attrs

from dfly.errors import OriginUnavailable
from dfly.testing.memory import MemoryBackend, MemoryHub

CHUNK = 1 << 16
#: Seconds for which what is held may be held: longer than a test waits for anything.
LONGEST = 100.0
FOREVER = 1 << 60


class Origin:
    """`backend` is the class to give to `Plugins`. `sent` counts content by path, `asked` calls that are not for content."""

    def __init__(self, files, *, token=None, sizes=True, digests=True) -> None:
        self.backend = _backend(self, files, token)
        self.sizes, self.digests = sizes, digests
        self.sent, self.asked = Counter(), Counter()
        self.away = False
        self._lies = Counter()
        self._allowed = {}
        self._changed = threading.Condition()

    @property
    def hub(self):
        return self.backend.hub

    @property
    def total(self) -> int:
        return sum(self.sent.values())

    def hold(self, path, at) -> None:
        """Send nothing of `path` from offset `at` on, until `let_go`."""
        self._allowed[path] = at

    def let_go(self) -> None:
        with self._changed:
            self._allowed.clear()
            self._changed.notify_all()

    def lie(self, path, times=1) -> None:
        """Send a wrong first byte so many times."""
        self._lies[path] += times

    def ask(self, what) -> None:
        with self._changed:
            self.asked[what] += 1
        if self.away:
            raise OriginUnavailable("the origin is away")

    def send(self, path, at, chunk) -> bytes:
        with self._changed:
            free = self._changed.wait_for(lambda: at + len(chunk) <= self._allowed.get(path, FOREVER), timeout=LONGEST)
            if not free or self.away:
                raise OriginUnavailable("the origin is away")
            self.sent[path] += len(chunk)
            if at == 0 and self._lies[path] > 0:
                self._lies[path] -= 1
                return bytes([chunk[0] ^ 0xFF]) + chunk[1:]
        return chunk


class _OriginBackend(MemoryBackend):
    origin: Origin

    def stat(self, url):
        self.origin.ask("stat")
        return super().stat(url)

    def list(self, url):
        self.origin.ask("list")
        return super().list(url)

    def authorize(self, snapshot):
        self.origin.ask("authorize")
        return super().authorize(snapshot)

    def get(self, entry, start, stop):
        at = start
        for piece in super().get(entry, start, stop):
            for offset in range(0, len(piece), CHUNK):
                chunk = piece[offset : offset + CHUNK]
                yield self.origin.send(entry.url.rpartition("@")[2].partition("/")[2], at, chunk)
                at += len(chunk)

    def _entry(self, place, path, *, name):
        entry = super()._entry(place, path, name=name)
        size = entry.size if self.origin.sizes else None
        return attrs.evolve(entry, size=size, digests=entry.digests if self.origin.digests else ())


def _backend(origin, files, token) -> type[MemoryBackend]:
    hub = MemoryHub({"model": files}, token=token)
    return type("OriginBackend", (_OriginBackend,), {"hub": hub, "origin": origin})
