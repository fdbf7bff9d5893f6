"""What s3:// URLs resolve to, on a real store that boto3 fills and reads."""

import hashlib
import io
from collections.abc import Callable

import pytest

from dfly import AccessDenied, Digest, NotAFile, NotFound, SourceError, UsageError
from dfly_s3.backend import MOST_HEADS, S3Backend
from dfly_s3.testing import SeaweedFS

from .conftest import StrangeStore, some_bytes

Make = Callable[..., S3Backend]
Read = Callable[..., bytes]


def test_what_boto3_stores_comes_out_the_same(server: SeaweedFS, bucket: str, make_backend: Make, read: Read) -> None:
    content = some_bytes(300_000)
    server.boto3.put_object(Bucket=bucket, Key="m/model.bin", Body=content, ChecksumAlgorithm="SHA256")
    entry = make_backend().stat(f"s3://{bucket}/m/model.bin")
    assert (entry.path, entry.size, entry.url) == ("model.bin", 300_000, f"s3://{bucket}/m/model.bin")
    assert entry.digest("sha256") == hashlib.sha256(content).hexdigest()
    assert entry.blob == f"sha256-{hashlib.sha256(content).hexdigest()}"
    assert entry.validator == f"etag:{hashlib.md5(content).hexdigest()}"
    assert entry.identity == f"s3:{server.url}/{bucket}/m/model.bin"
    assert read(make_backend(), entry) == content
    assert read(make_backend(), entry, 1000, 2000) == content[1000:2000]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1"])
def test_every_checksum_of_the_store_becomes_a_digest_of_the_bytes(
    server: SeaweedFS, bucket: str, make_backend: Make, algorithm: str
) -> None:
    from dfly.store.hashing import new_hash

    content = some_bytes(10_000)
    server.boto3.put_object(Bucket=bucket, Key="a", Body=content, ChecksumAlgorithm=algorithm)
    running = new_hash(algorithm.lower(), None)
    running.update(content)
    assert make_backend().stat(f"s3://{bucket}/a").digest(algorithm.lower()) == running.hexdigest()


def test_an_upload_in_parts_has_no_digest_and_is_pinned_all_the_same(
    server: SeaweedFS, bucket: str, make_backend: Make, read: Read
) -> None:
    from boto3.s3.transfer import TransferConfig

    content = some_bytes(11 << 20)
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    server.boto3.upload_fileobj(io.BytesIO(content), bucket, "big", Config=parts)
    entry = make_backend().stat(f"s3://{bucket}/big")
    told = server.boto3.head_object(Bucket=bucket, Key="big")["ETag"].strip('"')
    assert told.endswith("-3")
    assert (entry.digests, entry.validator) == ((), f"etag:{told}")
    assert read(make_backend(), entry) == content


def test_an_object_of_a_versioned_bucket_is_pinned_by_its_version(
    server: SeaweedFS, bucket: str, make_backend: Make, read: Read
) -> None:
    boto3 = server.boto3
    boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = boto3.put_object(Bucket=bucket, Key="a", Body=b"old")["VersionId"]
    backend = make_backend()
    pinned = backend.stat(f"s3://{bucket}/a")
    new = boto3.put_object(Bucket=bucket, Key="a", Body=b"new")["VersionId"]
    assert (pinned.url, pinned.validator) == (f"s3://{bucket}/a?versionId={old}", f"version:{old}")
    assert read(backend, pinned) == b"old"
    assert backend.list(f"s3://{bucket}").entries[0].url == f"s3://{bucket}/a?versionId={new}"
    boto3.delete_object(Bucket=bucket, Key="a")
    assert read(backend, pinned) == b"old"
    with pytest.raises(NotFound):
        backend.stat(f"s3://{bucket}/a")


def test_a_version_of_a_bucket_without_versions_is_not_found(
    server: SeaweedFS, bucket: str, make_backend: Make
) -> None:
    server.boto3.put_object(Bucket=bucket, Key="a", Body=b"new")
    with pytest.raises(NotFound) as caught:  # this store would answer with the only one there is
        make_backend().stat(f"s3://{bucket}/a?versionId=6714a2a4000000000000000000000000")
    assert caught.value.kind == "revision"


def test_strange_keys_are_listed_and_fetched_as_boto3_does(
    server: SeaweedFS, bucket: str, make_backend: Make, read: Read
) -> None:
    keys = ["p/a b", "p/a+b", "p/a%20b", "p/é#?&=;'\"", "p/\x01ctl", "p/deep/er/x", "p/?versionId=1", "p/~_-.!*()"]
    for key in keys:
        server.boto3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    told = {row["Key"] for row in server.boto3.list_objects_v2(Bucket=bucket)["Contents"]}
    entries = make_backend().list(f"s3://{bucket}/p/").entries
    assert {f"p/{entry.path}" for entry in entries} == told == set(keys)
    assert {f"p/{entry.path}": read(make_backend(), entry).decode() for entry in entries} == {key: key for key in keys}


