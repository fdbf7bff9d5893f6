"""Traps of what is pinned, who may read it, and which hub is asked."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfly import (
    AccessDenied,
    Changed,
    NotFound,
    OriginUnavailable,
    Tools,
)
from dfly.backend import build_options
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.envelope import NO_ACCESS
from dfly_modelscope.testing import FixtureHub

Make = Callable[..., ModelScopeBackend]
Read = Callable[..., bytes]
WEIGHTS = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256)) * 8
FILES = {"config.json": b'{"a": 1}' * 50, "model.safetensors": WEIGHTS, "empty": b""}
MODEL = "modelscope://owner/name/model.safetensors"


def test_a_branch_that_moves_after_the_listing_changes_nothing(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entries = ms.list("modelscope://owner/name").entries
    repo.commit({"config.json": b"other", "model.safetensors": b"other", "empty": b"other"})
    assert {entry.path: read(ms, entry) for entry in entries} == FILES


def test_a_branch_named_like_a_commit_does_not_pass_for_it(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    wanted = repo.branches["master"]
    other = repo.commit({"a": b"evil"}, branch=wanted)
    with pytest.raises(Changed, match=f"branch or tag of this name, at commit {other[:8]}"):
        backend().list(f"modelscope://owner/name@{wanted}")


def test_a_gated_repository_lists_to_all_and_is_authorized_by_its_content(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/gated", FILES, gated=True)
    hub.token("ms-x", grants=["owner/gated"])
    hub.token("ms-y", name="other")
    snapshot = backend(token="ms-x").list("modelscope://owner/gated")
    answers = {token: backend(token=token).authorize(snapshot) for token in ("ms-x", "ms-y", "ms-wrong", "")}
    assert answers == {"ms-x": True, "ms-y": False, "ms-wrong": False, "": False}
    assert {call.method for call in hub.calls("resolve")} == {"HEAD"}
    assert hub.calls("cdn") == []


def test_an_access_revoked_in_the_middle_ends_with_where_to_ask(hub: FixtureHub, backend: Make, read: Read) -> None:
    repo = hub.repo("owner/name", FILES)
    ms = backend()
    entry = ms.stat(MODEL)
    read(ms, entry, 0, 1000)
    repo.gated = True
    hub.expire_links()
    with pytest.raises(AccessDenied, match="private or gated"):
        read(ms, entry, 1000)


def test_the_client_s_pickled_cookies_are_never_opened(
    hub: FixtureHub, backend: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "opened",))

    for variable, folder in (("HOME", "u/.modelscope"), ("MODELSCOPE_HOME", "m")):
        file = tmp_path / folder / "credentials/cookies"
        file.parent.mkdir(parents=True)
        file.write_bytes(pickle.dumps(Evil()))
        monkeypatch.setenv(variable, str(tmp_path / folder.partition("/")[0]))
    hub.repo("owner/name", FILES)
    assert backend().settings.token is None
    backend().list("modelscope://owner/name")
    assert not (tmp_path / "opened").exists()
    assert {(call.authorized, call.cookies) for call in hub.calls()} == {(False, False)}


def test_an_endpoint_with_password_port_and_prefix_is_used_whole_and_shown_without(tools: Tools, read: Read) -> None:
    with FixtureHub(prefix="/deep/ms") as hub:
        hub.repo("me/private", FILES, private=True)
        hub.token("ms-x", name="me")
        endpoint = hub.url.replace("http://", "http://me:hunter2@") + "/"
        options = build_options(
            ModelScopeBackend, {}, {"MODELSCOPE_ENDPOINT": endpoint, "MODELSCOPE_API_TOKEN": "ms-x"}
        )
        ms = ModelScopeBackend(options, tools)
        snapshot = ms.list("modelscope://me/private")
        # the password takes the header, so the token comes by the cookie alone
        assert {entry.path: read(ms, entry) for entry in snapshot.entries} == FILES
        assert ms.list(f"{hub.url}/models/me/private/resolve/master/config.json").entries[0].size == 400
        assert "hunter2" not in repr(snapshot)
        assert hub.url in snapshot.entries[0].identity
        assert hub.records.leaks() == []
        with pytest.raises(NotFound) as caught:
            ms.list("modelscope://me/none")
        assert "hunter2" not in str(caught.value)


def test_a_hub_that_is_not_there_is_named(backend: Make) -> None:
    with pytest.raises(OriginUnavailable, match=r"127\.0\.0\.1:1: connection refused"):
        backend(endpoint="http://127.0.0.1:1").list("modelscope://owner/name")


def test_no_access_under_200_is_no_access(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("files", edit=lambda answer: answer.update(Code=NO_ACCESS, Success=False, Data=None))
    with pytest.raises(AccessDenied):
        backend().stat(MODEL)
