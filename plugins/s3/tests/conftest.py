"""A real store for the session, a strange one for each test, and backends that speak to them through the core's clients."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote
from xml.sax.saxutils import escape

import pytest

from dfly.backend import Tools, build_options
from dfly.testing.faults import Reply, Seen
from dfly.testing.lent import QUICK, Reader, lent_tools
from dfly.testing.origin import FaultyOrigin
from dfly_s3.backend import S3Backend
from dfly_s3.testing import CannotStart, SeaweedFS

KEYS = {"access_key_id": "testkey", "secret_access_key": "testsecret"}


def some_bytes(size: int = 60_000, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def complaint(code: str, **more: str) -> bytes:
    fields = {"Code": code, "Message": f"the store says {code}", **more}
    return ("<Error>" + "".join(f"<{k}>{v}</{k}>" for k, v in fields.items()) + "</Error>").encode()


class StrangeStore(FaultyOrigin):
    """An object store with one bucket, `models`, whose answers can be spoiled; it checks no signature."""

    page = 1000

    def __init__(self, **given) -> None:
        super().__init__(**given)
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, content: bytes = b"hi", *, etag: str | None = None) -> str:
        """An object as it would be after one PUT; its URL."""
        self.objects[key] = content
        self.add(f"models/{key}", content, etag=f'"{hashlib.md5(content).hexdigest()}"' if etag is None else etag)
        return f"s3://models/{key}"

    def answer(self, seen: Seen) -> Reply:
        reply = super().answer(seen)
        asked = {name: values[0] for name, values in parse_qs(seen.query).items()}
        if reply.body != b"no such file\n":
            return reply
        if seen.path == "models" and "list-type" in asked:
            return Reply(200, {"Content-Type": "application/xml"}, self.listing(asked))
        code = "NoSuchKey" if seen.path.startswith("models/") else "NoSuchBucket"
        return Reply(404, {"Content-Type": "application/xml"}, complaint(code))

    def listing(self, asked: dict[str, str]) -> bytes:
        prefix, after = asked.get("prefix", ""), asked.get("continuation-token", "")
        most = int(asked.get("max-keys", self.page))
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        shown, rest = keys[:most], keys[most:]
        rows = "".join(
            f"<Contents><Key>{escape(quote(key, safe='/'))}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>&quot;{hashlib.md5(self.objects[key]).hexdigest()}&quot;</ETag></Contents>"
            for key in shown
        )
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if rest else ""
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{'true' if rest else 'false'}</IsTruncated>{token}{rows}"
            "</ListBucketResult>"
        ).encode()


@pytest.fixture(autouse=True)
def _nobodys_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "DFLY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def server() -> Iterator[SeaweedFS]:
    try:
        running = SeaweedFS()
    except CannotStart as error:
        pytest.skip(str(error))
    with running:
        yield running


@pytest.fixture
def bucket(server: SeaweedFS) -> str:
    return server.bucket()


@pytest.fixture(scope="session")
def empty_bucket(server: SeaweedFS) -> str:
    return server.bucket()


@pytest.fixture(scope="session")
def tools() -> Iterator[Tools]:
    with lent_tools(patience=QUICK) as lent:
        yield lent


@pytest.fixture
def make_backend(server: SeaweedFS, tools: Tools) -> Callable[..., S3Backend]:
    """Make a backend for the real store."""

    def make(**given: str) -> S3Backend:
        return S3Backend(build_options(S3Backend, {"endpoint": server.url, **KEYS, **given}, {}), tools)

    return make


@pytest.fixture
def store() -> Iterator[StrangeStore]:
    with StrangeStore() as running:
        yield running


@pytest.fixture
def make_strange(store: StrangeStore, tools: Tools) -> Callable[..., S3Backend]:
    """Make a backend for the strange store; `env` stands for the environment."""

    def make(env: dict[str, str] | None = None, **given: str) -> S3Backend:
        keys = {} if env is not None else KEYS
        return S3Backend(build_options(S3Backend, {"endpoint": store.url, **keys, **given}, env or {}), tools)

    return make


@pytest.fixture
def read() -> Reader:
    return Reader()