def test_a_url_without_a_final_slash_is_the_object_else_what_is_below(store: StrangeStore, make_strange: Make) -> None:
    store.put("a", b"object")
    store.put("a/b", b"below")
    store.put("c/d", b"other")
    backend = make_strange()
    assert [entry.path for entry in backend.list("s3://models/a").entries] == ["a"]
    assert [entry.path for entry in backend.list("s3://models/a/").entries] == ["b"]
    assert [entry.path for entry in backend.list("s3://models/c").entries] == ["d"]
    assert backend.list("s3://models/c").source == "s3://models/c/"
    with pytest.raises(NotAFile):
        backend.stat("s3://models/c")


def test_markers_of_folders_are_passed_over_and_everything_else_is_kept(
    store: StrangeStore, make_strange: Make
) -> None:
    for key, content in {
        "p/": b"",
        "p/d/": b"",
        "p/d/x": b"x",
        "p//y": b"y",
        "p/z/": b"not empty",
        "/abs": b"abs",
    }.items():
        store.put(key, content)
    assert [entry.path for entry in make_strange().list("s3://models/p/").entries] == ["/y", "d/x", "z/"]
    assert make_strange().stat("s3://models//abs").url == "s3://models//abs"
    assert store.asked("models//abs")


def test_a_folder_of_nothing_but_its_marker_is_empty_and_a_missing_one_is_not_found(
    store: StrangeStore, make_strange: Make
) -> None:
    store.put("p/", b"")
    assert make_strange().list("s3://models/p/").entries == ()
    with pytest.raises(NotFound, match="nothing below 'q/'"):
        make_strange().list("s3://models/q/")


def test_a_prefix_has_no_version(make_strange: Make) -> None:
    with pytest.raises(UsageError):
        make_strange().list("s3://models/p/?versionId=1")


def test_every_page_of_a_listing_is_read(store: StrangeStore, make_strange: Make) -> None:
    store.page = 7
    for number in range(30):
        store.put(f"p/{number:03}")
    assert len(make_strange().list("s3://models/p/").entries) == 30
    assert len(store.asked("models")) == 5


def test_a_listing_that_leads_in_a_circle_ends(
    store: StrangeStore, make_strange: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "<Contents><Key>p/a</Key><Size>1</Size></Contents><NextContinuationToken>t</NextContinuationToken>"
    page = f"<ListBucketResult><IsTruncated>true</IsTruncated>{row}</ListBucketResult>".encode()
    monkeypatch.setattr(store, "listing", lambda asked: page)
    with pytest.raises(SourceError, match="already read"):
        make_strange().list("s3://models/p/")


def test_thousands_of_objects_are_not_asked_about_one_by_one(
    store: StrangeStore, make_strange: Make, read: Read
) -> None:
    for number in range(MOST_HEADS + 1):
        store.put(f"p/{number:05}", str(number).encode())
    backend = make_strange()
    entries = backend.list("s3://models/p/").entries
    assert len(entries) == MOST_HEADS + 1
    assert {seen.path for seen in store.requests} == {"models"}
    entry = entries[77]
    assert (entry.size, entry.digests) == (2, ())
    assert entry.validator == f"etag:{hashlib.md5(b'77').hexdigest()}"
    assert read(backend, entry) == b"77"
    assert store.asked("models/p/00077")[-1].headers["if-match"] == f'"{hashlib.md5(b"77").hexdigest()}"'


def test_few_objects_are_and_are_the_same_alone(store: StrangeStore, make_strange: Make) -> None:
    for name in "abc":
        store.put(f"p/{name}", name.encode())
    backend = make_strange()
    for entry in backend.list("s3://models/p/").entries:
        assert entry == backend.stat(entry.url)
        assert entry.digests == (Digest("md5", hashlib.md5(entry.path.encode()).hexdigest()),)


def test_one_object_that_may_not_be_read_does_not_hide_the_others(store: StrangeStore, make_strange: Make) -> None:
    from dfly.testing import faults

    store.put("p/open")
    store.put("p/closed")
    store.fault("models/p/closed", faults.status(403), times=10)
    backend = make_strange()
    closed, opened = backend.list("s3://models/p/").entries
    assert (closed.path, opened.path, closed.digests) == ("closed", "open", ())
    with pytest.raises(AccessDenied):
        backend.stat(closed.url)


def test_authorize_asks_with_these_credentials(
    server: SeaweedFS, bucket: str, empty_bucket: str, make_backend: Make
) -> None:
    server.boto3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for name in (bucket, empty_bucket):
        snapshot = make_backend().list(f"s3://{name}")
        assert make_backend().authorize(snapshot)
        assert not make_backend(secret_access_key="wrong").authorize(snapshot)
