"""Blobs of a long-lived process: they arrive, are committed, and are read for months, each at one path for life.

    <directory>/lock, format                     one process at a time; in which format
    <directory>/blobs/<id[:2]>/<id>              one blob (`dfly.store.folder`)
    <directory>/quarantine/<id>                  what turned out to be damaged, for a person to look at

One path, because libtorrent reopens files by path and a web server may do so too. A damaged blob is repaired by fetching
it into a new file, so the only thing that is ever moved is what nobody shall read any more.
"""

import contextlib
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from typing import Self

import attrs
import structlog

from dfly.boot import boot_id
from dfly.errors import OutputError
from dfly.layout import Layout
from dfly.store.claim import claim, private_directory
from dfly.store.folder import Folder
from dfly.store.meta import Meta
from dfly.store.partial import OnSegment, Partial

_SAFE_ID = re.compile(r"[a-z0-9]+-[0-9a-z]+")
_LONGEST_ID = 200

_log = structlog.get_logger()


def _ignore(segment: int, hashes: bytes) -> None:
    pass


@attrs.frozen(kw_only=True)
class Committed:
    """A whole and verified blob: its data at `path`, `size` in bytes, `hashes` 20 bytes for each piece."""

    blob: str
    path: str
    size: int
    sha256: str
    hashes: bytes = attrs.field(repr=False)
    sources: tuple[str, ...] = ()


