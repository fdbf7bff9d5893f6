"""Traps of refusals: the hub says no under 200, and yes where nothing is."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from dfly import (
    AccessDenied,
    NotFound,
    OriginUnavailable,
    SourceError,
    Unsupported,
)
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.envelope import NO_TREE
from dfly_modelscope.testing import FixtureHub
from dfly_modelscope.testing.hub import bad_token

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
MODEL = "modelscope://owner/name/model.safetensors"


def rows(*items: Any) -> Callable[[dict[str, Any]], object]:
    """Have a listing show these rows instead."""
    return lambda envelope: envelope.update(Data={"Files": list(items)})


@pytest.mark.parametrize(
    ("envelope", "error", "match"),
    [
        ({"Code": 500, "Success": False, "Data": None, "Message": "internal"}, OriginUnavailable, "500"),
        ({"Code": 404, "Success": False, "Data": None}, NotFound, "does not exist or is private"),
        ({"Code": 403, "Success": False, "Data": None}, AccessDenied, "403"),
        ({"Code": 10010299999, "Success": True, "Data": {"Files": []}, "Message": "strange"}, SourceError, "strange"),
        ({"Code": 200, "Success": False, "Data": {"Files": []}, "Message": "no luck"}, SourceError, "no luck"),
        ({"Code": "Oops", "Success": True, "Data": {"Files": []}}, SourceError, "refuses"),
        ({"Code": 200, "Success": True, "Data": None}, Unsupported, "without data"),
        ({"Code": 200, "Success": True, "Data": "x"}, Unsupported, "without data"),
        ({"Code": 200, "Success": True, "Data": {"Files": "x"}}, Unsupported, "no list"),
        ({"Code": 200, "Success": True}, Unsupported, "without data"),
        ([1], Unsupported, "without an envelope"),
        ({"error": "x"}, Unsupported, "without an envelope"),
    ],
)
@pytest.mark.parametrize("start", ["modelscope://", "modelscope://datasets/"])
def test_a_refusal_or_a_strange_answer_under_200_is_never_an_empty_listing(
    hub: FixtureHub, backend: Make, envelope: Any, error: type[SourceError], match: str, start: str
) -> None:
    hub.repo(f"{start.partition('://')[2]}owner/name", FILES)
    for where in ("files", "tree"):
        hub.fault(where, status=200, body=json.dumps(envelope).encode(), times=None)
    with pytest.raises(error, match=match) as caught:
        backend().list(f"{start}owner/name")
    # the core retries on type: a refusal that is none of the known kinds is final
    assert error is not SourceError or type(caught.value) is SourceError


@pytest.mark.parametrize("body", [b"<html>Please log in", b"", b"[" * 100_000])
def test_an_answer_that_is_no_json_is_not_a_hub(hub: FixtureHub, backend: Make, body: bytes) -> None:
    hub.fault("files", status=200, body=body, headers={"Content-Type": "text/html"})
    with pytest.raises(Unsupported, match="MODELSCOPE_ENDPOINT"):
        backend().list("modelscope://owner/name")


@pytest.mark.parametrize("status", [200, 400, 403, 404])
def test_a_business_code_is_believed_before_the_status(hub: FixtureHub, backend: Make, status: int) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", **{**bad_token(), "status": status})
    with pytest.raises(AccessDenied, match="does not accept the token") as caught:
        backend(token="ms-wrong").list("modelscope://owner/name")
    assert "--ms-endpoint" in caught.value.hint
    assert "ms-wrong" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 400])
def test_a_refusal_in_place_of_a_file_is_not_its_content(
    hub: FixtureHub, backend: Make, read: Read, status: int
) -> None:
    hub.repo("owner/name", FILES)
    ms = backend()
    for name in ("config.json", "model.safetensors"):
        entry = ms.stat(f"modelscope://owner/name/{name}")
        hub.fault("resolve", **{**bad_token(), "status": status})
        with pytest.raises(AccessDenied, match="does not accept the token"):
            read(ms, entry)


def test_a_json_file_may_be_sent_chunked_and_another_file_as_json_may_not(
    hub: FixtureHub, backend: Make, read: Read
) -> None:
    hub.repo("owner/name", {**FILES, "notes.txt": b"{}"})
    hub.fault("resolve", whole=True, times=None, headers={"Content-Type": "application/json", "Content-Length": ""})
    ms = backend()
    assert read(ms, ms.stat("modelscope://owner/name/config.json")) == FILES["config.json"]
    with pytest.raises(OriginUnavailable, match="JSON instead of the file"):
        read(ms, ms.stat("modelscope://owner/name/notes.txt"))


def test_json_in_place_of_a_file_of_unknown_size_is_not_its_content(hub: FixtureHub, backend: Make, read: Read) -> None:
    hub.repo("owner/name", {"w.dat": b""})
    hub.fault("files", edit=rows({"Path": "w.dat", "Type": "blob", "Size": 0, "Sha256": "", "Revision": "0" * 40}))
    ms = backend()
    entry = ms.stat("modelscope://owner/name/w.dat")
    hub.fault("resolve", status=200, body=b'{"Code":403,"Success":false}')
    with pytest.raises(AccessDenied):
        read(ms, entry)
    hub.fault("resolve", status=200, body=b'{"some": "thing"}', times=None)
    with pytest.raises(OriginUnavailable, match="JSON instead of the file"):
        read(ms, entry)


def test_a_revision_that_does_not_exist_is_not_an_empty_repository(hub: FixtureHub, backend: Make) -> None:
    for kind in ("", "datasets/"):
        hub.repo(f"{kind}owner/name", FILES).tag("v2.0")
        for call in (backend().list, backend().stat):
            for url in (f"modelscope://{kind}owner/name@v2.O", f"modelscope://{kind}owner/name@v2.O/config.json"):
                with pytest.raises(NotFound, match=r"no revision 'v2\.O'") as caught:
                    call(url)
                assert (caught.value.kind, caught.value.hint) == ("revision", "did you mean 'v2.0'?")
        with pytest.raises(NotFound, match=r"branches and tags: master, v2\.0"):
            backend().list(f"modelscope://{kind}owner/name@{'0' * 40}")


def test_a_repository_without_files_is_empty_and_no_error(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/nothing", {})
    snapshot = backend().list("modelscope://owner/nothing")
    assert (snapshot.entries, snapshot.source) == ((), "modelscope://owner/nothing@master")


def test_the_kinds_of_not_found_are_told_apart(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    urls = {
        "owner/none": "repository",
        "owner/name@none": "revision",
        "owner/name/none": "file",
        "owner/name/no/x": "file",
    }
    for url, kind in urls.items():
        for call in (ms.list, ms.stat):
            with pytest.raises(NotFound) as caught:
                call(f"modelscope://{url}")
            assert caught.value.kind == kind
    # the history is rewritten between listing and fetching
    repo.commits.clear()
    with pytest.raises(NotFound, match=r"no file or folder 'model\.safetensors'"):
        read(ms, entry)


@pytest.mark.parametrize("status", [200, 404])
def test_a_folder_that_the_hub_has_no_tree_for_is_a_missing_file(hub: FixtureHub, backend: Make, status: int) -> None:
    hub.repo("owner/name", FILES)
    refusal = json.dumps({"Code": NO_TREE, "Success": False, "Message": "no tree"}).encode()
    hub.fault("files", "sub", status=status, body=refusal)
    with pytest.raises(NotFound, match=r"did you mean 'config\.json'") as caught:
        backend().stat("modelscope://owner/name/sub/config.json")
    assert caught.value.kind == "file"


@pytest.mark.parametrize(("token", "then"), [("", "give a token"), ("ms-y", "a token that may read it")])
def test_a_private_repository_is_answered_with_where_to_ask(
    hub: FixtureHub, backend: Make, token: str, then: str
) -> None:
    hub.repo("owner/private", FILES, private=True)
    hub.token("ms-y", name="other")
    with pytest.raises(AccessDenied, match="private or gated") as caught:
        backend(token=token).list("modelscope://owner/private")
    assert f"open {hub.url}/models/owner/private" in caught.value.hint
    assert then in caught.value.hint


def test_the_request_id_is_in_every_message(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/private", FILES, private=True)
    for url in ("owner/none", "owner/private"):
        with pytest.raises(SourceError, match=r"\(request fixture-\d+\)"):
            backend().list(f"modelscope://{url}")


def test_words_of_the_hub_are_quoted_without_control_characters(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=lambda answer: answer.update(Success=False, Message="\x1b[31mno\nway"))
    with pytest.raises(SourceError) as caught:
        backend().list("modelscope://owner/name")
    assert "[31mno way" in caught.value.message
    assert all(c.isprintable() for c in caught.value.message)
