"""What a store answers, checked: XML without surprises, and what the headers of an object say about it.

An answer is a stranger's. Documents with a DOCTYPE are refused, because entities begin there and S3 has none; depth and size
are capped; a page of a listing that cannot be read is an error, never a shorter listing.

**What verifies.** A checksum counts only where it is of the whole object: `…-3` at its end, or the type COMPOSITE, marks a
hash of parts' hashes. An ETag is the MD5 of an object that was stored in one piece and not encrypted with a customer's
key; only the headers of the object itself tell the latter, so a listing's ETags pin but never verify.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

import attrs

from dfly import Digest

DEEPEST = 12
#: Fewer digits than `int` refuses to read.
_SIZE = re.compile(r"[0-9]{1,18}")
_MD5 = re.compile(r"[0-9a-f]{32}", re.IGNORECASE)
#: x-amz-checksum-<name>: bytes of its value.
_CHECKSUMS = {"sha256": 32, "sha1": 20, "crc64nvme": 8, "crc32c": 4, "crc32": 4}


class Unreadable(ValueError):
    """A document that no S3 store sends."""


@attrs.frozen
class Row:
    """One object of a listing; `etag` as in `Facts`."""

    key: str
    size: int
    etag: str | None


@attrs.frozen
class Page:
    """One page of a listing, and how to get the next."""

    rows: tuple[Row, ...]
    next_token: str | None


@attrs.frozen
class Facts:
    """What the headers of an object say. `etag` is the opaque part of a strong ETag; `version` is None without a real one."""

    size: int | None
    etag: str | None
    version: str | None
    digests: tuple[Digest, ...] = ()

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Facts:
        """Read the headers of a HEAD, or of a GET of the first byte."""
        total = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
        etag = strong(headers.get("etag", ""))
        version = headers.get("x-amz-version-id")
        digests = list(_checksums(headers))
        if etag is not None and _MD5.fullmatch(etag) and _etag_is_md5(headers):
            digests.append(Digest("md5", etag))
        return cls(
            size=int(total) if _SIZE.fullmatch(total) else None,
            etag=etag,
            # "null" is what an unversioned object is called: the next upload has the same name
            version=None if version in (None, "", "null") else version,
            digests=tuple(sorted(digests)),
        )


def strong(etag: str) -> str | None:
    """The opaque part of a strong ETag, quoted or not; None for a weak one or none."""
    etag = etag.strip()
    if etag.startswith(("W/", "w/")):
        return None
    return etag.removeprefix('"').removesuffix('"') or None


def parse(body: bytes) -> Element:
    """The root of an XML document, tags without their namespace. Raises Unreadable."""
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag: str, _: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise Unreadable("it is nested too deeply")
        builder.start(tag.rpartition(":")[2], {})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag.rpartition(":")[2])

    def doctype(*_: object) -> None:
        raise Unreadable("it has a DOCTYPE")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
        return builder.close()
    except (expat.ExpatError, ParseError, AssertionError) as error:
        raise Unreadable("it is no XML") from error


def page_of(body: bytes) -> Page:
    """Read an answer to ListObjectsV2. Raises Unreadable."""
    root = parse(body)
    if root.tag != "ListBucketResult":
        raise Unreadable(f"it is a {root.tag}, not a ListBucketResult")
    encoded = root.findtext("EncodingType") == "url"
    rows = tuple(_row(item, encoded=encoded) for item in root.findall("Contents"))
    truncated = root.findtext("IsTruncated", "false").strip()
    token = root.findtext("NextContinuationToken")
    if truncated not in ("true", "false") or (truncated == "true" and not token):
        raise Unreadable("its listing is cut short")
    return Page(rows, token if truncated == "true" else None)


def text_of(root: Element, name: str) -> str:
    """The text of a child, which must be there and not empty. Raises Unreadable."""
    found = root.findtext(name)
    if not found:
        raise Unreadable(f"it has no {name}")
    return found


def _row(item: Element, *, encoded: bool) -> Row:
    key, size = text_of(item, "Key"), text_of(item, "Size").strip()
    if not _SIZE.fullmatch(size):
        raise Unreadable("an object has no size")
    # a `+` is a space here, as AWS writes it
    name = unquote_plus(key, errors="surrogateescape") if encoded else key
    return Row(name, int(size), strong(item.findtext("ETag", "")))


def _checksums(headers: Mapping[str, str]) -> Iterator[Digest]:
    if headers.get("x-amz-checksum-type", "FULL_OBJECT").upper() != "FULL_OBJECT":
        return
    for algorithm, length in _CHECKSUMS.items():
        try:
            value = binascii.a2b_base64(headers.get(f"x-amz-checksum-{algorithm}", ""), strict_mode=True)
        except (binascii.Error, ValueError):
            continue
        if len(value) == length:
            yield Digest(algorithm, value.hex())


def _etag_is_md5(headers: Mapping[str, str]) -> bool:
    return all(
        name == "x-amz-server-side-encryption" and value.upper() == "AES256"
        for name, value in headers.items()
        if "encryption" in name.lower()
    )
