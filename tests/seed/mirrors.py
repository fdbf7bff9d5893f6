"""A mirror that a test moves by hand: it reads every blob from the backend at once, and publishes what the test says."""

import hashlib
import threading

from dfly.layout import Layout
from dfly.seed.publication import BlobState


class HandMirror:
    #: Nothing is here before it is wanted.
    store = ()

    def __init__(self, root, listener, *, publish_all=False):
        self.root, self.listener, self.publish_all = root, listener, publish_all
        self.data, self.known, self.wants, self.closed = {}, {}, [], False
        self.adopted, self.reclaimed, self.let_gone, self.held_back = {}, [], threading.Event(), False
        self.lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def want(self, freight, backend, *, task, held_back=False):
        self.wants.append((task, backend))
        self.held_back = held_back
        pack = {freight.pack.blob: freight.pack} if freight.pack else {}
        for blob in freight.sizes():
            if blob in self.data:
                continue
            entries = pack[blob].entries if blob in pack else [freight.blobs[blob]]
            self.data[blob] = b"".join(b"".join(backend.get(e, 0, None)) for e in entries)
            (self.root / blob).write_bytes(self.data[blob])
            self.known[blob] = BlobState(size=len(self.data[blob]))
            if self.publish_all:
                self.complete(blob)

    def pieces(self, blob, index):
        layout, data = Layout(len(self.data[blob])), self.data[blob]
        spans = [layout.piece_range(p) for p in layout.segment_pieces(index)]
        return b"".join(hashlib.sha1(data[a:b]).digest() for a, b in spans)

    def publish(self, blob, *indexes):
        for index in indexes:
            with self.lock:
                old = self.known[blob]
                self.known[blob] = BlobState(
                    attempt=old.attempt, size=old.size, segments={**old.segments, index: self.pieces(blob, index)}
                )
            self.listener.segment_published(blob, index, old.size, self.pieces(blob, index), old.attempt)

    def complete(self, blob):
        size = len(self.data[blob])
        missing = [i for i in range(Layout(size).segments) if i not in self.known[blob].segments]
        self.publish(blob, *missing)
        sha = hashlib.sha256(self.data[blob]).hexdigest()
        old = self.known[blob]
        self.known[blob] = BlobState(attempt=old.attempt, size=size, segments=old.segments, complete=True, sha256=sha)
        self.listener.blob_complete(blob, size, sha, old.attempt)

    def withdraw(self, blob):
        old = self.known[blob]
        self.known[blob] = BlobState(attempt=old.attempt + 1, size=old.size)
        self.listener.blob_withdrawn(blob, old.attempt)

    def published(self, blob, start, stop):
        touched = Layout(len(self.data[blob])).segments_touched(start, stop)
        return all(i in self.known[blob].segments for i in touched)

    def path(self, blob):
        return str(self.root / blob) if blob in self.data else None

    def size(self, blob):
        return self.known[blob].size if blob in self.known else None

    def hashes(self, blob):
        state = self.known.get(blob)
        if state is None or not state.complete:
            return None
        return b"".join(state.segments[i] for i in sorted(state.segments))

    def state(self, blob):
        return self.known.get(blob, BlobState())

    def hold_back(self, freight):
        self.held_back = freight

    def let_go(self, freight):
        self.let_gone.set()

    def adopt(self, blob, index, size, hashes, attempt):
        if blob not in self.known or attempt < self.known[blob].attempt:
            return False
        self.adopted[blob, index] = hashes
        return True

    def reclaim(self, blob, index):
        self.reclaimed.append((blob, index))
        self.publish(blob, index)

    def receive(self, blob):
        return None

    def received(self, blob, index, hashes):
        self.publish(blob, index)

    def backends(self):
        return [backend for _, backend in self.wants]

    @property
    def asking(self):
        return False

    @property
    def hub_bytes(self):
        return sum(map(len, self.data.values()))

    def close(self):
        self.closed = True
