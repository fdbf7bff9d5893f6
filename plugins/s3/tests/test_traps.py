"""What object stores do to those who ask them, and that the right bytes come all the same, or the right error.

The store is a strange one (`conftest.StrangeStore`): rarely does a real one answer like this when a test wants it.
"""

import base64
import hashlib
import logging
import math
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from dfly import (
    AccessDenied,
    Changed,
    Entry,
    Expired,
    NotFound,
    OriginUnavailable,
    RangesUnsupported,
    SourceError,
    Unsupported,
)
from dfly.testing import faults
from dfly.testing.faults import Exchange, Reply, Seen
from dfly_s3.account import Account
from dfly_s3.backend import S3Backend
from dfly_s3.refusals import Complaint, refusal
from dfly_s3.settings import S3Settings
from dfly_s3.urls import S3Url

from .conftest import StrangeStore, complaint, some_bytes

Make = Callable[..., S3Backend]
Read = Callable[..., bytes]
CONTENT = some_bytes()
PATH, URL = "models/model.bin", "s3://models/model.bin"


@pytest.fixture
def backend(make_strange: Make) -> S3Backend:
    return make_strange()


@pytest.fixture
def model(store: StrangeStore, backend: S3Backend) -> Entry:
    """An object whose `stat` is over: what is spoiled from here on are its ranges."""
    store.put("model.bin", CONTENT)
    entry = backend.stat(URL)
    store.requests.clear()
    return entry


def refuse(code: int, name: str, **headers: str) -> faults.Fault:
    return faults.status(code, complaint(name), **headers)


def signed_for(seen: Seen) -> str:
    return seen.headers.get("authorization", "").partition("Credential=")[2].split("/")[2]


# Ranges


def test_a_range_under_status_200_is_accepted_by_its_content_range(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.ok_with_content_range(), times=math.inf)
    assert read(backend, model, 100, 5000) == CONTENT[100:5000]
    assert len(store.requests) == 1


def test_a_whole_object_for_a_range_is_one_stream(store: StrangeStore, backend: S3Backend, model: Entry) -> None:
    store.fault(PATH, faults.no_range(), times=math.inf)
    with pytest.raises(RangesUnsupported):
        b"".join(backend.get(model, 100, 5000))
    assert b"".join(backend.get(model, 0, None)) == CONTENT


def test_another_part_than_the_one_asked_for_is_thrown_away(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.wrong_start(), times=2)
    assert read(backend, model, 100, 5000) == CONTENT[100:5000]
    assert len(store.requests) == 3


@pytest.mark.parametrize("fault", [faults.wrong_total(), faults.unsatisfiable(total=10)])
def test_another_size_means_that_the_object_was_replaced(
    store: StrangeStore, backend: S3Backend, model: Entry, fault: faults.Fault
) -> None:
    store.fault(PATH, fault, times=math.inf)
    with pytest.raises(Changed):
        b"".join(backend.get(model, 100, 5000))


