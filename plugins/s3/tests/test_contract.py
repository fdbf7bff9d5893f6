"""The promises that every backend makes, kept by this one on a real store, with versions and without."""

from collections.abc import Callable

import pytest

from dfly.testing.contract import BackendContract, World
from dfly_s3.backend import S3Backend
from dfly_s3.testing import SECRET_KEY, SeaweedFS

from .conftest import some_bytes

CONTENT = some_bytes()
FILES = {
    "llama/model.bin": CONTENT,
    "llama/config.json": b"{}",
    "llama/sub/a b#c%20+é.txt": b"odd",
    "llama/empty.txt": b"",
}


class PromisesOfS3(BackendContract):
    versions = False

    @pytest.fixture
    def backend(self, make_backend: Callable[..., S3Backend]) -> S3Backend:
        return make_backend()

    @pytest.fixture
    def world(self, server: SeaweedFS, bucket: str, empty_bucket: str, make_backend: Callable[..., S3Backend]) -> World:
        boto3 = server.boto3
        if self.versions:
            boto3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for key, content in FILES.items():
            boto3.put_object(Bucket=bucket, Key=key, Body=content)

        def change() -> bytes:
            boto3.put_object(Bucket=bucket, Key="llama/model.bin", Body=CONTENT[::-1])
            return CONTENT[::-1]

        here = f"s3://{bucket}"
        return World(
            file=f"{here}/llama/model.bin",
            content=CONTENT,
            missing=f"{here}/llama/nowhere.bin",
            trees={
                here: FILES,
                f"{here}/llama/": {key.removeprefix("llama/"): content for key, content in FILES.items()},
                f"{here}/llama/sub": {"a b#c%20+é.txt": b"odd"},
                f"s3://{empty_bucket}": {},
            },
            missing_repository="s3://no-such-bucket/model.bin",
            missing_revision=f"{here}/llama/model.bin?versionId=6714a2a4000000000000000000000000",
            empty=f"{here}/llama/empty.txt",
            same=(f"S3://{bucket}/llama/model.bin", f"{here}/llama/model.bin?versionId="),
            stranger=make_backend(secret_access_key="wrong"),
            secrets=(SECRET_KEY, "wrong"),
            change=change,
            writable=f"{here}/llama/put.bin",
        )


class TestABucket(PromisesOfS3):
    pass


class TestABucketWithVersions(PromisesOfS3):
    versions = True
