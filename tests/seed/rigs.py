"""A hub with files and faults, and mirrors over one data directory."""

import contextlib
import functools
import random

import attrs

from dfly.layout import KIB, SMALLEST_PIECE, Layout
from dfly.packs import Freight
from dfly.store.blobs import BlobStore
from dfly.testing.origin import FaultyOrigin
from dfly.values import Entry

from .located import Ear, Located, file_entry, open_mirror

PIECE, SEGMENT = SMALLEST_PIECE, Layout(1).segment_length
SIZE = 2 * SEGMENT + 300 * KIB


@functools.cache
def content(size, salt=0):
    return random.Random(f"{size} {salt}").randbytes(size)


@attrs.define
class Rig:
    origin: FaultyOrigin
    backend: Located
    directory: str
    stack: contextlib.ExitStack
    files: dict = attrs.field(factory=dict)

    def file(self, path, data, **how) -> Entry:
        """Serve a file, and its entry."""
        self.files[path] = data
        return file_entry(path, data, self.origin.add(path, data), **how)

    def open(self, **how):
        """A mirror over the data directory, and who hears it."""
        ear = Ear()
        store = self.stack.enter_context(contextlib.closing(BlobStore(self.directory)))
        mirror = self.stack.enter_context(contextlib.closing(open_mirror(store, ear, **how)))
        return mirror, ear, store

    def right(self, mirror, freight: Freight):
        """Whether all of a freight lies in the mirror, byte for byte."""
        packed = [self.files[entry.path] for entry in freight.pack.entries] if freight.pack else []
        wanted = {freight.pack.blob: b"".join(packed)} if freight.pack else {}
        wanted |= {blob: self.files[entry.path] for blob, entry in freight.blobs.items()}
        return all(read(mirror.path(blob)) == data for blob, data in wanted.items())


def read(path):
    with open(path, "rb") as file:
        return file.read()


def only(freight: Freight) -> str:
    (blob,) = freight.sizes()
    return blob


def from_segment(index, size=SIZE):
    """Whether a request asks for bytes of this segment."""
    start, stop = Layout(size).segment_range(index)
    return lambda seen: seen.range is not None and start <= int(seen.range[6:].split("-")[0]) < stop
