"""The fixture hub's own words: streams, links, faults, statistics, and a life as a process."""

from pathlib import Path

import httpx
import pytest

from dfly.testing.hub.promises import LoopbackContract
from dfly_modelscope.testing import File, FixtureHub

WEIGHTS = bytes(range(256)) * 5000


def content(hub: FixtureHub, path: str, repo: str = "models/owner/name") -> str:
    return f"{hub.url}/api/v1/{repo}/repo?Revision=master&FilePath={path}"


class TestFixtureHub(LoopbackContract):
    hub_class = FixtureHub
    module = "dfly_modelscope.testing"
    unknown = 404
    part_status = 200

    def place(self, path: str, repo: str = "owner/name") -> str:
        kind = "" if repo.startswith("datasets/") else "models/"
        return f"/api/v1/{kind}{repo}/repo?Revision=master&FilePath={path}"

    def with_digest(self, path: Path, sha256: str) -> File:
        return File.of(path, sha256=sha256, lfs=True)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer ms-x"}, {"Cookie": "a=b; m_session_id=ms-x"}])
def test_header_and_cookie_open_a_private_repository_each_alone(hub: FixtureHub, headers: dict[str, str]) -> None:
    hub.repo("owner/name", {"a.txt": b"hello"}, private=True)
    hub.token("ms-x", grants=["owner/name"])
    assert httpx.get(content(hub, "a.txt"), headers=headers).content == b"hello"
    assert httpx.get(content(hub, "a.txt")).json()["Code"] == 10010200001


def test_a_file_has_a_human_link_and_a_head(hub: FixtureHub) -> None:
    hub.repo("datasets/owner/name", {"a b.txt": b"hello", "w.bin": WEIGHTS})
    assert httpx.get(f"{hub.url}/datasets/owner/name/resolve/master/a%20b.txt").content == b"hello"
    head = httpx.head(content(hub, "w.bin", "datasets/owner/name"))
    assert (head.status_code, head.headers["Content-Length"], len(head.headers["X-Linked-ETag"])) == (
        200,
        "1280000",
        64,
    )
    assert hub.records.bytes_sent() == 5


def test_rows_name_the_last_commit_that_touched_them(hub: FixtureHub) -> None:
    repo = hub.repo("owner/name", {"a": b"1", "d/b": b"2", "d/e/c": b"3", "f/g": b"4"})
    first = repo.branches["master"]
    second = repo.commit({"a": b"1", "d/b": b"9", "d/e/c": b"3"})
    listing = httpx.get(f"{hub.url}/api/v1/models/owner/name/repo/files?Recursive=True").json()["Data"]
    assert {row["Path"]: row["Revision"] for row in listing["Files"]} == {
        "a": first,
        "d": second,
        "d/b": second,
        "d/e": first,
        "d/e/c": first,
    }
    assert listing["LatestCommitter"]["ShortId"] == second[:8]


def test_commits_depend_on_content_alone() -> None:
    with FixtureHub() as one, FixtureHub() as two:
        files = {"a": b"1", "b/c": b"2"}
        first, second = one.repo("owner/name", files), two.repo("owner/name", dict(reversed(files.items())))
        assert first.branches == second.branches
        assert first.commit({"a": b"3"}) == second.commit({"a": b"3"})
        assert first.commit({"a": b"4"}) != second.commit({"a": b"5"})