class BlobStore:
    """The blobs below `directory`, which this process has for itself until `close`. Thread-safe.

    All methods raise OutputError from the disk, and ValueError for an id that is none. `boot` is the machine's boot id.
    """

    def __init__(self, directory: str, *, boot: str | None = None) -> None:
        self.directory = os.path.abspath(directory)
        self._boot = boot or boot_id()
        self._lock = threading.Lock()
        #: Held while a folder goes, so that nothing is written into it meanwhile.
        self._moving = threading.Lock()
        self._arriving: dict[str, Partial] = {}
        self._claim = claim(self.directory)
        try:
            private_directory(os.path.join(self.directory, "blobs"))
        except OutputError:
            self._claim.release()
            raise

    def folder(self, blob: str) -> Folder:
        """What is, or will be, on the disk of `blob`, for life."""
        if not _is_id(blob):
            raise ValueError(f"{blob[:80]!r} is no blob id")
        # the digest's first digits: an id begins with its kind, which is nearly always the same
        return Folder(os.path.join(self.directory, "blobs", blob.rpartition("-")[2][:2], blob))

    def path(self, blob: str) -> str:
        """Where the data of `blob` is, or will be, for life."""
        return self.folder(blob).data

    def open_partial(
        self,
        blob: str,
        *,
        size: int | None,
        validator: str | None,
        algorithms: Sequence[str] = ("sha256",),
        hash_pieces: bool = True,
        on_segment: OnSegment = _ignore,
    ) -> Partial:
        """Begin a blob, or go on with what is left of it; see `Partial.open`. Raises ValueError for a committed one."""
        folder = self._writable(blob)
        partial = Partial.open(
            folder.path,
            blob=blob,
            size=size,
            validator=validator,
            algorithms=tuple(dict.fromkeys(("sha256", *algorithms))),
            hash_pieces=hash_pieces,
            on_segment=on_segment,
            boot=self._boot,
        )
        with self._lock:
            self._arriving[blob] = partial
        return partial

    def arriving(self, blob: str) -> Partial | None:
        """The partial of a blob that is being written now, to be read only; None where there is none."""
        with self._lock:
            return self._arriving.get(blob)

    def commit(self, blob: str, *, sources: Sequence[str] = ()) -> Committed:
        """Make the complete partial of `blob`, whose digest the caller has checked, a committed blob; closes it.

        Does not wait for the disk: `sync` does, and until then a new boot reads the blob once before it trusts it.
        """
        with self._lock:
            partial = self._arriving[blob]
        sha256, size = partial.digest("sha256"), partial.size
        assert size is not None
        hashes = b"".join(partial.segment_hashes(index) or b"" for index in range(partial.layout.segments))
        meta = Meta(blob=blob, size=size, sha256=sha256, sources=tuple(sources), boot=self._boot)
        folder = self.folder(blob)
        with _telling(folder):
            folder.keep_hashes(hashes)
            partial.seal()
            meta = folder.finish(meta)
        with self._lock:
            self._arriving.pop(blob, None)
        return self._committed(meta, hashes)

    def put(self, blob: str, data: bytes | bytearray, *, sources: Sequence[str] = ()) -> Committed:
        """Commit a blob whose content, which the caller has checked, is at hand: ten thousand small files need no journals.

        Raises ValueError for a committed one.
        """
        folder, layout = self._writable(blob), Layout(len(data))
        ranges = map(layout.piece_range, range(layout.pieces))
        hashes = b"".join(hashlib.sha1(data[at:stop], usedforsecurity=False).digest() for at, stop in ranges)
        sha256 = hashlib.sha256(data).hexdigest()
        meta = Meta(blob=blob, size=len(data), sha256=sha256, sources=tuple(sources), boot=self._boot)
        with _telling(folder):
            folder.fill(data)
            folder.keep_hashes(hashes)
            meta = folder.finish(meta)
        return self._committed(meta, hashes)

    def release(self, blob: str) -> None:
        """Close what is arriving of a blob, keeping what can be kept. Harmless where nothing is."""
        self._let_go(blob)

    def altered(self, blob: str) -> bool:
        """Whether a committed blob's file was written to, cut or replaced since it was committed or last found right."""
        return self.folder(blob).altered()

    def intact(self, blob: str) -> bool:
        """Whether a committed blob's data still has its digest; reads all of it. One that has counts as unaltered from now on.

        False where it cannot be read.
        """
        return self.folder(blob).intact()

    def sync(self, blob: str) -> None:
        """Bring a committed blob to the disk, so that a power loss costs nothing. May take seconds."""
        folder = self.folder(blob)
        with _telling(folder):
            flushed = folder.flush()
            if flushed is not None:
                with self._moving:
                    folder.settle(flushed)

    def committed(self, blob: str) -> Committed | None:
        """The blob if it is here and whole. One that a power loss may have hit is read once; a damaged one is put aside."""
        folder = self.folder(blob)
        with _telling(folder):
            meta = folder.meta()
            if meta is None:
                return None
            hashes = folder.hashes(meta)
            if hashes is None or not folder.survived(meta, boot=self._boot):
                _log.warning("blob.damaged", blob=blob, quarantine=self.quarantine(blob))
                return None
        return self._committed(meta, hashes)

    def remove(self, blob: str) -> None:
        """Delete a blob, committed or arriving, whose writers have stopped. Harmless where there is none."""
        folder = self.folder(blob)
        self._let_go(blob)
        with _telling(folder), self._moving:
            folder.remove()

    def quarantine(self, blob: str) -> str:
        """Put a blob aside, so that it can be fetched anew into a new file; returns where it is now."""
        folder = self.folder(blob)  # first: an id that is a path must not reach what removes
        self._let_go(blob)
        aside = self._aside(blob)
        private_directory(os.path.dirname(aside.path))
        with _telling(aside), self._moving:
            shutil.rmtree(aside.path, ignore_errors=True)
            os.rename(folder.path, aside.path)
        return aside.path

    def quarantined(self, blob: str) -> str | None:
        """Where a blob is that was put aside; None where none was."""
        aside = self._aside(blob).path
        return aside if os.path.isdir(aside) else None

    def forget_quarantined(self, blob: str) -> None:
        """What was put aside of a blob is of no more use. Harmless where nothing was."""
        shutil.rmtree(self._aside(blob).path, ignore_errors=True)

    def __contains__(self, blob: object) -> bool:
        """Whether the blob was committed and neither removed nor put aside; does not look at its data."""
        return isinstance(blob, str) and self.folder(blob).committed

    def __iter__(self) -> Iterator[str]:
        """The ids of all committed blobs, in no order."""
        return (blob for blob in self._all() if blob in self)

    def unfinished(self) -> Iterator[str]:
        """The ids of all blobs of which something is here and which are not committed, in no order."""
        return (blob for blob in self._all() if blob not in self)

    def close(self) -> None:
        """Close what is arriving, keeping what can be kept, and let other processes have the directory."""
        with self._lock:
            arriving, self._arriving = list(self._arriving.values()), {}
        try:
            for partial in arriving:
                partial.close()
        finally:
            self._claim.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _aside(self, blob: str) -> Folder:
        self.folder(blob)  # raises for what is no id
        return Folder(os.path.join(self.directory, "quarantine", blob))

    def _all(self) -> Iterator[str]:
        for shelf in _names(os.path.join(self.directory, "blobs")):
            yield from filter(_is_id, _names(os.path.join(self.directory, "blobs", shelf)))

    def _writable(self, blob: str) -> Folder:
        """The folder of a blob that is not committed, made if need be."""
        if blob in self:
            raise ValueError(f"{blob} is committed and never written again")
        folder = self.folder(blob)
        with _telling(folder):
            folder.make()
        return folder

    def _let_go(self, blob: str) -> None:
        with self._lock:
            partial = self._arriving.pop(blob, None)
        if partial is not None:
            partial.close()

    def _committed(self, meta: Meta, hashes: bytes) -> Committed:
        return Committed(
            blob=meta.blob,
            path=self.path(meta.blob),
            size=meta.size,
            sha256=meta.sha256,
            hashes=hashes,
            sources=meta.sources,
        )


def _is_id(blob: str) -> bool:
    return len(blob) <= _LONGEST_ID and _SAFE_ID.fullmatch(blob) is not None


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextlib.contextmanager
def _telling(folder: Folder) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError.from_os(error, folder.path) from error
