"""Response headers are believed only where they speak of the whole plain file."""

import base64
import hashlib

import httpx
import pytest

from dfly_http.headers import Facts, Mark

BODY = b"hello"
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
SHA512 = base64.b64encode(hashlib.sha512(BODY).digest()).decode()
MD5 = base64.b64encode(hashlib.md5(BODY).digest()).decode()


def facts(status: int = 200, **headers: str) -> Facts:
    return Facts.of(httpx.Response(status, headers={k.replace("_", "-"): v for k, v in headers.items()}))


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (200, {"content_length": "5"}, 5),
        (200, {}, None),
        (206, {"content_range": "bytes 0-0/77", "content_length": "1"}, 77),
        (200, {"content_range": "bytes 0-0/77", "content_length": "1"}, 77),
        (206, {"content_range": "bytes 0-0/*", "content_length": "1"}, None),
        (206, {"content_length": "1"}, None),
        (416, {"content_range": "bytes */0", "content_length": "9"}, 0),
        (200, {"content_length": "5", "content_encoding": "gzip"}, None),
        (206, {"content_range": "bytes 0-0/77", "content_encoding": "br"}, None),
        (200, {"content_length": "5", "content_encoding": "identity"}, 5),
        (200, {"content_length": "-5"}, None),
        (200, {"content_length": "five"}, None),
        (200, {"content_range": "pages 1-2/3", "content_length": "1"}, None),
    ],
)
def test_the_size_is_that_of_the_whole_file_or_unknown(status, headers, size):
    assert facts(status, **headers).size == size


@pytest.mark.parametrize(
    ("etag", "strong"),
    [
        ('"abc"', '"abc"'),
        ("abc", "abc"),
        ('W/"abc"', None),
        ("W/abc", None),
        ('""', None),
        ("", None),
        ('"a" "b"', None),
    ],
)
def test_only_a_strong_etag_pins(etag, strong):
    assert facts(etag=etag).etag == strong


def test_a_date_alone_pins_nothing_but_is_remembered():
    known = facts(last_modified="Mon, 01 Jan 2024 00:00:00 GMT")
    assert known.etag is None
    assert known.mark == Mark("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")


def test_a_mark_is_contradicted_by_another_value_of_its_header_only():
    mark = Mark("etag", "a")
    assert mark.contradicts(httpx.Response(200, headers={"etag": 'W/"b"'}))
    assert not mark.contradicts(httpx.Response(200, headers={"etag": 'W/"a"'}))
    assert not mark.contradicts(httpx.Response(200, headers={"etag": '"a"'}))
    assert not mark.contradicts(httpx.Response(200, headers={"last-modified": "now"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"repr_digest": f"sha-256=:{SHA256}:"},
        {"repr_digest": f"sha-1=:x:, sha-256=:{SHA256}:;q=1"},
        {"digest": f"sha-256={SHA256}"},
        {"digest": f"SHA-256={SHA256}, unixsum=30637"},
        {"content_digest": f"sha-256=:{SHA256}:"},
    ],
)
def test_every_spelling_of_a_sha256_is_read(headers):
    (digest,) = facts(**headers).digests
    assert (digest.algorithm, digest.value) == ("sha256", hashlib.sha256(BODY).hexdigest())


def test_all_known_digests_are_kept():
    found = facts(repr_digest=f"sha-512=:{SHA512}:, sha-256=:{SHA256}:", content_md5=MD5).digests
    assert [digest.algorithm for digest in found] == ["md5", "sha256", "sha512"]


def test_digests_of_a_part_are_not_those_of_the_file():
    part = {"content_range": "bytes 0-0/5", "content_digest": f"sha-256=:{SHA256}:", "content_md5": MD5}
    assert facts(206, **part).digests == ()
    assert facts(206, **part, repr_digest=f"sha-256=:{SHA256}:").digests[0].algorithm == "sha256"


@pytest.mark.parametrize(
    "headers",
    [
        {"repr_digest": f"sha-256=:{SHA256}:", "content_encoding": "gzip"},
        {"repr_digest": f"sha-256=:{MD5}:"},
        {"repr_digest": "sha-256=:not base64:"},
        {"repr_digest": f"crc32c=:{MD5}:"},
        {"content_md5": SHA256},
        {"x_linked_etag": '"' + "a" * 64 + '"'},
        {"etag": '"' + "a" * 64 + '"'},
    ],
)
def test_what_is_no_digest_of_the_plain_file_is_none(headers):
    assert facts(**headers).digests == ()


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="model.bin"', "model.bin"),
        ("attachment; filename=model.bin", "model.bin"),
        ("attachment; filename*=UTF-8''%E4%BD%A0.bin", "你.bin"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.bin"', "y.bin"),
        ('attachment; filename=".."', ""),
        ("attachment", ""),
        ("", ""),
    ],
)
def test_the_servers_name_for_a_download_is_one_safe_name(disposition, name):
    assert facts(content_disposition=disposition).name == name
