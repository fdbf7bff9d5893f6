"""What a hub answers to a plugin: a snapshot that can be sent on and cut up, or a SourceError. Nothing is dialled here."""

import json

import httpx
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import fuzz, headers, junk, raw_bodies, spoilt, texts, torn

from dfly.backend import Tools, build_options
from dfly.errors import DflyError, SourceError, UnsafePath
from dfly.origin.redirects import SafeRedirects
from dfly.origin.resolve import resolve
from dfly.packs import Freight
from dfly.paths import refuse_unsafe
from dfly.wire import Resolved, WireError
from dfly_hf.backend import HfBackend
from dfly_modelscope.backend import ModelScopeBackend
from dfly_s3.answers import Unreadable, page_of
from dfly_s3.backend import S3Backend

SHA = "0123456789abcdef" * 4
COMMIT = "0123456789abcdef0123" * 2
HF = {
    "revision": {"sha": COMMIT, "id": "o/r", "private": False, "gated": False},
    "tree": [
        {
            "type": "file",
            "path": "a/model.bin",
            "size": 9,
            "oid": COMMIT,
            "lfs": {"oid": SHA, "size": 9},
            "xetHash": SHA,
        },
        {"type": "file", "path": "config.json", "size": 2, "oid": COMMIT},
        {"type": "directory", "path": "a", "oid": COMMIT},
    ],
    "refs": {"branches": [{"name": "main", "targetCommit": COMMIT}], "tags": [], "converts": []},
    "paths-info": [{"type": "file", "path": "config.json", "size": 2, "oid": COMMIT}],
    "commits": [{"id": COMMIT}],
}
FILES = [
    {"Path": "a/model.bin", "Name": "model.bin", "Type": "blob", "Size": 9, "Sha256": SHA, "Revision": COMMIT},
    {"Path": "config.json", "Name": "config.json", "Type": "blob", "Size": 0, "Sha256": None, "Revision": COMMIT},
    {"Path": "a", "Name": "a", "Type": "tree", "Size": 0},
]
MODELSCOPE = {
    "Code": 200,
    "Success": True,
    "Message": "ok",
    "RequestId": "1",
    "Data": {"Files": FILES, "LatestCommitter": {"Id": COMMIT, "ShortId": COMMIT[:8]},
             "RevisionMap": {"Branches": [{"Revision": "master"}], "Tags": []}},
}  # fmt: skip
S3 = (
    b'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><EncodingType>url</EncodingType>'
    b"<IsTruncated>false</IsTruncated>"
    b'<Contents><Key>p/a%2Fmodel.bin</Key><Size>9</Size><ETag>"0123456789abcdef0123456789abcdef"</ETag></Contents>'
    b"<Contents><Key>p/b+c</Key><Size>0</Size></Contents></ListBucketResult>"
)


def hub(answer):
    """A client whose every request is answered by `answer(request)`."""

    def handle(request):
        said = answer(request)
        return httpx.Response(said.status_code, headers=said.headers, stream=httpx.ByteStream(b"".join(said.stream)))

    return httpx.Client(transport=SafeRedirects(httpx.MockTransport(handle)))


def look(backend_class, answer, url, *, recursive=True, **options):
    """Resolve `url` where the hub answers each request with `answer(request)`, and do with it what the core does."""
    asked = []

    def handle(request):
        asked.append(request)
        assert len(asked) < 100, "the hub is asked without end"
        return answer(request)

    with hub(handle) as client:
        given = {"endpoint": "http://127.0.0.1:9", **options}
        backend = None
        try:
            backend = backend_class(build_options(backend_class, given, {}), Tools(client=client, read=None))
            snapshot = resolve(backend, url, recursive=recursive)
        except DflyError:
            return None
        finally:
            if backend is not None:
                backend.close()
    assert all(entry.size is None or 0 <= entry.size < 1 << 60 for entry in snapshot.entries)
    resolved = Resolved(task="t", snapshot=snapshot)
    try:
        assert Resolved.decode(resolved.encode()).snapshot == snapshot
    except WireError as error:
        raise AssertionError("a snapshot that cannot be sent on") from error
    try:
        refuse_unsafe(entry.path for entry in snapshot.entries)
    except UnsafePath:
        return snapshot
    assert all(size is None or size > 0 for size in Freight.of(snapshot, task="t").sizes().values())
    return snapshot


