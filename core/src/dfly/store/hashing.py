"""Digest algorithms behind one shape, and hashing what is already on disk.

Hubs name content in many ways; here each way is a `Hash`. The two CRCs that only object stores use come from `awscrt`,
which a machine may lack: such a digest is then not supported, and an entry is verified by another one.
"""

import hashlib
import importlib
import os
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Protocol

from dfly.values import Digest

CHUNK = 256 << 10

#: From the strongest to the weakest. SHA-256 comes first because processors have instructions for it.
ALGORITHMS = ("sha256", "sha512", "git-sha1", "sha1", "md5", "crc64nvme", "crc32c", "crc32")
_FROM_HASHLIB = ("sha256", "sha512", "sha1", "md5")
_FROM_AWSCRT = ("crc64nvme", "crc32c")


class Hash(Protocol):
    """A digest that grows with the bytes it is given, in order."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """The digest so far, lower-case hex."""


class _Crc:
    def __init__(self, function: Callable[..., int], *, digits: int) -> None:
        self._function = function
        self._digits = digits
        self._value = 0

    def update(self, data: bytes | bytearray | memoryview, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return format(self._value, f"0{self._digits}x")


def new_hash(algorithm: str, size: int | None) -> Hash:
    """A hash for content of `size` bytes; only git-sha1 needs to know the size.

    Raises ValueError where `supported(algorithm)` is False, and for git-sha1 without a size.
    """
    if algorithm in _FROM_HASHLIB:
        return hashlib.new(algorithm, usedforsecurity=False)
    if algorithm == "git-sha1":
        if size is None:
            raise ValueError("git-sha1 starts with the size, which is not known")
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    if algorithm == "crc32":
        return _Crc(zlib.crc32, digits=8)
    function = _from_awscrt(algorithm) if algorithm in _FROM_AWSCRT else None
    if function is None:
        raise ValueError(f"this machine cannot compute {algorithm}")
    return _Crc(function, digits=16 if algorithm == "crc64nvme" else 8)


@cache
def _from_awscrt(algorithm: str) -> Callable[..., int] | None:
    try:
        function: Callable[..., int] = getattr(importlib.import_module("awscrt.checksums"), algorithm)
    except (ImportError, AttributeError):
        return None
    return function


def supported(algorithm: str) -> bool:
    """Whether `new_hash` can make one on this machine."""
    return algorithm in ALGORITHMS and (algorithm not in _FROM_AWSCRT or _from_awscrt(algorithm) is not None)


def pick(digests: Iterable[Digest]) -> Digest | None:
    """The strongest digest that this machine can compute; None where it can compute none."""
    usable = [digest for digest in digests if supported(digest.algorithm)]
    return min(usable, key=lambda digest: ALGORITHMS.index(digest.algorithm), default=None)


def read_into(hashes: Iterable[Hash], fd: int, start: int, stop: int) -> None:
    """Feed the bytes `[start, stop)` of an open file to all `hashes`.

    Raises OSError; a file that ends before `stop` is one too.
    """
    buffer = memoryview(bytearray(min(CHUNK, max(stop - start, 0))))
    hashes = tuple(hashes)
    while start < stop:
        count = os.preadv(fd, [buffer[: stop - start]], start)
        if not count:
            raise OSError(0, f"the file ends at {start}, before {stop}: something else cut it short")
        for each in hashes:
            each.update(buffer[:count])
        start += count


def hash_file(path: str, digest: Digest) -> bool:
    """Whether the file at `path` has this digest. Raises OSError, and ValueError where it is not supported."""
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        running = new_hash(digest.algorithm, size)
        read_into([running], fd, 0, size)
    finally:
        os.close(fd)
    return running.hexdigest() == digest.value
