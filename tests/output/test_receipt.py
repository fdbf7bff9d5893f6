"""When a second run may leave a file as it is."""

import hashlib
import os

import pytest

from dfly.output.receipt import entry_key, matches, record
from dfly.store.hashing import hash_file
from dfly.values import Digest

DATA = b"weights"


@pytest.fixture
def placed(tmp_path, entry):
    """A file in place, with a receipt of boot a."""
    path = tmp_path / "weights.bin"
    path.write_bytes(DATA)
    if not record(str(path), entry_key(entry()), boot="a"):
        pytest.skip("the temporary directory's file system has no extended attributes")
    return path


@pytest.fixture
def counted():
    """`hash_file` that notes what it is asked to read."""

    def hashed(path, digest):
        hashed.asked.append(digest.algorithm)
        return hash_file(path, digest)

    hashed.asked = []
    return hashed


def test_an_untouched_file_matches_without_being_read(placed, entry, counted):
    assert matches(str(placed), entry(), hash_file=counted, boot="a")
    assert matches(str(placed), entry(), verify=False, boot="a")
    assert counted.asked == []


def test_a_touched_file_is_hashed_once_and_then_believed_again(placed, entry, counted):
    os.utime(placed, (1, 1))
    assert not matches(str(placed), entry(), verify=False, boot="a")
    assert matches(str(placed), entry(), hash_file=counted, boot="a")
    assert matches(str(placed), entry(), hash_file=counted, boot="a")
    assert counted.asked == ["sha256"]


def test_after_another_boot_the_file_is_hashed(placed, entry, counted):
    assert matches(str(placed), entry(), hash_file=counted, boot="b")
    assert counted.asked == ["sha256"]


def test_an_edited_file_does_not_match(placed, entry, counted):
    placed.write_bytes(b"WEIGHTS")
    os.utime(placed, (1, 1))
    assert not matches(str(placed), entry(), hash_file=counted, boot="a")
    placed.write_bytes(DATA + b"!")
    assert not matches(str(placed), entry(), hash_file=counted, boot="a")
    assert counted.asked == ["sha256"]


def test_an_edit_that_restores_size_and_mtime_is_believed_until_the_next_boot(placed, entry, counted):
    before = placed.stat()
    placed.write_bytes(b"WEIGHTS")
    os.utime(placed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert matches(str(placed), entry(), hash_file=counted, boot="a")
    assert not matches(str(placed), entry(), hash_file=counted, boot="b")


def test_a_copy_with_its_attributes_is_not_believed_unread(placed, tmp_path, entry, counted):
    copy = tmp_path / "copy"
    copy.write_bytes(DATA)
    os.setxattr(copy, "user.dfly", os.getxattr(placed, "user.dfly"))
    os.utime(copy, ns=(placed.stat().st_atime_ns, placed.stat().st_mtime_ns))
    assert matches(str(copy), entry(), hash_file=counted, boot="a")
    assert counted.asked == ["sha256"]


def test_a_moved_file_keeps_its_receipt(placed, tmp_path, entry):
    os.rename(placed, tmp_path / "moved")
    assert matches(str(tmp_path / "moved"), entry(), verify=False, boot="a")


def test_a_file_that_changed_upstream_does_not_match(placed, entry, counted):
    assert not matches(str(placed), entry(data=b"WEIGHTS"), hash_file=counted, boot="a")
    assert not matches(str(placed), entry(data=b"more weights"), hash_file=counted, boot="a")


def test_without_a_digest_only_a_receipt_counts(placed, entry, counted):
    plain = entry(digests=())
    assert not matches(str(placed), plain, hash_file=counted, boot="a")
    record(str(placed), entry_key(plain), boot="a")
    assert matches(str(placed), plain, hash_file=counted, boot="a")
    assert not matches(str(placed), plain, hash_file=counted, boot="b")
    assert not matches(str(placed), entry(digests=(), validator="newer"), hash_file=counted, boot="a")
    assert counted.asked == []


def test_content_that_nothing_pins_never_matches(placed, entry, counted):
    loose = entry(digests=(), validator=None)
    assert entry_key(loose) is None
    assert not matches(str(placed), loose, hash_file=counted, boot="a")


def test_content_of_unknown_size_with_a_validator_matches_by_its_receipt(placed, entry, counted):
    sizeless = entry(size=None, digests=())
    record(str(placed), entry_key(sizeless), boot="a")
    assert matches(str(placed), sizeless, hash_file=counted, boot="a")


def test_a_weak_digest_verifies_and_one_that_cannot_be_computed_is_passed_over(placed, entry, counted):
    weak = entry(validator=None, digests=(Digest("blake9", "00"), Digest("md5", hashlib.md5(DATA).hexdigest())))
    assert matches(str(placed), weak, hash_file=counted, boot="a")
    assert counted.asked == ["blake9", "md5"]
    assert not matches(str(placed), entry(digests=(Digest("blake9", "00"),)), hash_file=counted, boot="b")


def test_a_file_system_without_attributes_hashes_every_time(tmp_path, entry, counted, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(DATA)

    def unsupported(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", unsupported)
    monkeypatch.setattr(os, "getxattr", unsupported)
    assert not record(str(tmp_path / "weights.bin"), "key")
    for _ in range(2):
        assert matches(str(tmp_path / "weights.bin"), entry(), hash_file=counted)
    assert counted.asked == ["sha256", "sha256"]


def test_a_file_written_to_while_it_is_hashed_does_not_match(placed, entry):
    os.utime(placed, (1, 1))

    def hash_and_write(path, digest):
        right = hash_file(path, digest)
        placed.write_bytes(b"WEIGHTS")
        return right

    assert not matches(str(placed), entry(), hash_file=hash_and_write, boot="a")
    assert not matches(str(placed), entry(), verify=False, boot="a")


def test_what_is_not_a_file_does_not_match(placed, tmp_path, entry):
    assert not matches(str(tmp_path / "missing"), entry(), hash_file=hash_file)
    assert not matches(str(tmp_path), entry(), hash_file=hash_file)
    os.symlink(placed, tmp_path / "link")
    assert not matches(str(tmp_path / "link"), entry(), hash_file=hash_file, boot="a")


def test_a_receipt_that_makes_no_sense_is_no_receipt(placed, entry, counted):
    os.setxattr(placed, "user.dfly", b"\xff[")
    assert matches(str(placed), entry(), hash_file=counted, boot="a")
    assert counted.asked == ["sha256"]
