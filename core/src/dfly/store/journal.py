"""Which segments of an arriving blob are on disk, in a file that survives a crash at any byte.

Lines of JSON, only ever appended, each with one `write`:

    {"format": 1, "blob": …, "size": …, "validator": …, "layout": 1, "boot": …}
    {"segment": 3, "pieces": "<base64 of the SHA-1s, or empty>"}
    {"synced": 1}        the data of the first 1 segment lines has been through fdatasync
    {"piece": 70, "sha1": "<base64, or empty>"}    a finished piece of a segment that is not; counts after a kill only

A segment's line is written after its bytes, so after a kill every line counts. After a power loss the file system may
have kept the line and lost the bytes: then only synced lines count as they are. The marker carries a count because
other threads go on appending while one waits for the disk.
"""

import base64
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import attrs

from dfly.layout import GIB
from dfly.values import LAYOUT_VERSION

FORMAT = 1
SYNC_BYTES = 1 * GIB
SYNC_SECONDS = 30.0

_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


@attrs.frozen(kw_only=True)
class Header:
    """What a journal is about; one about anything else is of no use."""

    blob: str
    size: int
    validator: str | None
    layout: int = LAYOUT_VERSION
    format: int = FORMAT


@attrs.frozen
class Record:
    """A segment that is there; `pieces` are its 20-byte SHA-1s joined, or empty. `synced`: even after a power loss."""

    segment: int
    pieces: bytes = b""
    synced: bool = False


@attrs.frozen
class Loose:
    """A finished piece of an unfinished segment, with its SHA-1 or without."""

    piece: int
    sha1: bytes = b""


def read(path: str, header: Header) -> tuple[str, tuple[Record, ...], tuple[Loose, ...]]:
    """The boot that the journal was written in, its records and loose pieces, up to the first line that makes no sense.

    ("", (), ()) where there is none, or it is about something else.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return "", (), ()
    about = _parse(lines[0]) if lines else {}
    boot = about.pop("boot", None)
    if not isinstance(boot, str) or about != attrs.asdict(header):
        return "", (), ()
    records: list[Record] = []
    loose: list[Loose] = []
    synced = 0
    for line in lines[1:]:
        said = _parse(line)
        if (record := _record(said)) is not None:
            records.append(record)
        elif (piece := _loose(said)) is not None:
            loose.append(piece)
        elif isinstance(said.get("synced"), int):
            synced = said["synced"]
        else:
            break
    return boot, tuple(attrs.evolve(r, synced=at < synced) for at, r in enumerate(records)), tuple(loose)


class Journal:
    """A journal being written; thread-safe. It replaces what stood at `path`; `records` and `loose` are carried over from there.

    It is time to sync once `sync_bytes` have been added, or `sync_seconds` have passed, since the last time.
    All methods raise OSError.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        *,
        boot: str,
        records: Iterable[Record] = (),
        loose: Iterable[Loose] = (),
        sync_bytes: int = SYNC_BYTES,
        sync_seconds: float = SYNC_SECONDS,
        sync: Callable[[int], None] = _fdatasync,
    ) -> None:
        self._path = path
        self._first_line = _line({**attrs.asdict(header), "boot": boot})
        self._sync_bytes, self._sync_seconds, self._sync = sync_bytes, sync_seconds, sync
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._length = self._count = self._unsynced_bytes = 0
        self._last_sync = time.monotonic()
        kept = sorted(records, key=lambda record: not record.synced)
        new = path + ".new"
        self._fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW, 0o666)
        try:
            self._write(self._first_line)
            for record in kept:
                self._write(_segment_line(record.segment, record.pieces))
            self._count = len(kept)
            if synced := sum(record.synced for record in kept):
                self._write(_line({"synced": synced}))
            for piece in loose:
                self._write(_loose_line(piece))
            self._replace(new)
        except OSError:
            self.close()
            raise

    def append(self, segment: int, pieces: bytes, *, length: int) -> None:
        """Record one segment of `length` bytes, all of which are written."""
        with self._lock:
            self._write(_segment_line(segment, pieces))
            self._count += 1
            self._unsynced_bytes += length

    def append_piece(self, piece: int, sha1: bytes) -> None:
        """Record one piece, all of which is written, of a segment that is not complete by it."""
        with self._lock:
            self._write(_loose_line(Loose(piece, sha1)))

    def sync_if_due(self, data_fd: int) -> bool:
        """Bring the data and then the journal to the disk if it is time; True if so. The others go on meanwhile."""
        due = self._unsynced_bytes >= self._sync_bytes or time.monotonic() - self._last_sync >= self._sync_seconds
        if not due or not self._syncing.acquire(blocking=False):
            return False
        try:
            with self._lock:
                count, self._unsynced_bytes = self._count, 0
            self._sync(data_fd)
            with self._lock:
                self._write(_line({"synced": count}))
            self._sync(self._fd)
            self._last_sync = time.monotonic()
        finally:
            self._syncing.release()
        return True

    def restart(self) -> None:
        """Forget all segments, durably: the data is about to be overwritten."""
        with self._lock:
            os.ftruncate(self._fd, 0)
            self._length = self._count = self._unsynced_bytes = 0
            self._write(self._first_line)
            self._sync(self._fd)

    def unlink(self) -> None:
        """Remove the file, unless another journal stands there by now."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                os.unlink(self._path)

    def close(self) -> None:
        """Close the file; it stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            written = os.write(self._fd, line)
            if written < len(line):  # the disk filled up inside the line; the next write says so
                written += os.write(self._fd, line[written:])
        finally:
            if written < len(line):
                os.ftruncate(self._fd, self._length)
        self._length += written

    def _replace(self, new: str) -> None:
        # an older journal coming back after a power loss would vouch for bytes that are overwritten from now on
        replaces = os.path.exists(self._path)
        if replaces:
            os.fsync(self._fd)
        os.replace(new, self._path)
        if replaces:
            folder = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _segment_line(segment: int, pieces: bytes) -> bytes:
    return _line({"segment": segment, "pieces": base64.b64encode(pieces).decode()})


def _loose_line(loose: Loose) -> bytes:
    return _line({"piece": loose.piece, "sha1": base64.b64encode(loose.sha1).decode()})


def _parse(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _record(said: dict[str, Any]) -> Record | None:
    pair = _numbered(said.get("segment"), said.get("pieces"))
    return Record(*pair) if pair else None


def _loose(said: dict[str, Any]) -> Loose | None:
    pair = _numbered(said.get("piece"), said.get("sha1"))
    return Loose(*pair) if pair else None


def _numbered(number: Any, encoded: Any) -> tuple[int, bytes] | None:
    if type(number) is not int or not isinstance(encoded, str):
        return None
    try:
        return number, base64.b64decode(encoded, validate=True)
    except ValueError:  # also for what is not ASCII
        return None
