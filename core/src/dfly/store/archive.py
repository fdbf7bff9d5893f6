"""Snapshots as one tar, written and read as a stream: the manifest, then each blob, then nothing (`docs/airgap.md`).

Why not `tarfile`: it reads whatever a tar may hold, and writes headers that differ between its versions. Here all is decided by
the manifest. A reader knows each header before it comes and compares it; there is no way to say a link, a sparse file, another
size, a name that leads elsewhere, or one member too many.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator

from dfly.errors import IntegrityError
from dfly.store.manifest import LARGEST, ArchivedBlob, Manifest, refused

MANIFEST = "manifest.json"
CHUNK = 1 << 20
_BLOCK = 512
_END = bytes(2 * _BLOCK)
#: From here on eleven octal digits do not hold a size.
_LARGEST_OCTAL = 8**11
_LONGEST_NAME = 100
_KINDS = {b"1": "a hard link", b"2": "a symbolic link", b"5": "a folder", b"S": "a sparse file"}

#: Up to so many bytes, b"" at the end.
Read = Callable[[int], bytes]


def write(manifest: Manifest, content: Callable[[ArchivedBlob], Iterable[bytes]]) -> Iterator[bytes]:
    """The bytes of the archive; `content` gives those of a blob. Raises IntegrityError where they are not the manifest's."""
    said = manifest.encode()
    yield _header(MANIFEST, len(said)) + said + _padding(len(said))
    for blob in manifest.blobs:
        yield _header(_member(blob), blob.size)
        yield from _checked(blob, content(blob))
        yield _padding(blob.size)
    yield _END


def length(manifest: Manifest) -> int:
    """Bytes of the whole archive."""
    members = [(MANIFEST, len(manifest.encode())), *((_member(blob), blob.size) for blob in manifest.blobs)]
    return len(_END) + sum(len(_header(name, size)) + size + len(_padding(size)) for name, size in members)


class Reader:
    """Reads an archive in order. Raises UsageError for what `write` would not have written, IntegrityError for wrong bytes."""

    def __init__(self, read: Read) -> None:
        """Reads the manifest."""
        self._read = read
        first = self._exactly(_BLOCK)
        size = _octal(first[124:136])
        self._compare(first, MANIFEST, size)
        if size > LARGEST:
            raise refused(f"its manifest is larger than {LARGEST} bytes")
        self.manifest = Manifest.decode(self._exactly(size))
        self._skip_padding(size)

    def blobs(self) -> Iterator[tuple[ArchivedBlob, Iterator[bytes]]]:
        """Each blob and its bytes, which must be taken to their end: then they are the manifest's. At last the archive's end."""
        for blob in self.manifest.blobs:
            expected = len(_header(_member(blob), blob.size))
            self._compare(self._exactly(expected), _member(blob), blob.size)
            yield blob, _checked(blob, self._stretch(blob.size))
            self._skip_padding(blob.size)
        if self._exactly(len(_END)) != _END:
            raise refused("there is more in it than its manifest says")
        if self._read(1):
            raise refused("something follows its end")

    def _stretch(self, size: int) -> Iterator[bytes]:
        while size:
            chunk = self._read(min(size, CHUNK))
            if not chunk:
                raise refused("it ends too early")
            size -= len(chunk)
            yield chunk

    def _exactly(self, size: int) -> bytes:
        return b"".join(self._stretch(size))

    def _skip_padding(self, size: int) -> None:
        if self._exactly(-size % _BLOCK).strip(b"\0"):
            raise refused("something is between its members")

    def _compare(self, found: bytes, name: str, size: int) -> None:
        if found != _header(name, size):
            raise refused(f"{_described(found)} is where {name} should be")


def _checked(blob: ArchivedBlob, chunks: Iterable[bytes]) -> Iterator[bytes]:
    running, size = hashlib.sha256(), 0
    for chunk in chunks:
        running.update(chunk)
        size += len(chunk)
        if size > blob.size:
            break
        yield chunk
    if (size, running.hexdigest()) != (blob.size, blob.sha256):
        raise IntegrityError(
            _member(blob),
            algorithm="sha256",
            expected=blob.sha256,
            actual=running.hexdigest(),
            hint="the disk or the copy is damaged: run dfctl verify where it was exported, and export it again",
        )


def _member(blob: ArchivedBlob) -> str:
    return f"blobs/{blob.id}"


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _header(name: str, size: int) -> bytes:
    """The block before a member; for a long name there are two more, as POSIX.1-2001 has it."""
    raw = name.encode("ascii")
    if len(raw) <= _LONGEST_NAME:
        return _block(raw, size, b"0")
    record = b" path=" + raw + b"\n"
    digits = len(str(len(record) + 3))
    record = str(len(record) + digits).encode() + record
    return _block(b"long name", len(record), b"x") + record + _padding(len(record)) + _block(raw, size, b"0")


def _block(name: bytes, size: int, kind: bytes) -> bytes:
    # a size that eleven digits do not hold is a binary number with its first bit set: every tar reads that
    number = b"%011o\0" % size if size < _LARGEST_OCTAL else b"\x80" + size.to_bytes(11, "big")
    before = (
        name[:_LONGEST_NAME].ljust(_LONGEST_NAME, b"\0") + b"0000644\0" + b"0000000\0" * 2 + number + b"0" * 11 + b"\0"
    )
    after = (kind + bytes(100) + b"ustar\0" + b"00").ljust(_BLOCK - 156, b"\0")
    total = sum(before) + sum(after) + 8 * ord(" ")
    return before + b"%06o\0 " % total + after


def _octal(field: bytes) -> int:
    try:
        return int(field.rstrip(b"\0 "), 8)
    except ValueError:
        return 0


def _described(block: bytes) -> str:
    if block == bytes(len(block)):
        return "the end"
    if block[257:262] != b"ustar":
        return "something that is no tar"
    name = block[:_LONGEST_NAME].partition(b"\0")[0].decode("ascii", "replace")
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return f"{_KINDS.get(block[156:157], 'another member')} ({shown})"
