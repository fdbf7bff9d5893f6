"""What `hf://` URLs resolve to, and what the backend says when they do not."""

import hashlib
from collections.abc import Callable

import pytest

from dfly import AccessDenied, Changed, Digest, NotAFile, NotFound, RateLimited, SourceError, Tools, UsageError
from dfly_hf.backend import HfBackend
from dfly_hf.settings import HfSettings
from dfly_hf.testing import File, FixtureHub

Make = Callable[..., HfBackend]
WEIGHTS = bytes(range(256)) * 64
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "onnx/model.onnx": b"onnx", "onnx/sub/x.txt": b"x"}


def test_a_repository_is_pinned_to_its_commit(hub: FixtureHub, backend: Make) -> None:
    commit = hub.repo("owner/name", FILES).refs["refs/heads/main"]
    snapshot = backend().list("hf://owner/name")
    assert (snapshot.source, snapshot.revision) == (f"hf://owner/name@{commit}", commit)
    assert (snapshot.name, snapshot.public) == ("name", True)
    assert [entry.path for entry in snapshot.entries] == sorted(FILES)
    assert {entry.url for entry in snapshot.entries} == {f"hf://owner/name@{commit}/{path}" for path in FILES}
    assert [call.kind for call in hub.calls()] == ["revision", "tree"]


