"""Amazon S3 and compatible object stores for dfly: `s3://bucket/key`, `s3://bucket/prefix/`, `?versionId=`.

Reading order: `urls` (the grammar) → `settings` → `endpoints` (where a bucket is) → `account` (the one door to botocore:
credentials and signatures) → `answers` (XML and headers) → `refusals` (what errors mean) → `api` → `backend` → `upload`.
`dfly_s3.testing` starts a real server on loopback.
"""

from collections.abc import Iterable

from dfly import Backend, hookimpl


@hookimpl
def dfly_backends() -> Iterable[type[Backend]]:
    """The one backend of this plugin."""
    # imported here, because listing the installed plugins must not pay for httpx
    from dfly_s3.backend import S3Backend

    return [S3Backend]
