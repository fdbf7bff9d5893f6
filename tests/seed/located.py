"""A hub that is a `FaultyOrigin`, and a listener that checks what it is told. As a process: a mirror that waits to be killed."""

import hashlib
import sys
import threading
from contextlib import ExitStack

from dfly.backend import Backend, NoOptions, Request
from dfly.config import Fetch, Patience
from dfly.errors import NotFound
from dfly.layout import Layout
from dfly.origin.pauses import Pauses
from dfly.packs import Freight
from dfly.seed.mirror import Mirror
from dfly.store.blobs import BlobStore
from dfly.testing.lent import lent_tools
from dfly.values import Digest, Entry, Snapshot

HASTY = Patience(tries=3, first_delay=0.0, longest_delay=0.0, longest_pause=60.0)


class Located(Backend):
    """`Entry.identity` is the web address. The tools' clients are open until `close`."""

    schemes = ("located",)

    def __init__(self):
        self.stack = ExitStack()
        super().__init__(NoOptions(), self.stack.enter_context(lent_tools(patience=HASTY)))

    def stat(self, url):
        raise NotFound("no metadata here", url=url)

    def list(self, url):
        raise NotFound("no listing here", url=url)

    def locate(self, entry):
        return Request(url=entry.identity)

    def close(self):
        self.stack.close()


class Generated(Located):
    """Yields content without holding it: one block over and over. `tamper(entry, start)` may raise."""

    block = bytes(range(256)) * 256

    def __init__(self, tamper=lambda entry, start: None):
        super().__init__()
        self.tamper = tamper

    def get(self, entry, start, stop):
        self.tamper(entry, start)
        while start < stop:
            at = start % len(self.block)
            chunk = self.block[at : at + min(stop - start, 1 << 16)]
            yield chunk
            start += len(chunk)


class Ear:
    """Hears a mirror. Each segment is read back the moment it is told of, and checked against its hashes."""

    def __init__(self):
        self.changed = threading.Condition()
        self.events, self.waits, self.lies, self.data = [], [], [], {}
        self.mirror = None
        self.on_segment = lambda blob, index: None

    def segment_published(self, blob, index, size, hashes, attempt):
        start, stop = Layout(size).segment_range(index)
        with open(self.mirror.path(blob), "rb") as file:
            file.seek(start)
            data = file.read(stop - start)
        cut = Layout(size).piece_length
        found = b"".join(hashlib.sha1(data[at : at + cut]).digest() for at in range(0, len(data), cut))
        honest = self.mirror.published(blob, start, stop) and len(data) == stop - start and found == hashes
        if not honest:
            self.lies.append((blob, index))
        self.tell("segment", blob, index, attempt)
        self.on_segment(blob, index)

    def blob_complete(self, blob, size, sha256, attempt):
        with open(self.mirror.path(blob), "rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest()
        if whole != sha256 or not self.mirror.published(blob, 0, size):
            self.lies.append((blob, "complete"))
        self.tell("complete", blob, attempt)

    def blob_withdrawn(self, blob, attempt):
        self.tell("withdrawn", blob, attempt)

    def blob_failed(self, blob, error):
        self.tell("failed", blob, error)

    def waiting_for(self, what):
        with self.changed:
            self.waits.append(what)
            self.changed.notify_all()

    def tell(self, *event):
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait(self, *event):
        """Until this was told, or something that begins so; the first such event."""
        return self.until(lambda: next((e for e in self.events if e[: len(event)] == event), None), event)

    def complete(self, freight):
        """Until every blob of `freight` is complete."""
        for blob in freight.sizes():
            self.wait("complete", blob)

    def until(self, holds, what="the condition"):
        with self.changed:
            assert self.changed.wait_for(holds, 60), f"{what} did not come; told: {self.events} {self.waits}"
            return holds()

    def of(self, blob):
        """What was told of one blob, without its id."""
        return [(kind, *rest) for kind, of, *rest in self.events if of == blob]


def file_entry(path, data, url, *, digest=True, size=True, validator="v1"):
    digests = (Digest("sha256", hashlib.sha256(data).hexdigest()),) if digest else ()
    return Entry(
        path=path,
        size=len(data) if size else None,
        url=f"located://hub/{path}",
        identity=url,
        digests=digests,
        validator=validator,
    )


def freight_of(*entries, task="t"):
    return Freight.of(Snapshot("located://hub", "hub", entries, public=True), task=task)


def open_mirror(store, ear, *, concurrency=4):
    ear.mirror = Mirror(
        store=store, listener=ear, settings=Fetch(concurrency=concurrency), patience=HASTY, pauses=Pauses()
    )
    return ear.mirror


def main(directory, url, size):
    """Mirror one file, print each segment that is published, and never end."""
    ear = Ear()
    ear.on_segment = lambda blob, index: print(f"published {index}", flush=True)
    entry = Entry(path="f", size=int(size), url="located://hub/f", identity=url, validator="v1")
    open_mirror(BlobStore(directory), ear).want(freight_of(entry), Located(), task="t")
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