def test_ranges_are_single_absolute_and_signed_one_by_one(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    read(backend, model, len(CONTENT) - 10, None)
    read(backend, model, 5, 6)
    assert [seen.range for seen in store.requests] == ["bytes=59990-59999", "bytes=5-5"]
    first, second = (seen.headers["authorization"] for seen in store.requests)
    assert first != second
    assert all("SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date" in each for each in (first, second))


def test_a_cut_body_goes_on_at_the_offset(store: StrangeStore, backend: S3Backend, model: Entry, read: Read) -> None:
    store.fault(PATH, faults.truncated(5000))
    store.fault(PATH, faults.truncated(7000))
    assert read(backend, model) == CONTENT
    assert [seen.range for seen in store.requests] == [None, "bytes=5000-59999", "bytes=12000-59999"]


def test_a_body_shorter_than_listed_is_not_complete(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.shorter(10), times=math.inf)
    with pytest.raises(OriginUnavailable):
        read(backend, model)


def test_wrong_bytes_of_the_right_length_do_not_match_the_digest(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.corrupt(7))
    assert hashlib.md5(read(backend, model)).hexdigest() != model.digest("md5")
    assert hashlib.md5(read(backend, model)).hexdigest() == model.digest("md5")


def test_a_compressed_part_is_never_taken_for_the_plain_one(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.gzip())
    with pytest.raises(RangesUnsupported):
        b"".join(backend.get(model, 100, 5000))
    assert read(backend, model, 100, 5000) == CONTENT[100:5000]


def test_an_object_of_no_bytes_is_no_error(store: StrangeStore, backend: S3Backend, read: Read) -> None:
    entry = backend.stat(store.put("empty", b""))
    assert (entry.size, read(backend, entry)) == (0, b"")


def test_a_body_in_chunks_is_held_to_the_size(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    store.fault(PATH, faults.chunked(), times=math.inf)
    assert read(backend, model) == CONTENT


@pytest.mark.parametrize(
    "fault", [faults.status(500), refuse(503, "SlowDown"), refuse(400, "RequestTimeout"), faults.silent()]
)
def test_what_may_pass_is_tried_again(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read, fault: faults.Fault
) -> None:
    store.fault(PATH, fault, times=2)
    assert read(backend, model, 10, 500) == CONTENT[10:500]


def test_a_login_page_is_never_the_object(store: StrangeStore, backend: S3Backend, model: Entry) -> None:
    store.fault(PATH, faults.web_page(), times=math.inf)
    with pytest.raises(OriginUnavailable, match="web page"):
        b"".join(backend.get(model, 0, None))


@pytest.mark.parametrize("path", ["models", PATH])
def test_a_login_page_in_front_of_the_store_is_said_to_be_no_store(
    store: StrangeStore, backend: S3Backend, path: str
) -> None:
    store.put("model.bin")
    store.fault(path, faults.web_page(), times=math.inf)
    with pytest.raises(Unsupported, match="does not answer like an S3 store") as caught:
        backend.list("s3://models/" if path == "models" else URL)
    assert "--s3-endpoint" in caught.value.hint


# Pins


def test_an_object_that_is_replaced_in_the_middle_ends_the_download(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read
) -> None:
    assert read(backend, model, 0, 1000) == CONTENT[:1000]
    store.put("model.bin", some_bytes(seed=2))
    with pytest.raises(Changed):
        read(backend, model, 1000, None)
    assert store.requests[-1].headers["if-match"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_a_store_that_ignores_if_match_is_found_out_by_its_etag(tools, make_strange: Make, read: Read) -> None:
    with StrangeStore(honour_if_match=False) as store:
        store.put("model.bin", CONTENT)
        backend = make_strange(endpoint=store.url)
        entry = backend.stat(URL)
        store.put("model.bin", some_bytes(seed=2))
        with pytest.raises(Changed):
            read(backend, entry, 1000, None)


def test_a_store_that_answers_with_another_version_is_found_out(
    store: StrangeStore, backend: S3Backend, read: Read
) -> None:
    store.put("model.bin", CONTENT)
    store.fault(PATH, faults.headers(x_amz_version_id="v1"), times=2)
    entry = backend.stat(URL)
    assert (entry.url, entry.validator) == (f"{URL}?versionId=v1", "version:v1")
    assert read(backend, entry, 0, 10) == CONTENT[:10]
    assert store.requests[-1].query == "versionId=v1"
    store.fault(PATH, faults.headers(x_amz_version_id="v2"), times=math.inf)
    with pytest.raises(Changed, match="another version"):
        read(backend, entry, 10, 20)


@pytest.mark.parametrize("etag", ['W/"abc"', ""])
def test_what_is_not_pinned_is_not_said_to_be(store: StrangeStore, backend: S3Backend, etag: str) -> None:
    store.put("model.bin", CONTENT, etag=etag)
    store.fault(PATH, faults.headers(x_amz_request_id="1", etag=etag), times=math.inf)
    entry = backend.stat(URL)
    assert (entry.validator, entry.blob, entry.digests) == (None, None, ())


@pytest.mark.parametrize("sse", ["aws:kms", "aws:kms:dsse"])
def test_an_encrypted_objects_etag_does_not_refuse_its_right_bytes(
    store: StrangeStore, backend: S3Backend, read: Read, sse: str
) -> None:
    store.put("model.bin", CONTENT, etag=f'"{hashlib.md5(b"something else").hexdigest()}"')
    store.fault(PATH, faults.headers(x_amz_server_side_encryption=sse), times=math.inf)
    entry = backend.stat(URL)
    assert entry.digests == ()
    assert read(backend, entry) == CONTENT


def test_a_checksum_is_asked_for_and_one_of_parts_left_out(store: StrangeStore, backend: S3Backend) -> None:
    store.put("model.bin", CONTENT, etag='"abc-3"')
    store.fault(PATH, faults.headers(x_amz_checksum_crc32="1elPSA==-3", x_amz_checksum_type="COMPOSITE"))
    assert backend.stat(URL).digests == ()
    assert store.requests[-1].headers["x-amz-checksum-mode"] == "ENABLED"
    sha256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    store.fault(PATH, faults.headers(x_amz_checksum_sha256=sha256, x_amz_checksum_type="FULL_OBJECT"))
    assert backend.stat(URL).digest("sha256") == hashlib.sha256(CONTENT).hexdigest()


# Where and when


def elsewhere(region: str) -> Callable[[Seen], bool]:
    return lambda seen: signed_for(seen) != region


@pytest.mark.parametrize(
    "fault",
    [
        refuse(400, "AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-1"),
        faults.status(400, complaint("AuthorizationHeaderMalformed", Region="eu-west-1")),
        refuse(301, "PermanentRedirect", x_amz_bucket_region="eu-west-1"),
        refuse(307, "TemporaryRedirect", location="https://models.s3-eu-west-1.amazonaws.com/model.bin"),
    ],
)
def test_a_bucket_in_another_region_is_asked_there(
    store: StrangeStore, backend: S3Backend, read: Read, fault: faults.Fault
) -> None:
    store.put("model.bin", CONTENT)
    for path in (PATH, "models"):
        store.fault(path, fault, times=math.inf, when=elsewhere("eu-west-1"))
    entry = backend.stat(URL)
    assert read(backend, entry) == CONTENT
    assert len(backend.list("s3://models/").entries) == 1
    assert [signed_for(seen) for seen in store.requests].count("us-east-1") <= 2
    assert signed_for(store.requests[-1]) == "eu-west-1"


def test_a_process_that_only_has_the_entry_finds_the_region_too(
    store: StrangeStore, make_strange: Make, model: Entry, read: Read
) -> None:
    moved = refuse(400, "AuthorizationHeaderMalformed", x_amz_bucket_region="eu-west-1")
    store.fault(PATH, moved, times=math.inf, when=elsewhere("eu-west-1"))
    assert read(make_strange(), model, 10, 20) == CONTENT[10:20]
    assert [signed_for(seen) for seen in store.requests] == ["us-east-1", "eu-west-1"]


def test_a_store_that_sends_from_region_to_region_is_given_up(
    store: StrangeStore, make_strange: Make, model: Entry, read: Read
) -> None:
    def contrary(exchange: Exchange) -> None:
        told = "eu-west-1" if signed_for(exchange.seen) == "us-east-1" else "us-east-1"
        refuse(400, "AuthorizationHeaderMalformed", x_amz_bucket_region=told)(exchange)

    store.fault(PATH, contrary, times=math.inf)
    with pytest.raises(Unsupported, match="sends to"):
        make_strange().stat(URL)
    with pytest.raises(AccessDenied):
        read(make_strange(), model)
    assert len(store.requests) < 20


def test_a_redirect_to_another_store_is_not_followed_with_our_signature(
    store: StrangeStore, make_strange: Make
) -> None:
    with StrangeStore(refuse_credentials=True) as other:
        store.redirect(PATH, other.put("model.bin").replace("s3://", f"{other.url}/"))
        with pytest.raises(Unsupported, match="redirects") as caught:
            make_strange().stat(URL)
        assert other.requests == []
    assert "--s3-endpoint" in caught.value.hint


def test_an_anonymous_request_to_aws_learns_the_region_from_the_answer(make_strange: Make) -> None:
    backend = make_strange(env={}, anonymous="1", endpoint="")
    entry = Entry("a", 1, "s3://models/a", "s3:x")
    asked = backend.locate(entry).url
    assert asked == "https://models.s3.us-east-1.amazonaws.com/a"
    answer = httpx.Response(301, headers={"x-amz-bucket-region": "eu-west-1"}, request=httpx.Request("GET", asked))
    with pytest.raises(Expired):
        backend.check(entry, answer)
    assert backend.locate(entry).url == "https://models.s3.eu-west-1.amazonaws.com/a"
    with pytest.raises(Expired):  # another worker's answer, from before
        backend.check(entry, answer)


@pytest.mark.parametrize("region", ["evil.example/", "a b", "../x"])
def test_a_region_that_is_none_is_not_believed(store: StrangeStore, backend: S3Backend, region: str) -> None:
    store.put("model.bin")
    store.fault(PATH, refuse(400, "AuthorizationHeaderMalformed", x_amz_bucket_region=region), times=math.inf)
    with pytest.raises(SourceError):
        backend.stat(URL)
    assert {signed_for(seen) for seen in store.requests} == {"us-east-1"}


def test_a_wrong_clock_is_said_to_be_wrong_and_by_how_much(store: StrangeStore, backend: S3Backend) -> None:
    store.put("model.bin")
    body = complaint("RequestTimeTooSkewed", ServerTime="2001-01-01T00:00:00Z")
    store.fault(PATH, faults.status(403, body), times=math.inf)
    with pytest.raises(AccessDenied, match=r"clock is wrong: \d{9,} s ahead of the store's") as caught:
        backend.stat(URL)
    assert "set the clock" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "date", "skew"),
    [
        (Complaint("RequestTimeTooSkewed", time="2026-01-01T01:00:00Z"), "", ": 3600 s behind the store's"),
        (Complaint("RequestTimeTooSkewed"), "Wed, 31 Dec 2025 23:00:00 GMT", ": 3600 s ahead of the store's"),
        (Complaint("RequestTimeTooSkewed", time="yesterday"), "", ""),
    ],
)
def test_the_skew_is_taken_from_the_stores_own_time(said: Complaint, date: str, skew: str) -> None:
    response = httpx.Response(403, headers={"date": date}, request=httpx.Request("GET", "http://store/"))
    at, account = S3Url.parse(URL), Account(S3Settings())
    error = refusal(response, said, about=at, account=account, requester_pays=False, now=lambda: 1767225600.0)
    assert error is not None
    assert error.message == f"{URL}: this machine's clock is wrong{skew}"


# Who asks


def profile(folder: Path, token: str) -> None:
    lines = ["[default]", "aws_access_key_id = key", "aws_secret_access_key = secret", f"aws_session_token = {token}"]
    (folder / "credentials").write_text("\n".join(lines) + "\n")


@pytest.fixture
def aws(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws"
    folder.mkdir()
    profile(folder, "token-1")
    return folder


def token_1(seen: Seen) -> bool:
    return seen.headers.get("x-amz-security-token") == "token-1"


@pytest.mark.parametrize("code", ["ExpiredToken", "TokenRefreshRequired"])
def test_a_session_that_runs_out_in_the_middle_is_renewed_at_the_offset(
    store: StrangeStore, make_strange: Make, aws: Path, read: Read, code: str
) -> None:
    store.put("model.bin", CONTENT)
    backend = make_strange(env={})
    entry = backend.stat(URL)
    assert read(backend, entry, 0, 1000) == CONTENT[:1000]
    store.fault(PATH, refuse(400, code), times=math.inf, when=token_1)
    profile(aws, "token-2")
    store.requests.clear()
    assert read(backend, entry, 1000) == CONTENT[1000:]
    assert [seen.headers["x-amz-security-token"] for seen in store.requests] == ["token-1", "token-2"]
    assert {seen.range for seen in store.requests} == {"bytes=1000-59999"}


def test_a_session_that_ran_out_before_a_call_is_renewed(store: StrangeStore, make_strange: Make, aws: Path) -> None:
    store.put("model.bin", CONTENT)
    backend = make_strange(env={})
    backend.stat(URL)
    for path in (PATH, "models"):
        store.fault(path, refuse(400, "ExpiredToken"), times=math.inf, when=token_1)
    profile(aws, "token-2")
    assert backend.stat(URL).size == len(CONTENT)


@pytest.mark.parametrize("given", [{}, {"session_token": "token-1", "access_key_id": "k", "secret_access_key": "s"}])
def test_a_session_that_cannot_be_renewed_says_whose_it_is(
    store: StrangeStore, make_strange: Make, aws: Path, read: Read, given: dict[str, str]
) -> None:
    store.put("model.bin", CONTENT)
    backend = make_strange(env={}, **given)
    entry = backend.stat(URL)
    store.fault(PATH, refuse(400, "ExpiredToken"), times=math.inf)
    with pytest.raises(AccessDenied, match="has expired") as caught:
        read(backend, entry)
    assert ("--s3-access-key-id" if given else "profile 'default'") in caught.value.message
    assert "token-1" not in str(caught.value)


def test_without_credentials_nothing_is_signed_and_a_refusal_says_where_they_were_looked_for(
    store: StrangeStore, make_strange: Make
) -> None:
    store.put("model.bin", CONTENT)
    backend = make_strange(env={})
    assert backend.stat(URL).size == len(CONTENT)
    store.fault(PATH, refuse(403, "AccessDenied"), times=math.inf)
    with pytest.raises(AccessDenied, match="no credentials were found") as caught:
        backend.stat(URL)
    assert "AWS_ACCESS_KEY_ID, profile 'default'" in caught.value.hint
    assert not any("authorization" in seen.headers for seen in store.requests)


def test_what_credentials_do_not_open_may_also_not_exist_or_want_to_be_paid(
    store: StrangeStore, make_strange: Make
) -> None:
    store.put("model.bin", CONTENT)
    unpaid = refuse(403, "AccessDenied")
    store.fault(PATH, unpaid, times=math.inf, when=lambda seen: "x-amz-request-payer" not in seen.headers)
    with pytest.raises(AccessDenied) as caught:
        make_strange().stat(URL)
    assert "s3:ListBucket" in caught.value.hint
    assert "--s3-requester-pays" in caught.value.hint
    paying = make_strange(requester_pays="1")
    assert b"".join(paying.get(paying.stat(URL), 5, 10)) == CONTENT[5:10]
    assert "x-amz-request-payer" in store.requests[-1].headers["authorization"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("InvalidAccessKeyId", "does not know the access key"),
        ("SignatureDoesNotMatch", "the secret does not belong to the key"),
        ("InvalidToken", "does not accept the session token"),
        ("InvalidObjectState", "archived"),
    ],
)
def test_a_refusal_says_what_to_do(
    store: StrangeStore, backend: S3Backend, model: Entry, read: Read, code: str, says: str
) -> None:
    store.fault(PATH, refuse(403, code, x_amz_request_id="REQ1"), times=math.inf)
    with pytest.raises(AccessDenied, match=says) as caught:
        read(backend, model)
    assert caught.value.hint
    assert "REQ1" in caught.value.message


def test_an_archived_object_is_listed_and_refused_when_it_is_fetched(
    store: StrangeStore, backend: S3Backend, read: Read
) -> None:
    store.put("p/cold", CONTENT)
    archived = refuse(403, "InvalidObjectState")
    store.fault("models/p/cold", archived, times=math.inf, when=lambda seen: seen.method == "GET")
    (entry,) = backend.list("s3://models/p/").entries
    with pytest.raises(AccessDenied, match="restore-object"):
        read(backend, entry)


# What is missing


def test_a_missing_object_bucket_and_version_are_told_apart(store: StrangeStore, backend: S3Backend) -> None:
    store.put("model.bin")
    store.fault(PATH, refuse(404, "NoSuchVersion"), times=math.inf, when=lambda seen: "versionId" in seen.query)
    kinds = {}
    for url in ("s3://models/none", "s3://nowhere/model.bin", f"{URL}?versionId=v1"):
        with pytest.raises(NotFound) as caught:
            backend.stat(url)
        kinds[url] = caught.value.kind
    assert list(kinds.values()) == ["file", "bucket", "revision"]


def test_a_deleted_object_is_said_to_be_deleted(store: StrangeStore, backend: S3Backend) -> None:
    store.fault(PATH, refuse(404, "NoSuchKey", x_amz_delete_marker="true"), times=math.inf)
    with pytest.raises(NotFound, match="has been deleted"):
        backend.stat(URL)


def test_a_head_that_is_not_allowed_is_made_up_for_by_a_get(
    store: StrangeStore, backend: S3Backend, read: Read
) -> None:
    store.put("model.bin", CONTENT)
    store.fault(PATH, faults.status(405), times=math.inf, when=lambda seen: seen.method == "HEAD")
    entry = backend.stat(URL)
    assert (entry.size, read(backend, entry)) == (len(CONTENT), CONTENT)


def test_an_error_longer_than_any_error_is_not_read_to_its_end(store: StrangeStore, backend: S3Backend) -> None:
    store.fault(PATH, faults.status(403, b"<Error>" + b"x" * (1 << 20)), times=math.inf)
    with pytest.raises(AccessDenied):
        backend.stat(URL)


def test_a_listing_longer_than_any_listing_is_not_read_to_its_end(
    store: StrangeStore, backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "listing", lambda asked: b" " * (17 << 20))
    with pytest.raises(Unsupported, match="more than 16 MiB"):
        backend.list("s3://models/")


def test_a_listing_of_another_prefix_is_not_believed(
    store: StrangeStore, backend: S3Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = b"<Contents><Key>q/a</Key><Size>1</Size></Contents>"
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated>" + row + b"</ListBucketResult>"
    monkeypatch.setattr(store, "listing", lambda asked: page)
    with pytest.raises(SourceError, match="another prefix"):
        backend.list("s3://models/p/")


# What is secret


def test_neither_key_nor_token_nor_signature_is_logged(
    store: StrangeStore, make_strange: Make, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    given = {"access_key_id": "canary-key", "secret_access_key": "canary-secret", "session_token": "canary-token"}
    backend = make_strange(env={}, **given)
    store.put("model.bin", CONTENT)
    read(backend, backend.stat(URL), 5, 10)
    signature = store.requests[-1].headers["authorization"].rpartition("=")[2]
    assert "model.bin" in caplog.text
    assert not [word for word in ("canary", signature) if word in caplog.text]


def test_a_store_that_repeats_the_request_does_not_bring_the_key_into_a_message(
    store: StrangeStore, make_strange: Make
) -> None:
    def echo(exchange: Exchange) -> None:
        said = exchange.seen.headers["authorization"]
        exchange.reply = Reply(403, {}, complaint("SignatureDoesNotMatch", StringToSign=said, AWSAccessKeyId=said))

    store.fault(PATH, echo, times=math.inf)
    with pytest.raises(AccessDenied) as caught:
        make_strange(access_key_id="canary-key").stat(URL)
    assert "canary" not in str(caught.value)
