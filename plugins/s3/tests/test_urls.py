"""What an s3:// URL names, and where that is on the web."""

import pytest

from dfly import Unsupported, UsageError
from dfly_s3.endpoints import Endpoint
from dfly_s3.urls import S3Url


@pytest.mark.parametrize(
    ("text", "bucket", "key", "version"),
    [
        ("s3://models", "models", "", None),
        ("s3://models/", "models", "", None),
        ("S3://models/a/b.bin", "models", "a/b.bin", None),
        ("s3://models/a/", "models", "a/", None),
        ("s3://models//a", "models", "/a", None),
        ("s3://models/a//b", "models", "a//b", None),
        ("s3://models/a b#c?d%20e+f", "models", "a b#c?d%20e+f", None),
        ("s3://models/a?versionId=v.1_x-", "models", "a", "v.1_x-"),
        ("s3://models/a?versionId=", "models", "a", None),
        ("s3://models/a?versionId=1?versionId=", "models", "a?versionId=1", None),
        ("s3://models/a?versionId=1?versionId=2", "models", "a?versionId=1", "2"),
    ],
)
def test_a_key_is_literal_but_for_a_final_version(text: str, bucket: str, key: str, version: str | None) -> None:
    assert S3Url.parse(text) == S3Url(bucket, key, version)


@pytest.mark.parametrize("key", ["a", "a?versionId=1", "a?versionId=", "/a", "a//b", "a%20 b?c#d", "\x01\n"])
@pytest.mark.parametrize("version", [None, "1"])
def test_every_key_can_be_written_as_a_url(key: str, version: str | None) -> None:
    at = S3Url("models", key, version)
    assert S3Url.parse(str(at)) == at


@pytest.mark.parametrize("text", ["s3://", "s3:///key", "s3://a b/c", "s3://x", "s3://a..b/c", "s3://-/x", "gs://b/k"])
def test_what_is_no_bucket_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        S3Url.parse(text)


@pytest.mark.parametrize("text", ["s3://arn:aws:s3:us-east-1:1:accesspoint/x/k", "s3://models--use1-az4--x-s3/k"])
def test_what_needs_another_protocol_is_said_to_be_unsupported(text: str) -> None:
    with pytest.raises(Unsupported):
        S3Url.parse(text)


AWS = Endpoint(lambda region: f"https://s3.{region}.amazonaws.com", "https://s3.amazonaws.com", regional=True)


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        (AWS, "models", "https://models.s3.eu-west-1.amazonaws.com/a"),
        (AWS, "my.models", "https://s3.eu-west-1.amazonaws.com/my.models/a"),
        (AWS, "Models", "https://s3.eu-west-1.amazonaws.com/Models/a"),
        (Endpoint.custom("http://minio:9000/", addressing="auto"), "models", "http://minio:9000/models/a"),
        (Endpoint.custom("http://minio:9000", addressing="virtual"), "models", "http://models.minio:9000/a"),
        (Endpoint.custom("http://127.0.0.1:9", addressing="virtual"), "models", "http://127.0.0.1:9/models/a"),
        (Endpoint.custom("http://[::1]:9", addressing="virtual"), "models", "http://[::1]:9/models/a"),
        (Endpoint.custom("https://host/s3/", addressing="auto"), "models", "https://host/s3/models/a"),
    ],
)
def test_a_bucket_is_a_host_name_where_it_can_be(endpoint: Endpoint, bucket: str, url: str) -> None:
    assert endpoint.url(bucket, "a", region="eu-west-1") == url


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("/a", "/models//a"),
        ("a//b", "/models/a//b"),
        ("a b+c%d?e#f", "/models/a%20b%2Bc%25d%3Fe%23f"),
        ("é/~_-.", "/models/%C3%A9/~_-."),
        ("\x01\n", "/models/%01%0A"),
        ("a/../b/./c", "/models/a/%2E%2E/b/%2E/c"),
        ("..", "/models/%2E%2E"),
        ("...", "/models/..."),
    ],
)
def test_every_character_of_a_key_is_encoded_once(key: str, path: str) -> None:
    endpoint = Endpoint.custom("http://minio", addressing="path")
    assert endpoint.url("models", key, region="r") == f"http://minio{path}"


def test_a_query_has_no_plus_for_a_space() -> None:
    endpoint = Endpoint.custom("http://minio", addressing="path")
    url = endpoint.url("models", "", region="r", query={"prefix": "a b+/", "uploads": ""})
    assert url == "http://minio/models?prefix=a%20b%2B%2F&uploads="


@pytest.mark.parametrize("text", ["minio:9000", "ftp://minio", "http://", "http://me:pw@minio", "http://m/?a=b"])
def test_what_is_no_endpoint_is_a_usage_error_without_the_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.custom(text, addressing="auto")
    assert "pw" not in str(caught.value)