def of_hf(call):
    return next((name for name in HF if f"/{name}" in call.url.path), "tree")


LINKS = headers | texts.map(lambda t: f"<{t}>; rel=next") | st.sampled_from(
    ["<http://[::1>; rel=next", "</api/models/o/r/tree/x>; rel=next", "<//elsewhere.invalid/api/x>; rel=next",
     "</api/models/o/r/tree/x?cursor=1>; rel=\"next\"", "<http://127.0.0.1:99999/api/>; rel=next", "<\x00>; rel=next"]
)  # fmt: skip


def as_json(value, status=200, **fields):
    return httpx.Response(status, content=json.dumps(value).encode(), headers=fields)


def test_the_samples_are_listings():
    assert look(HfBackend, lambda r: as_json(HF[of_hf(r)]), "hf://o/r").revision == COMMIT
    assert look(ModelScopeBackend, lambda r: as_json(MODELSCOPE), "modelscope://o/r").entries
    assert [row.key for row in page_of(S3).rows] == ["p/a/model.bin", "p/b c"]


@fuzz(st.sampled_from(["revision", "tree"]), st.data(), examples=150)
@example("tree", None)
def test_a_listing_of_hf_is_a_snapshot_or_a_source_error(call, data):
    spoiled = [{"type": "file", "path": "a", "size": 10**400, "lfs": {"size": 1 << 70}}] if data is None else (
        data.draw(spoilt(HF[call]) | junk)
    )  # fmt: skip
    look(HfBackend, lambda r: as_json(spoiled if of_hf(r) == call else HF[of_hf(r)]), "hf://o/r")


@fuzz(st.sampled_from(sorted(HF)), raw_bodies, st.sampled_from([200, 200, 400, 403, 404, 429, 500]), headers)
def test_whatever_hf_answers_is_a_snapshot_or_a_source_error(call, body, status, code):
    named = {"X-Error-Code": code.encode("latin-1", "replace"), "X-Error-Message": b"x"}

    def answer(request):
        if of_hf(request) != call:
            return as_json(HF[of_hf(request)])
        return httpx.Response(status, content=body, headers=named)

    look(HfBackend, answer, "hf://o/r")
    look(HfBackend, answer, "hf://o/r/config.json", recursive=False)
    look(HfBackend, answer, "hf://o/r@abc1234/a")


@fuzz(LINKS, examples=150)
@example("<http://[::1>; rel=next")
def test_a_next_page_of_hf_is_on_the_hub_or_a_source_error(link):
    pages = []

    def answer(request):
        assert request.url.host == "127.0.0.1"
        pages.append(request)
        if len(pages) > 5:
            return as_json([])
        told = [(b"link", link.encode("utf-8", "replace"))]
        return httpx.Response(200, content=json.dumps(HF[of_hf(request)]).encode(), headers=told)

    look(HfBackend, answer, "hf://o/r")


@fuzz(spoilt(MODELSCOPE) | junk, st.sampled_from([200, 200, 200, 400, 404, 500]), examples=200)
@example(MODELSCOPE | {"Data": {"Files": [{"Path": "a", "Size": 10**400}]}}, 200)
@example({"code": 10**400}, 200)
@example({"code": float("inf"), "data": []}, 200)
@example({"": 1, "data": {"Files": [{"path": "a", "Path": 3}]}}, 200)
def test_a_listing_of_modelscope_is_a_snapshot_or_a_source_error(said, status):
    look(ModelScopeBackend, lambda _: as_json(said, status), "modelscope://o/r")
    look(ModelScopeBackend, lambda _: as_json(said, status), "modelscope://datasets/o/r")
    look(ModelScopeBackend, lambda _: as_json(said, status), "modelscope://o/r/config.json", recursive=False)


