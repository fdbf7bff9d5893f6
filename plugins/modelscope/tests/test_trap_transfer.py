"""Traps of moving bytes: parts under any status, links that run out, tokens that must not travel."""

import hashlib
import logging
from collections.abc import Callable

import pytest

from dfly import (
    Changed,
    OriginUnavailable,
    RateLimited,
    SourceError,
    Tools,
)
from dfly.backend import build_options
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.testing.hub import bad_token

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
MODEL = "modelscope://owner/name/model.safetensors"


def make(hub: FixtureHub, tools: Tools, **given: str) -> ModelScopeBackend:
    return ModelScopeBackend(build_options(ModelScopeBackend, {"endpoint": hub.url, **given}, {}), tools)


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_part_is_known_by_its_content_range_and_not_by_its_status(
    tools: Tools, read: Read, status: int, name: str
) -> None:
    with FixtureHub(part_status=status) as hub:
        hub.repo("owner/name", FILES)
        ms = make(hub, tools)
        entry = ms.stat(f"modelscope://owner/name/{name}")
        half = len(FILES[name]) // 2
        assert read(ms, entry, half) + read(ms, entry, 0, half) == FILES[name][half:] + FILES[name][:half]
        where = "cdn" if name == "model.safetensors" else "resolve"
        assert [call.status for call in hub.calls(where)] == [status, status]
        assert hub.records.bytes_sent() == len(FILES[name])


def test_a_small_file_whose_range_is_ignored_is_not_mixed(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat("modelscope://owner/name/config.json")
    hub.fault("resolve", whole=True, times=None)
    with pytest.raises(SourceError):
        list(ms.get(entry, 100, None))
    assert b"".join(ms.get(entry, 0, None)) == FILES["config.json"]


def test_a_file_costs_one_resolve_call_and_no_head(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for entry in ms.list("modelscope://owner/name").entries:
        half = (entry.size or 0) // 2
        assert read(ms, entry, 0, half) + read(ms, entry, half) == FILES[entry.path]
    resolves = [(call.method, call.path) for call in hub.calls("resolve")]
    assert resolves.count(("GET", "model.safetensors")) == 1
    assert {method for method, _ in resolves} == {"GET"}
    assert hub.records.bytes_sent("model.safetensors") == len(WEIGHTS)


def test_bearer_and_cookie_go_to_the_hub_and_to_no_other_origin(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("me/private", FILES, private=True)
    hub.token("ms-x", name="me")
    ms = backend(token="ms-x")
    for entry in ms.list("modelscope://me/private").entries:
        read(ms, entry)
    assert ms.authorize(ms.list("modelscope://me/private"))
    at_home = hub.calls("api", "resolve")
    assert at_home
    assert {(call.authorized, call.cookies) for call in at_home} == {(True, True)}
    assert hub.calls("cdn")
    # the storage differs from the hub in its port only
    assert hub.records.leaks() == []


def test_the_leak_detector_detects(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    request = ms.locate(ms.stat(MODEL))
    link = ms.tools.client.get(request.url, extensions={"dfly.follow": False}).headers["location"]
    for header in ("Authorization", "Cookie", "X-Request-ID"):
        ms.tools.client.get(link, headers={header: "m_session_id=x"})
    assert len(hub.records.leaks()) == 3


def test_neither_token_nor_signature_is_logged(
    hub: FixtureHub, backend: Make, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.repo("me/private", FILES, private=True)
    hub.token("ms-canary", name="me")
    ms = backend(token="ms-canary")
    read(ms, ms.stat("modelscope://me/private/model.safetensors"))
    assert "/repo" in caplog.text
    assert "ms-canary" not in caplog.text
    assert "Signature" not in caplog.text


def test_a_link_that_runs_out_in_the_middle_is_renewed_at_the_offset(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    assert read(ms, entry, 0, 1000) == WEIGHTS[:1000]
    hub.expire_links()
    assert read(ms, entry, 1000) == WEIGHTS[1000:]
    assert [call.status for call in hub.calls("cdn")] == [200, 403, 200]
    assert hub.records.bytes_sent() == len(WEIGHTS)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_cut_body_goes_on_at_the_offset(hub: FixtureHub, backend: Make, read: Read, name: str) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(f"modelscope://owner/name/{name}")
    where = "cdn" if name == "model.safetensors" else "resolve"
    hub.fault(where, cut=100)
    hub.fault(where, cut=50)
    assert read(ms, entry) == FILES[name]
    last = len(FILES[name]) - 1
    assert [call.range for call in hub.calls(where)] == [None, f"bytes=100-{last}", f"bytes=150-{last}"]


def test_a_body_shorter_than_listed_is_not_complete(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault("cdn", shorten=10, times=None)
    with pytest.raises(OriginUnavailable):
        read(ms, entry)


def test_wrong_bytes_of_the_right_length_do_not_match_the_digest(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for name, where in (("config.json", "resolve"), ("model.safetensors", "cdn")):
        entry = ms.stat(f"modelscope://owner/name/{name}")
        hub.fault(where, flip=True)
        wrong = read(ms, entry)
        assert len(wrong) == entry.size
        assert hashlib.sha256(wrong).hexdigest() != entry.digest("sha256")


def test_content_that_is_announced_as_another_files_is_refused(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault("resolve", headers={"X-Linked-ETag": '"' + "0" * 64 + '"'})
    with pytest.raises(Changed, match="other content than it listed"):
        read(ms, entry)
    assert hub.calls("cdn") == []


@pytest.mark.parametrize("where", ["resolve", "cdn"])
@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_file_request_is_tried_again(
    hub: FixtureHub, backend: Make, read: Read, where: str, status: int
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    hub.fault(where, status=status)
    assert read(ms, entry) == WEIGHTS
    assert hub.calls(where)[0].status == status


def test_a_failing_api_call_is_tried_again_and_then_names_the_endpoint(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", status=500, times=2)
    assert backend().stat(MODEL).size == len(WEIGHTS)
    # a business code does not make an outage final
    hub.fault("files", **{**bad_token(), "status": 502}, times=None)
    with pytest.raises(OriginUnavailable, match=hub.url):
        backend().stat(MODEL)


def test_a_rate_limit_is_waited_out_and_one_that_lasts_says_what_helps(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    hub.fault("files", status=429, headers={"Retry-After": "0"})
    hub.fault("resolve", status=429, headers={"Retry-After": "0"})
    assert read(ms, ms.stat(MODEL)) == WEIGHTS
    hub.fault("files", status=429, times=None)
    with pytest.raises(RateLimited, match="give a token"):
        ms.stat(MODEL)
