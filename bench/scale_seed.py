"""A real seed peer whose mirror fetches nothing: once it is told to begin, it publishes segments at a steady rate.

    python -m bench.scale_seed --data-dir DIR --rate 60 --segments 1200

So what it costs is the control plane alone. Everything from the mirror's listener to the sockets is what users run. Prints its
URL, and, at SIGUSR1, the monotonic time from which segment k is published at k / rate.
"""

import argparse
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import attrs
import structlog

from dfly.backend import Backend, NoOptions
from dfly.layout import MOST_SEGMENTS, PIECES_PER_SEGMENT, SMALLEST_PIECE, Layout
from dfly.origin.pauses import Pauses
from dfly.packs import Freight
from dfly.plugins import Plugins
from dfly.seed.mirror import Mirror
from dfly.seed.mirroring import MirrorListener
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.store.blobs import BlobStore
from dfly.values import Digest, Entry, Snapshot

SOURCE = "steady://model"
_SEGMENT = SMALLEST_PIECE * PIECES_PER_SEGMENT


@attrs.frozen
class Programme:
    """What is published: `segments` in all, `rate` a second, of as many blobs in turn as a sharded model has in flight."""

    segments: int
    rate: float

    @property
    def blobs(self) -> int:
        """How many blobs: four, or more where four cannot have so many segments."""
        return max(4, -(-self.segments // MOST_SEGMENTS))

    @property
    def size(self) -> int:
        """Bytes of each blob."""
        return -(-self.segments // self.blobs) * _SEGMENT

    @property
    def names(self) -> list[str]:
        """The ids of the blobs, in the order in which their first segments are published."""
        return [blob for entry in self.entries if (blob := entry.blob)]

    @property
    def entries(self) -> list[Entry]:
        """The files."""
        return [self._entry(number) for number in range(self.blobs)]

    def segment(self, number: int) -> tuple[int, int]:
        """(which blob, which of its segments) comes as the `number`th from 0."""
        return number % self.blobs, number // self.blobs

    def _entry(self, number: int) -> Entry:
        path = f"model-{number:05}.bin"
        digest = Digest("sha256", hashlib.sha256(path.encode()).hexdigest())
        url = f"{SOURCE}/{path}"
        return Entry(path=path, size=self.size, url=url, identity=url, digests=(digest,), validator="1")


class Steady(Backend):
    """Lists the programme's files; nobody reads them."""

    schemes = ("steady",)
    options = NoOptions
    programme: Programme

    def stat(self, url: str) -> Entry:
        """See `Backend`."""
        return next(entry for entry in self.programme.entries if entry.url == url)

    def list(self, url: str) -> Snapshot:
        """See `Backend`."""
        return Snapshot(url, "model", tuple(self.programme.entries), "1", public=True)


class Announcer(Mirror):
    """Wants nothing, holds nothing, and tells of segments all the same."""

    def want(self, freight: Freight, backend: Backend, *, task: str, held_back: bool = False) -> None:
        """Nothing is fetched."""


def announce(programme: Programme, listener: MirrorListener) -> None:
    """Publish everything from now on."""
    names, size = programme.names, programme.size
    layout, began = Layout(size), time.monotonic()
    print(began, flush=True)
    for number in range(programme.segments):
        time.sleep(max(0.0, began + number / programme.rate - time.monotonic()))
        blob, index = programme.segment(number)
        pieces = len(layout.segment_pieces(index))
        assert pieces == PIECES_PER_SEGMENT
        listener.segment_published(names[blob], index, size, os.urandom(20 * pieces), 1)


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale_seed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--rate", type=float, required=True, help="segments a second")
    parser.add_argument("--segments", type=int, required=True, help="so many in all")
    given = parser.parse_args(argv)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    programme, go = Programme(given.segments, given.rate), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: go.set())

    @contextmanager
    def open_mirror(config: SeedPeerConfig, listener: MirrorListener, pauses: Pauses) -> Iterator[Mirror]:
        def wait() -> None:
            go.wait()
            announce(programme, listener)

        threading.Thread(target=wait, name="announcer", daemon=True).start()
        store = BlobStore(config.data_dir)
        with closing(store), closing(_announcer(config, store, listener, pauses)) as mirror:
            yield mirror

    plugins = Plugins(extra=[type("Steady", (Steady,), {"programme": programme})])
    config = SeedPeerConfig(data_dir=given.data_dir, listen=("127.0.0.1", 0))
    SeedPeer(config, open_mirror=open_mirror, plugins=plugins).run(started=lambda url: print(url, flush=True))
    return 0


def _announcer(config: SeedPeerConfig, store: BlobStore, listener: MirrorListener, pauses: Pauses) -> Announcer:
    return Announcer(
        store=store, listener=listener, settings=config.fetch, patience=config.content_patience, pauses=pauses
    )


if __name__ == "__main__":
    sys.exit(main())
