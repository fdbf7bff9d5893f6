"""What is believed of a store's XML and headers."""

import base64
import hashlib

import pytest

from dfly import Digest
from dfly_s3.answers import DEEPEST, Facts, Row, Unreadable, page_of, parse

MD5 = hashlib.md5(b"x").hexdigest()
SHA256 = hashlib.sha256(b"x").digest()


def headers(**more: str) -> dict[str, str]:
    return {"content-length": "1", "etag": f'"{MD5}"', **{k.replace("_", "-"): v for k, v in more.items()}}


def listing(inside: str, *, more: str = "<IsTruncated>false</IsTruncated>") -> bytes:
    return (
        f"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{more}{inside}</ListBucketResult>".encode()
    )


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "b">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1/"> %p;]>',
    ],
)
def test_a_document_that_could_have_entities_is_refused(doctype: str) -> None:
    with pytest.raises(Unreadable, match="DOCTYPE"):
        parse(f"{doctype}<Error><Code>x</Code></Error>".encode())


def test_a_document_nested_without_end_is_refused() -> None:
    with pytest.raises(Unreadable, match="deep"):
        parse(b"<a>" * (DEEPEST + 1))


@pytest.mark.parametrize("body", [b"", b"{}", b"<html><br></html>", b"<a>", b"\xff\xfe", b"<a>&lol;</a>"])
def test_what_is_no_xml_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(body)


def test_keys_are_decoded_once_and_only_where_the_store_says_so() -> None:
    row = "<Contents><Key>a+b%2B%01%25</Key><Size>1</Size></Contents>"
    (encoded,) = page_of(listing(row, more="<EncodingType>url</EncodingType>")).rows
    (plain,) = page_of(listing(row)).rows
    assert encoded == Row("a b+\x01%", 1, None)
    assert plain == Row("a+b%2B%01%25", 1, None)


@pytest.mark.parametrize(
    "body",
    [
        b"<Other/>",
        listing("<Contents><Key>a</Key></Contents>"),
        listing("<Contents><Key>a</Key><Size>-1</Size></Contents>"),
        listing("<Contents><Size>1</Size></Contents>"),
        listing("", more="<IsTruncated>true</IsTruncated>"),
        listing("", more="<IsTruncated>perhaps</IsTruncated>"),
    ],
)
def test_a_page_that_cannot_be_read_is_never_a_shorter_page(body: bytes) -> None:
    with pytest.raises(Unreadable):
        page_of(body)


def test_a_checksum_of_the_whole_object_verifies() -> None:
    said = headers(x_amz_checksum_sha256=base64.b64encode(SHA256).decode(), x_amz_checksum_crc64nvme="AAAAAAAAAAE=")
    digests = Facts.of(said).digests
    assert Digest("sha256", SHA256.hex()) in digests
    assert Digest("crc64nvme", "0000000000000001") in digests


@pytest.mark.parametrize(
    "said",
    [
        headers(x_amz_checksum_crc32="1elPSA==-3"),
        headers(x_amz_checksum_crc32="1elPSA==", x_amz_checksum_type="COMPOSITE"),
        headers(x_amz_checksum_crc32="1elP"),
        headers(x_amz_checksum_crc32="not base64!"),
        headers(x_amz_checksum_sha256="1elPSA=="),
    ],
)
def test_a_checksum_of_parts_or_of_a_wrong_length_is_left_out(said: dict[str, str]) -> None:
    assert Facts.of(said).digests == (Digest("md5", MD5),)


@pytest.mark.parametrize(
    "said",
    [
        headers(etag=f'"{MD5}-3"'),
        headers(etag=f'W/"{MD5}"'),
        headers(etag='"opaque"'),
        headers(x_amz_server_side_encryption="aws:kms"),
        headers(x_amz_server_side_encryption="aws:kms:dsse"),
        headers(x_amz_server_side_encryption_customer_algorithm="AES256"),
        headers(x_goog_encryption_kms_key_name="projects/x"),
    ],
)
def test_an_etag_that_need_not_be_an_md5_is_none(said: dict[str, str]) -> None:
    assert Facts.of(said).digests == ()


def test_encryption_with_the_stores_own_key_leaves_the_etag_an_md5() -> None:
    assert Facts.of(headers(x_amz_server_side_encryption="AES256")).digests == (Digest("md5", MD5),)


def test_a_weak_etag_pins_nothing_and_an_unquoted_one_does() -> None:
    assert Facts.of(headers(etag='W/"a"')).etag is None
    assert Facts.of(headers(etag="a")).etag == "a"
    assert Facts.of(headers(etag='"W/a"')).etag == "W/a"


def test_the_version_null_is_none() -> None:
    assert Facts.of(headers(x_amz_version_id="null")).version is None
    assert Facts.of(headers(x_amz_version_id="v1")).version == "v1"


def test_the_size_of_a_part_is_its_total() -> None:
    assert Facts.of({"content-length": "1", "content-range": "bytes 0-0/77"}).size == 77
    assert Facts.of({"content-length": "1", "content-range": "bytes 0-0/*"}).size is None
