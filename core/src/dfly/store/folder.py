"""One blob of a store on the disk: a folder with four files, and what they say together.

    data       sparse while it fills, read-only once committed; never renamed
    journal    the segments that are there (`dfly.store.journal`)
    pieces     20 bytes a piece, once committed
    meta       written last: the blob is committed

Who may write into it when is the store's business (`dfly.store.blobs`).
"""

import contextlib
import os
import shutil
from pathlib import Path

import attrs

from dfly.layout import Layout
from dfly.store.hashing import hash_file
from dfly.store.meta import Meta, read_meta, sync_path, write_meta
from dfly.values import Digest

_HASH_LENGTH = 20


@attrs.frozen
class Folder:
    """The folder at `path`, whether it is there or not. Methods raise OSError unless they say otherwise."""

    path: str

    @property
    def data(self) -> str:
        """Where the bytes are, or will be."""
        return os.path.join(self.path, "data")

    @property
    def committed(self) -> bool:
        """Whether it was finished; does not look at its data."""
        return os.path.exists(self._meta)

    def meta(self) -> Meta | None:
        """What was written last; None while it is not committed."""
        return read_meta(self._meta)

    def hashes(self, meta: Meta) -> bytes | None:
        """The piece hashes, if they and the data have the length they should have."""
        try:
            length = os.stat(self.data).st_size
            hashes = self._file("pieces").read_bytes()
        except FileNotFoundError:
            return None
        right = length == meta.size and len(hashes) == _HASH_LENGTH * Layout(meta.size).pieces
        return hashes if right else None

    def make(self) -> None:
        """Make it, so that what is there of an uncommitted blob can be written again."""
        for made in (os.path.dirname(self.path), self.path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(made, 0o700)
        with contextlib.suppress(FileNotFoundError):  # read-only if a crash came between sealing and the meta
            os.chmod(self.data, 0o600)

    def fill(self, data: bytes | bytearray) -> None:
        """Put all of its bytes there at once, read-only."""
        self._file("journal").unlink(missing_ok=True)
        Path(self.data).write_bytes(data)
        os.chmod(self.data, 0o444)

    def keep_hashes(self, hashes: bytes) -> None:
        """Put its piece hashes there."""
        self._file("pieces").write_bytes(hashes)

    def finish(self, meta: Meta) -> Meta:
        """From now on it is committed, with the data as its file is now; returns the meta that says so."""
        meta = attrs.evolve(meta, mtime_ns=os.stat(self.data).st_mtime_ns)
        write_meta(self._meta, meta)
        return meta

    def altered(self) -> bool:
        """Whether the data was written to, cut or replaced since the blob was committed or last found right. Never raises."""
        try:
            meta, status = self.meta(), os.stat(self.data)
        except OSError:
            return True
        return meta is None or status.st_size != meta.size or meta.mtime_ns not in (0, status.st_mtime_ns)

    def intact(self) -> bool:
        """Whether the data still has its digest; reads all of it, and if it has, notes it as unaltered.

        False where it cannot be read.
        """
        meta = self.meta()
        try:
            before = os.stat(self.data).st_mtime_ns
            right = meta is not None and hash_file(self.data, Digest("sha256", meta.sha256))
            if right and meta is not None and meta.mtime_ns != before:
                write_meta(self._meta, attrs.evolve(meta, mtime_ns=before))
        except OSError:
            return False
        return right

    def survived(self, meta: Meta, *, boot: str) -> bool:
        """Whether the data is what was committed, though a power loss may have come since; reads it if one may have."""
        if meta.synced or meta.boot == boot:
            return True
        if not hash_file(self.data, Digest("sha256", meta.sha256)):
            return False
        # what a new boot reads has come from the disk
        write_meta(self._meta, attrs.evolve(meta, boot=boot, synced=True))
        return True

    def flush(self) -> Meta | None:
        """Bring a committed blob's bytes to the disk, which may take seconds; what is to be `settle`d after that, if anything."""
        meta = self.meta()
        if meta is None or meta.synced:
            return None
        for name in ("data", "pieces"):
            sync_path(os.path.join(self.path, name))
        return meta

    def settle(self, flushed: Meta) -> None:
        """Note that the blob is on the disk, unless it is another one by now."""
        if self.meta() == flushed:
            write_meta(self._meta, attrs.evolve(flushed, synced=True))
            self._file("journal").unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it. Harmless where there is none."""
        self._file("meta").unlink(missing_ok=True)  # first: no half of a blob is ever committed
        if os.path.isdir(self.path):
            shutil.rmtree(self.path)

    def allocated(self) -> int:
        """Bytes that it takes on the disk."""
        blocks = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.path) as found:
            for each in found:
                # a journal may go, or get its final name, while this looks: that makes the blob no less here
                with contextlib.suppress(FileNotFoundError):
                    blocks += each.stat(follow_symlinks=False).st_blocks
        return blocks * 512

    def used(self) -> float:
        """When it was last of use (Unix time): noted by `touch`, written to if it is not committed; 0.0 where it is not there."""
        try:
            return os.stat(self._meta if self.committed else self.data).st_mtime
        except OSError:
            return 0.0

    def touch(self) -> None:
        """Note that a committed blob is of use now, if that can be noted."""
        with contextlib.suppress(OSError):
            os.utime(self._meta)

    @property
    def _meta(self) -> str:
        return os.path.join(self.path, "meta")

    def _file(self, name: str) -> Path:
        return Path(self.path, name)
