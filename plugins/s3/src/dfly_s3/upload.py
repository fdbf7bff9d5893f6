"""From a file to an object: the store checks every byte against a checksum, and a failure leaves nothing behind.

Up to 64 MiB go in one request with their SHA-256, which then is the object's: wherever it is fetched from, it is the same
blob. Larger files go in parts; S3 keeps no SHA-256 of a whole made of parts, but a CRC, CRC64NVME where `awscrt` is
installed. The file is read once, in order; parts are sent several at a time, and as many are held in memory.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import BinaryIO
from xml.sax.saxutils import escape

import attrs

from dfly import Changed, SourceError, UsageError
from dfly_s3.answers import Unreadable, parse, text_of
from dfly_s3.api import S3Api
from dfly_s3.urls import S3Url

MIB = 1 << 20
LARGEST_PUT = 64 * MIB
SMALLEST_PART = 16 * MIB
MOST_PARTS = 10_000
PARTS_AT_A_TIME = 4


@attrs.frozen
class Crc:
    """A checksum of whole objects that S3 keeps for uploads in parts: its name, bytes, and running function."""

    name: str
    length: int
    function: Callable[[bytes, int], int]

    def text(self, value: int) -> str:
        """As S3 writes it."""
        return base64.b64encode(value.to_bytes(self.length, "big")).decode()


@attrs.frozen
class Part:
    """One part that the store has."""

    number: int
    etag: str
    checksum: str


def upload(api: S3Api, path: os.PathLike[str], at: S3Url) -> None:
    """Store the file at `path` as the object `at`. Raises UsageError where it cannot be read, Changed where it shrinks."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= LARGEST_PUT:
                _in_one_piece(api, file, size, at)
            else:
                _in_parts(api, file, size, at)
    except OSError as error:
        raise UsageError(f"{os.fspath(path)} cannot be read: {error.strerror or error}") from error


def part_length(size: int) -> int:
    """Bytes of each part but the last: 16 MiB, more where that would be more than 10,000 parts.

    >>> part_length(1 << 30) >> 20, part_length(1 << 40) >> 20
    (16, 105)
    """
    return max(SMALLEST_PART, -(-size // (MOST_PARTS * MIB)) * MIB)


def _in_one_piece(api: S3Api, file: BinaryIO, size: int, at: S3Url) -> None:
    content = _read(file, size, at)
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    api.call("PUT", at, content=content, headers={"x-amz-checksum-sha256": checksum})


def _in_parts(api: S3Api, file: BinaryIO, size: int, at: S3Url) -> None:
    crc = _crc()
    kind = {"x-amz-checksum-algorithm": crc.name.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    answer = api.call("POST", at, query={"uploads": ""}, headers=kind, content=b"")
    upload_id = _told(answer.body, "UploadId", at)
    try:
        parts, whole = _send_parts(api, file, size, at, upload_id=upload_id, crc=crc)
        _complete(api, at, parts, upload_id=upload_id, crc=crc, whole=crc.text(whole))
    except BaseException:
        # what is not completed is kept, and paid for, until somebody says otherwise
        with suppress(SourceError):
            api.call("DELETE", at, query={"uploadId": upload_id})
        raise


def _send_parts(
    api: S3Api, file: BinaryIO, size: int, at: S3Url, *, upload_id: str, crc: Crc
) -> tuple[list[Part], int]:
    """The parts in order, and the checksum of the whole."""

    def send(number: int, content: bytes) -> Part:
        checksum = crc.text(crc.function(content, 0))
        query = {"partNumber": str(number), "uploadId": upload_id}
        headers = {f"x-amz-checksum-{crc.name}": checksum}
        answer = api.call("PUT", at, query=query, headers=headers, content=content)
        return Part(number, answer.headers.get("etag", ""), checksum)

    whole, futures, running = 0, list[Future[Part]](), set[Future[Part]]()
    pool = ThreadPoolExecutor(PARTS_AT_A_TIME, thread_name_prefix="s3-part")
    try:
        for number, content in enumerate(_pieces(file, size, at), 1):
            whole = crc.function(content, whole)
            future = pool.submit(send, number, content)
            futures.append(future)
            running.add(future)
            del content, future
            while len(running) >= PARTS_AT_A_TIME:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
        return [future.result() for future in futures], whole
    finally:
        pool.shutdown(cancel_futures=True)


def _complete(api: S3Api, at: S3Url, parts: list[Part], *, upload_id: str, crc: Crc, whole: str) -> None:
    tag = f"Checksum{crc.name.upper()}"
    listed = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
        f"<{tag}>{part.checksum}</{tag}></Part>"
        for part in parts
    )
    document = (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{listed}</CompleteMultipartUpload>'
    )
    headers = {f"x-amz-checksum-{crc.name}": whole, "x-amz-checksum-type": "FULL_OBJECT"}
    # a refusal may come with status 200: the store answers before it is done
    answer = api.call("POST", at, query={"uploadId": upload_id}, headers=headers, content=document.encode())
    _told(answer.body, "ETag", at)


def _pieces(file: BinaryIO, size: int, at: S3Url) -> Iterator[bytes]:
    length = part_length(size)
    for start in range(0, size, length):
        yield _read(file, min(length, size - start), at)


def _read(file: BinaryIO, length: int, at: S3Url) -> bytes:
    content = file.read(length)
    if len(content) != length:
        raise Changed(f"the file for {at} became shorter while it was being stored", hint="store it again", url=str(at))
    return content


def _told(body: bytes, name: str, at: S3Url) -> str:
    try:
        return text_of(parse(body), name)
    except Unreadable as error:
        raise SourceError(f"{at}: the store's answer to an upload cannot be read: {error}", url=str(at)) from error


def _crc() -> Crc:
    try:
        function: Callable[[bytes, int], int] = importlib.import_module("awscrt.checksums").crc64nvme
    except (ImportError, AttributeError):
        return Crc("crc32", 4, zlib.crc32)
    return Crc("crc64nvme", 8, function)
