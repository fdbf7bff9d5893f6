"""Files that are stored, read back with boto3, and what is left where storing fails."""

import base64
import hashlib
import math
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dfly import AccessDenied, Changed, NotFound, SourceError, UsageError
from dfly.testing import faults
from dfly.testing.faults import Seen
from dfly_s3 import upload
from dfly_s3.backend import S3Backend
from dfly_s3.testing import SeaweedFS

from .conftest import StrangeStore, complaint, some_bytes

Make = Callable[..., S3Backend]
MIB = 1 << 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts as small as S3 allows, so that a test need not move 64 MiB."""
    monkeypatch.setattr(upload, "LARGEST_PUT", 5 * MIB)
    monkeypatch.setattr(upload, "SMALLEST_PART", 5 * MIB)


def file(folder: Path, content: bytes) -> Path:
    path = folder / "file.bin"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_small_file_is_stored_in_one_piece_and_its_sha256_kept(
    server: SeaweedFS, bucket: str, make_backend: Make, tmp_path: Path, size: int
) -> None:
    content = some_bytes(size)
    make_backend().put(file(tmp_path, content), f"s3://{bucket}/a b/é+.bin")
    stored = server.boto3.get_object(Bucket=bucket, Key="a b/é+.bin", ChecksumMode="ENABLED")
    assert stored["Body"].read() == content
    assert stored["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    entry = make_backend().stat(f"s3://{bucket}/a b/é+.bin")
    assert entry.digest("sha256") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("crc", ["crc64nvme", "crc32"])
def test_a_large_file_is_stored_in_parts_with_a_checksum_of_the_whole(
    server: SeaweedFS, bucket: str, make_backend: Make, tmp_path: Path, small_parts: None, crc: str, monkeypatch
) -> None:
    content = some_bytes(12 * MIB)
    if crc == "crc32":
        monkeypatch.setitem(sys.modules, "awscrt.checksums", None)
    make_backend().put(file(tmp_path, content), f"s3://{bucket}/big")
    stored = server.boto3.get_object(Bucket=bucket, Key="big")
    assert stored["Body"].read() == content
    assert stored["ETag"].endswith('-3"')
    digest = make_backend().stat(f"s3://{bucket}/big").digest(crc)
    assert digest is not None
    if crc == "crc32":
        assert int(digest, 16) == zlib.crc32(content)
    assert server.boto3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_parts_are_larger_where_there_would_be_too_many() -> None:
    for size in (65 * MIB, 1 << 40, 5 << 40):
        assert -(-size // upload.part_length(size)) <= upload.MOST_PARTS
        assert upload.part_length(size) % MIB == 0


def test_what_the_store_received_wrong_is_not_stored(
    server: SeaweedFS, bucket: str, make_backend: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = base64.b64encode(hashlib.sha256(b"other").digest())
    monkeypatch.setattr(upload.base64, "b64encode", lambda digest: other)
    with pytest.raises(SourceError, match="BadDigest"):
        make_backend().put(file(tmp_path, b"content"), f"s3://{bucket}/a")
    with pytest.raises(NotFound):
        make_backend().stat(f"s3://{bucket}/a")


def test_an_upload_that_fails_is_aborted(
    server: SeaweedFS, bucket: str, make_backend: Make, tmp_path: Path, small_parts: None, monkeypatch
) -> None:
    path = file(tmp_path, some_bytes(11 * MIB))
    real = upload._read

    def shrinking(source, length, at):
        if source.tell() >= 10 * MIB:
            raise Changed("the file became shorter")
        return real(source, length, at)

    monkeypatch.setattr(upload, "_read", shrinking)
    with pytest.raises(Changed):
        make_backend().put(path, f"s3://{bucket}/big")
    assert server.boto3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    with pytest.raises(NotFound):
        make_backend().stat(f"s3://{bucket}/big")


def test_a_file_that_shrinks_is_said_to_have_changed(make_strange: Make, tmp_path: Path) -> None:
    path = file(tmp_path, b"x")
    with path.open("rb") as opened, pytest.raises(Changed, match="shorter"):
        upload._read(opened, 2, upload.S3Url("models", "a"))


@pytest.mark.parametrize(
    "fault", [faults.status(503), faults.silent(), faults.status(400, complaint("RequestTimeout"))]
)
def test_storing_is_tried_again_and_signed_again(
    store: StrangeStore, make_strange: Make, tmp_path: Path, fault: faults.Fault
) -> None:
    store.add("models/a", b"")
    store.fault("models/a", fault, times=2)
    store.fault("models/a", faults.status(200), times=math.inf)
    make_strange().put(file(tmp_path, b"content"), "s3://models/a")
    assert [seen.method for seen in store.requests] == ["PUT"] * 3
    sha256 = hashlib.sha256(b"content").hexdigest()
    assert {seen.headers["x-amz-content-sha256"] for seen in store.requests} == {sha256}


def test_storing_finds_the_buckets_region(store: StrangeStore, make_strange: Make, tmp_path: Path) -> None:
    def elsewhere(seen: Seen) -> bool:
        return "/eu-west-1/" not in seen.headers["authorization"]

    body = complaint("AuthorizationHeaderMalformed", Region="eu-west-1")
    store.fault("models/a", faults.status(400, body), times=math.inf, when=elsewhere)
    store.fault("models/a", faults.status(200), times=math.inf)
    make_strange().put(file(tmp_path, b"content"), "s3://models/a")
    assert len(store.requests) == 2


class Parts:
    """Answers an upload in parts; `complete` spoils the last step."""

    def __init__(self, store: StrangeStore) -> None:
        for step, query, body in (
            (
                "POST",
                "uploads=",
                b"<InitiateMultipartUploadResult><UploadId>up</UploadId></InitiateMultipartUploadResult>",
            ),
            ("PUT", "partNumber=", b""),
            ("DELETE", "uploadId=up", b""),
        ):
            store.fault("models/a", faults.status(200, body, etag='"part"'), times=math.inf, when=self.is_(step, query))
        self.is_complete = self.is_("POST", "uploadId=up")

    @staticmethod
    def is_(method: str, query: str) -> Callable[[Seen], bool]:
        return lambda seen: seen.method == method and query in seen.query


def test_a_refusal_under_status_200_is_tried_again_and_then_an_error(
    store: StrangeStore, make_strange: Make, tmp_path: Path, small_parts: None
) -> None:
    parts = Parts(store)
    path = file(tmp_path, some_bytes(6 * MIB))
    refusal = faults.status(200, complaint("InternalError"))
    store.fault("models/a", refusal, when=parts.is_complete)
    done = b"<CompleteMultipartUploadResult><ETag>x-2</ETag></CompleteMultipartUploadResult>"
    store.fault("models/a", faults.status(200, done), when=parts.is_complete)
    make_strange().put(path, "s3://models/a")
    assert "DELETE" not in [seen.method for seen in store.requests]
    store.fault("models/a", refusal, times=math.inf, when=parts.is_complete)
    with pytest.raises(SourceError, match="InternalError"):
        make_strange().put(path, "s3://models/a")
    assert store.requests[-1].method == "DELETE"


def test_an_upload_that_is_refused_says_so(store: StrangeStore, make_strange: Make, tmp_path: Path) -> None:
    store.fault("models/a", faults.status(403, complaint("AccessDenied")), times=math.inf)
    with pytest.raises(AccessDenied):
        make_strange().put(file(tmp_path, b"x"), "s3://models/a")


@pytest.mark.parametrize("url", ["s3://models", "s3://models/a/", "s3://models/a?versionId=1"])
def test_a_url_that_names_no_object_is_a_usage_error(make_strange: Make, tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError):
        make_strange().put(file(tmp_path, b"x"), url)


def test_a_file_that_is_not_there_is_a_usage_error(make_strange: Make, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        make_strange().put(tmp_path / "none", "s3://models/a")
