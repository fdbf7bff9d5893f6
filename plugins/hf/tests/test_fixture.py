"""The fixture hub does what every hub on loopback does, and has commits of its own."""

from pathlib import Path

from dfly.testing.hub.promises import LoopbackContract
from dfly_hf.testing import File, FixtureHub


class TestFixtureHub(LoopbackContract):
    hub_class = FixtureHub
    module = "dfly_hf.testing"
    unknown = 401

    def place(self, path: str, repo: str = "owner/name") -> str:
        return f"/{repo}/resolve/main/{path}"

    def with_digest(self, path: Path, sha256: str) -> File:
        return File.of(path, sha256=sha256)


def test_commits_depend_on_content_alone() -> None:
    with FixtureHub() as one, FixtureHub() as two:
        files = {"a": b"1", "b/c": b"2"}
        first, second = one.repo("owner/name", files), two.repo("owner/name", dict(reversed(files.items())))
        assert first.refs == second.refs
        assert first.commit({"a": b"3"}) == second.commit({"a": b"3"})
        assert first.commit({"a": b"4"}) != second.commit({"a": b"5"})
