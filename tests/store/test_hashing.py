"""Digest algorithms: known values, what this machine can compute, which one is picked."""

import hashlib
import os
import zlib

import pytest

from dfly.store import hashing
from dfly.values import Digest

DATA = b"The quick brown fox jumps over the lazy dog"


def _hex(algorithm: str, data: bytes = DATA) -> str:
    running = hashing.new_hash(algorithm, len(data))
    running.update(data[:7])
    running.update(memoryview(data)[7:])
    return running.hexdigest()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "sha1", "md5"])
def test_the_usual_digests_are_those_of_hashlib(algorithm):
    assert _hex(algorithm) == hashlib.new(algorithm, DATA).hexdigest()


def test_git_sha1_is_what_git_calls_a_file():
    assert _hex("git-sha1", b"what is up, doc?") == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
    assert _hex("git-sha1", b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_git_sha1_without_a_size_is_refused():
    with pytest.raises(ValueError, match="size"):
        hashing.new_hash("git-sha1", None)


def test_crc32_keeps_its_leading_zeros():
    data = next(d for d in (str(n).encode() for n in range(10_000)) if zlib.crc32(d) < 1 << 24)
    assert _hex("crc32", data) == f"{zlib.crc32(data):08x}"


@pytest.mark.parametrize(("algorithm", "check"), [("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")])
def test_the_crcs_of_object_stores_are_right_or_said_to_be_missing(algorithm, check):
    if hashing.supported(algorithm):
        assert _hex(algorithm, b"123456789") == check
    else:
        with pytest.raises(ValueError, match=algorithm):
            hashing.new_hash(algorithm, 9)


def test_the_strongest_digest_that_can_be_computed_is_picked():
    weak, git, strong = Digest("md5", "0" * 32), Digest("git-sha1", "0" * 40), Digest("sha256", "0" * 64)
    assert hashing.pick([weak, strong, git]) == strong
    assert hashing.pick([weak, git]) == git
    assert hashing.pick([Digest("blake9", "00"), weak]) == weak
    assert hashing.pick([Digest("blake9", "00")]) is None


def test_a_file_is_hashed_whole_and_compared(tmp_path, content):
    data = content(hashing.CHUNK * 2 + 5)
    path = tmp_path / "file"
    path.write_bytes(data)
    right = Digest("sha256", hashlib.sha256(data).hexdigest())
    assert hashing.hash_file(str(path), right)
    path.write_bytes(data[:-1] + b"\0" if data[-1:] != b"\0" else data[:-1] + b"\1")
    assert not hashing.hash_file(str(path), right)


def test_a_file_cut_short_while_it_is_read_is_an_error_and_not_another_digest(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="before 6"):
            hashing.read_into([hashlib.sha256()], fd, 0, 6)
    finally:
        os.close(fd)
