"""The grammar of `s3://` URLs. Pure text: no I/O.

    s3://bucket[/key-or-prefix][?versionId=…]

A key is taken literally, as AWS tools do: `%`, `#`, `+` and `?` in it are ordinary characters, `s3://bucket//a` is the key
`/a`. Only a final `?versionId=…` is not part of it; a key that really ends like that is written with an empty one behind.
"""

from __future__ import annotations

import re
from typing import Self

import attrs

from dfly import Unsupported, UsageError

_GRAMMAR = "write s3://bucket/key, or s3://bucket/prefix/ with -r"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_VERSION = re.compile(r"\?versionId=([^?&/#]*)\Z")
_EXPRESS = "--x-s3"


@attrs.frozen
class S3Url:
    """A bucket, and in it an object or prefix; `key` "" is the whole bucket. `version` is None where not given."""

    bucket: str
    key: str = ""
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an `s3://` URL. Raises UsageError, and Unsupported for access points and directory buckets."""
        scheme, _, body = text.partition("://")
        if scheme.lower() != "s3" or not body:
            raise UsageError(f"{text!r} is not an s3:// URL", hint=_GRAMMAR)
        bucket, _, key = body.partition("/")
        if bucket.startswith("arn:"):
            raise Unsupported(f"{text}: access points by ARN are not supported", hint="use the access point's alias")
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise UsageError(f"{text!r}: {bucket!r} is not a bucket name", hint=_GRAMMAR)
        if bucket.endswith(_EXPRESS):
            raise Unsupported(f"{text}: directory buckets (S3 Express) are not supported", hint="copy it to another")
        found = _VERSION.search(key)
        version = found.group(1) or None if found else None
        return cls(bucket, key[: found.start()] if found else key, version)

    @property
    def is_prefix(self) -> bool:
        """Whether only a prefix can be meant: the whole bucket, or a final `/`."""
        return not self.key or self.key.endswith("/")

    @property
    def name(self) -> str:
        """The last part of what is named that is a name: of the key, or the bucket."""
        return next((part for part in reversed(self.key.split("/")) if part), self.bucket)

    def at(self, key: str, version: str | None = None) -> Self:
        """The object `key` of the same bucket."""
        return attrs.evolve(self, key=key, version=version)

    def __str__(self) -> str:
        if not self.key:
            return f"s3://{self.bucket}"
        named = self.version is not None or _VERSION.search(self.key)
        return f"s3://{self.bucket}/{self.key}" + (f"?versionId={self.version or ''}" if named else "")