def test_a_large_file_has_its_sha256_and_a_small_one_gits_hash(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    small, large = (backend().stat(f"hf://owner/name/{path}") for path in ("config.json", "model.safetensors"))
    git = hashlib.sha1(b"blob 2\0{}").hexdigest()
    assert small.digests == (Digest("git-sha1", git),)
    assert small.validator == f"git-sha1:{git}"
    assert small.identity == f"hf:{hub.url}/models/owner/name/config.json"
    assert large.digests == (Digest("sha256", hashlib.sha256(WEIGHTS).hexdigest()),)
    assert (small.size, large.size) == (2, len(WEIGHTS))


def test_a_file_that_a_commit_does_not_touch_stays_the_same_blob(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    before = backend().list("hf://owner/name")
    repo.commit({**FILES, "config.json": b"[]"})
    after = backend().list("hf://owner/name")
    changed = [a.path for a, b in zip(after.entries, before.entries, strict=True) if a.blob != b.blob]
    assert changed == ["config.json"]
    assert None not in {entry.blob for entry in after.entries}
    assert before.id != after.id


def test_a_folder_lists_what_is_below_it(hub: FixtureHub, backend: Make) -> None:
    hub.repo("datasets/owner/name", {**FILES, "onnx-other/y": b"y"})
    snapshot = backend().list("hf://datasets/owner/name/onnx/")
    assert [entry.path for entry in snapshot.entries] == ["model.onnx", "sub/x.txt"]
    assert snapshot.name == "onnx"
    assert snapshot.entries[0].url.endswith("/onnx/model.onnx")


def test_a_repository_and_a_folder_are_not_a_file(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    for url in ("hf://owner/name", "hf://owner/name/onnx"):
        with pytest.raises(NotAFile, match="-r"):
            backend().stat(url)


@pytest.mark.parametrize("revision", ["v2.0", "feature/x", "refs/pr/3", "refs/convert/parquet"])
def test_every_kind_of_ref_is_a_revision(hub: FixtureHub, backend: Make, revision: str) -> None:
    repo = hub.repo("owner/name", FILES)
    commit = repo.commit({"a": b"1"}, branch="refs/heads/elsewhere")
    repo.refs |= {"refs/tags/v2.0": commit, "refs/heads/feature/x": commit}
    repo.refs |= {"refs/pr/3": commit, "refs/convert/parquet": commit}
    quoted = revision if revision.startswith("refs/") else revision.replace("/", "%2F")
    assert backend().stat(f"hf://owner/name@{quoted}/a").url == f"hf://owner/name@{commit}/a"
    assert backend(revision=revision).stat("hf://owner/name/a").url == f"hf://owner/name@{commit}/a"
    assert backend(revision=revision).stat(f"hf://owner/name@{quoted}/a").size == 1


def test_two_revisions_at_once_are_a_usage_error(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES).tag("v2.0")
    with pytest.raises(UsageError, match="--hf-revision"):
        backend(revision="main").list("hf://owner/name@v2.0")
    with pytest.raises(UsageError, match="--hf-revision"):
        backend(revision="main").list("https://huggingface.co/owner/name/tree/v2.0")
    assert hub.calls() == []


def test_a_pinned_url_may_come_back_with_the_option_it_was_made_from(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name", FILES)
    repo.tag("v2.0")
    other = repo.commit({"a": b"1"})
    tagged = backend(revision="v2.0")
    entry = tagged.stat("hf://owner/name/config.json")
    assert tagged.stat(entry.url) == entry
    with pytest.raises(UsageError):
        tagged.list(f"hf://owner/name@{other}")


@pytest.mark.parametrize("expands", [True, False])
def test_a_short_hash_is_expanded(tools: Tools, expands: bool) -> None:
    with FixtureHub(short_hashes=expands) as hub:
        repo = hub.repo("owner/name", {"a": b"1"})
        first = repo.refs["refs/heads/main"]
        repo.commit({"a": b"2"})
        branch = repo.commit({"a": b"3"}, branch="other")
        hf = HfBackend(HfSettings(endpoint=hub.url), tools)
        for commit in (first, branch):
            assert hf.list(f"hf://owner/name@{commit[:7]}").revision == commit
            by_option = HfBackend(HfSettings(endpoint=hub.url, revision=commit[:9]), tools)
            assert by_option.list("hf://owner/name").revision == commit


def test_an_ambiguous_short_hash_is_answered_with_its_candidates(hub: FixtureHub, backend: Make) -> None:
    repo = hub.repo("owner/name")
    candidates = [repo.commit({"a": bytes([n])}, id="abcdef0" + str(n) * 33) for n in (1, 2)]
    with pytest.raises(UsageError, match="ambiguous") as caught:
        backend(revision="abcdef0").list("hf://owner/name")
    assert all(commit in caught.value.hint for commit in candidates)


def test_an_unknown_short_hash_says_what_to_give_instead(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    with pytest.raises(NotFound, match="full 40 digits") as caught:
        backend(revision="abc123def").list("hf://owner/name")
    assert caught.value.kind == "revision"


def test_a_misspelt_revision_is_answered_with_near_matches(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES).tag("v2.0")
    with pytest.raises(
        NotFound, match=r"no revision 'v2\.O'\D*\(request fixture-\d+\)\ndid you mean 'v2\.0'\?"
    ) as caught:
        backend(revision="v2.O").list("hf://owner/name")
    assert caught.value.kind == "revision"
    with pytest.raises(NotFound, match=r"branches and tags: main, v2\.0"):
        backend(revision="zzz").list("hf://owner/name")


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("model.safetensor", "model.safetensors"), ("Config.json", "config.json"), ("model.onnx", "onnx/model.onnx")],
)
def test_a_misspelt_file_is_answered_with_near_matches(hub: FixtureHub, backend: Make, asked: str, meant: str) -> None:
    hub.repo("owner/name", FILES)
    for call in (backend().stat, backend().list):
        with pytest.raises(NotFound, match=f"did you mean.*'{meant}'") as caught:
            call(f"hf://owner/name/{asked}")
        assert caught.value.kind == "file"


def test_a_missing_and_a_private_repository_look_the_same_and_both_are_said(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/private", FILES, private=True)
    hub.token("hf_y")
    for repo in ("owner/private", "owner/none"):
        with pytest.raises(NotFound, match="does not exist or is private") as anonymous:
            backend().list(f"hf://{repo}")
        assert "--hf-token" in anonymous.value.hint
        with pytest.raises(NotFound, match="does not exist or is private") as known:
            backend(token="hf_y").list(f"hf://{repo}")
        assert "a token that may read it" in known.value.hint
        assert {anonymous.value.kind, known.value.kind} == {"repository"}


def test_a_token_that_the_hub_does_not_know_is_said_so(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    with pytest.raises(AccessDenied, match="does not accept the token") as caught:
        backend(token="hf_wrong").list("hf://owner/name")
    assert "hf_wrong" not in str(caught.value)


def test_a_disabled_repository_is_said_so(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES, disabled=True)
    with pytest.raises(AccessDenied, match="disabled"):
        backend().list("hf://owner/name")


def test_only_what_anybody_may_read_is_public(hub: FixtureHub, backend: Make) -> None:
    hub.repo("me/open", FILES)
    hub.repo("me/gated", FILES, gated=True)
    hub.repo("me/private", FILES, private=True)
    hub.repo("spaces/me/open", FILES)
    hub.token("hf_x", name="me")
    mine = backend(token="hf_x")
    public = {url: mine.list(f"hf://{url}").public for url in ("me/open", "me/gated", "me/private", "spaces/me/open")}
    assert public == {"me/open": True, "me/gated": False, "me/private": False, "spaces/me/open": True}
    assert not backend().list("hf://me/gated").public
    file = next(iter(FILES))
    told = {url: mine.public(mine.stat(f"hf://{url}/{file}")) for url in public}
    assert told == public
    assert not backend().public(mine.stat(f"hf://me/open/{file}")), "another one has not asked"


def test_authorize_asks_for_content_because_a_gated_listing_is_open(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/gated", FILES, gated=True)
    hub.token("hf_x", grants=["owner/gated"])
    hub.token("hf_y")
    snapshot = backend(token="hf_x").list("hf://owner/gated")
    assert backend(token="hf_x").authorize(snapshot)
    assert not backend(token="hf_y").authorize(snapshot)
    assert not backend().authorize(snapshot)
    assert not backend(token="hf_wrong").authorize(snapshot)
    assert hub.calls("cdn") == []


def test_authorize_works_beside_a_revision_option(hub: FixtureHub, backend: Make) -> None:
    hub.repo("me/private", FILES, private=True).tag("v2.0")
    hub.token("hf_x", name="me")
    mine = backend(token="hf_x", revision="v2.0")
    assert mine.authorize(mine.list("hf://me/private"))


def test_an_empty_private_repository_is_authorized_by_its_listing(hub: FixtureHub, backend: Make) -> None:
    hub.repo("me/private", {}, private=True)
    hub.token("hf_x", name="me")
    snapshot = backend(token="hf_x").list("hf://me/private")
    assert snapshot.entries == ()
    assert backend(token="hf_x").authorize(snapshot)
    assert not backend().authorize(snapshot)


def test_locating_a_file_asks_nobody(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.token("hf_x")
    entry = backend(token="hf_x").stat("hf://owner/name/config.json")
    hub.records.clear()
    request = backend(token="hf_x").locate(entry)
    assert request.url == f"{hub.url}/owner/name/resolve/{entry.url[16:56]}/config.json"
    assert dict(request.headers) == {"Authorization": "Bearer hf_x"}
    assert "hf_x" not in repr(request)
    assert hub.calls() == []


def test_a_rate_limit_that_lasts_is_said_with_what_helps(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("revision", status=429, times=None)
    with pytest.raises(RateLimited, match="give a token"):
        backend().list("hf://owner/name")
    assert len(hub.calls("revision")) == 3


def test_errors_of_the_hub_are_quoted_without_control_characters(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", FILES)
    hub.fault("tree", status=400, body=b'{"error": "\\u001b[31mno\\nway"}')
    with pytest.raises(SourceError) as caught:
        backend().list("hf://owner/name")
    assert "[31mno way" in caught.value.message
    assert all(c.isprintable() for c in caught.value.message)


def test_a_xet_file_with_sha256_is_as_good_as_an_lfs_file(hub: FixtureHub, backend: Make) -> None:
    hub.repo("owner/name", {"w.bin": File.of(b"1", lfs=True, xet="ab" * 32)})
    assert backend().stat("hf://owner/name/w.bin").digests == (Digest("sha256", hashlib.sha256(b"1").hexdigest()),)


def test_a_changed_repository_is_noticed_when_authorizing(hub: FixtureHub, backend: Make) -> None:
    hub.repo("me/private", FILES, private=True)
    hub.token("hf_x", name="me")
    snapshot = backend(token="hf_x").list("hf://me/private")
    hub.fault("resolve", headers={"X-Repo-Commit": "0" * 40})
    with pytest.raises(Changed):
        backend(token="hf_x").authorize(snapshot)