@fuzz(torn(S3) | raw_bodies, examples=200)
@example(S3.replace(b"<Size>9<", b"<Size>" + b"9" * 5000 + b"<"))
@example(S3.replace(b"<Size>9<", "<Size>٣<".encode()))
@example(S3.replace(b"EncodingType>url<", b"EncodingType><"))
@example(b'<!DOCTYPE x [<!ENTITY a "aaaa">]><ListBucketResult/>')
@example(b"<a>" * 100_000)
@example(S3.replace(b"p/b+c", b"p/%ff%00"))
def test_a_page_of_s3_is_a_page_or_unreadable(body):
    try:
        page = page_of(body)
    except Unreadable:
        return
    assert all(0 <= row.size < 1 << 60 for row in page.rows)


TOLD = ("etag", "content-length", "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-server-side-encryption", "date")


@fuzz(torn(S3) | st.just(S3), st.dictionaries(st.sampled_from(TOLD), headers), st.sampled_from([200, 404, 403]))
@example(S3, {"content-length": "9" * 5000}, 200)
def test_a_listing_of_s3_is_a_snapshot_or_a_source_error(body, fields, status):
    told = {name: value.encode("latin-1", "replace") for name, value in fields.items()}

    def answer(request):
        if "list-type" in request.url.params:
            return httpx.Response(200, content=body)
        return httpx.Response(status, headers={"content-length": "9", "etag": '"x"'} | told)

    look(S3Backend, answer, "s3://bucket/p/", anonymous="1")


@fuzz(st.builds("http://{}".format, headers | texts) | headers, examples=150)
@example("http://xn--a/")
@example("http://h\x1f/")
@example("http://h\ud800/")
@example("http://h:99999/")
@example("http://\u2100/")
def test_an_endpoint_that_leads_nowhere_is_an_error_of_ours(endpoint):
    """Nodes choose endpoints for a seed peer."""
    for backend, url in (
        (HfBackend, "hf://o/r"),
        (ModelScopeBackend, "modelscope://o/r"),
        (S3Backend, "s3://bucket/p/"),
    ):
        look(backend, lambda _: httpx.Response(404), url, endpoint=endpoint or "x", **_anonymous(backend))


def _anonymous(backend):
    return {"anonymous": "1"} if backend is S3Backend else {}


def endless(request):
    """A new page each time, of names never seen before."""
    page = len(request.url.query) if b"cursor" in request.url.query else 0
    if "list-type" in request.url.params:
        token = request.url.params.get("continuation-token", "") + "x"
        row = f"<Contents><Key>p/{token}</Key><Size>1</Size></Contents>".encode()
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>".encode()
        return httpx.Response(200, content=S3.replace(b"<IsTruncated>false</IsTruncated>", more + row))
    if "PageNumber" in request.url.params:
        number = request.url.params["PageNumber"]
        rows = [{"Path": f"{number}-{n}", "Size": 1, "Type": "blob"} for n in range(200)]
        return as_json(MODELSCOPE | {"Data": {"Files": rows}})
    if "/api/v1/" in request.url.path:
        return as_json(MODELSCOPE)
    call = of_hf(request)
    following = f"</api/models/o/r/tree/x?cursor={'x' * (page + 1)}>; rel=next"
    return as_json(HF[call], Link=following) if call == "tree" else as_json(HF[call])


@pytest.mark.parametrize(
    ("backend", "url", "module"),
    [
        (HfBackend, "hf://o/r", "dfly_hf"),
        (ModelScopeBackend, "modelscope://datasets/o/r", "dfly_modelscope"),
        (S3Backend, "s3://bucket/p/", "dfly_s3"),
    ],
)
def test_a_listing_without_end_is_an_error(backend, url, module, monkeypatch):
    monkeypatch.setattr(f"{module}.api.MOST_PAGES", 20)
    with hub(endless) as client:
        settings = build_options(backend, {"endpoint": "http://127.0.0.1:9", **_anonymous(backend)}, {})
        made = backend(settings, Tools(client=client, read=None))
        with pytest.raises(SourceError, match="more than 20 pages"):
            resolve(made, url, recursive=True)
