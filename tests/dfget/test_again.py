"""The same command once more: what is there is not fetched again, what is wrong or old is replaced."""

import os
from pathlib import Path

import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly.testing import faults

FILES = {"config.json": b"{}", "model.bin": some_bytes(2 * MIB), "empty": b""}


@pytest.fixture
def repo(hub, fetch):
    made = hub.repo("o/r", FILES)
    fetch("hf://o/r", "out", recursive=True)
    hub.records.clear()
    return made


def content_calls(hub) -> list:
    return hub.calls("resolve", "cdn")


def test_a_second_run_transfers_nothing_and_says_so(hub, repo, dfget, here):
    done = dfget("hf://o/r", "-O", "out", "-r")
    assert done.code == 0
    assert "already there, nothing transferred" in done.err
    assert content_calls(hub) == []
    assert tree(here / "out") == FILES


def test_a_second_run_touches_no_file(hub, repo, fetch, here):
    before = {path: path.stat() for path in (here / "out").iterdir()}
    report = fetch("hf://o/r", "out", recursive=True)
    after = {path: path.stat() for path in (here / "out").iterdir()}
    assert {p: (s.st_ino, s.st_mtime_ns) for p, s in before.items()} == {
        p: (s.st_ino, s.st_mtime_ns) for p, s in after.items()
    }
    assert (report.skipped, report.sources, report.bytes) == (3, {}, 2 * MIB + 2)
    assert sorted(event.path for event in fetch.named("file.skipped")) == sorted(FILES)
    assert fetch.named("file.started") == []


def test_a_second_run_through_another_name_of_the_same_commit_transfers_nothing(hub, repo, fetch):
    repo.tag("v1")
    for url in ("hf://o/r@v1", f"hf://o/r@{repo.refs['refs/heads/main']}", "hf://models/o/r"):
        assert fetch(url, "out", recursive=True).skipped == 3
    assert content_calls(hub) == []


def test_without_its_receipt_a_file_is_hashed_and_not_fetched(hub, repo, fetch, here):
    for name in FILES:
        os.removexattr(here / "out" / name, "user.dfly")
    assert fetch("hf://o/r", "out", recursive=True).skipped == 3
    assert content_calls(hub) == []


def test_files_that_another_tool_brought_are_recognised(hub, fetch, here):
    hub.repo("o/r", FILES)
    (here / "out").mkdir()
    for name, content in FILES.items():
        (here / "out" / name).write_bytes(content)
    assert fetch("hf://o/r", "out", recursive=True).skipped == 3
    assert content_calls(hub) == []


def rewritten(path: Path) -> None:
    """Another content of the same size, not in the tick of the clock in which the first was written."""
    before = path.stat()
    path.write_bytes(b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


@pytest.mark.parametrize(
    "change",
    [
        rewritten,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.unlink(),
    ],
    ids=["same size", "shorter", "longer", "gone"],
)
@pytest.mark.parametrize("name", ["config.json", "model.bin"])
def test_a_file_changed_here_is_replaced_and_no_other(hub, repo, fetch, here, change, name):
    change(here / "out" / name)
    report = fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == FILES
    assert report.skipped == 2
    assert {call.path for call in content_calls(hub)} == {name}


def test_a_file_changed_upstream_is_replaced_and_no_other(hub, repo, fetch, here):
    newer = FILES | {"model.bin": some_bytes(2 * MIB, seed=9)}
    repo.commit(newer)
    report = fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == newer
    assert report.skipped == 2
    assert {call.path for call in content_calls(hub)} == {"model.bin"}


def test_a_file_that_upstream_removed_stays(hub, repo, fetch, here):
    repo.commit({"config.json": b"{}"})
    fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == FILES


def test_overwrite_fetches_everything_again(hub, repo, fetch, here):
    report = fetch("hf://o/r", "out", recursive=True, overwrite=True)
    assert tree(here / "out") == FILES
    assert (report.skipped, report.sources) == (0, {"hub": 2 * MIB + 2})


def test_a_demanded_digest_is_checked_on_what_is_there(hub, repo, fetch, here):
    import hashlib

    md5 = hashlib.md5(FILES["model.bin"]).hexdigest()
    assert fetch("hf://o/r/model.bin", "out/", digest=f"md5:{md5}").skipped == 1
    assert content_calls(hub) == []


def test_a_web_file_with_a_strong_etag_is_not_fetched_twice(web, fetch, here):
    link = web.add("a.bin", FILES["model.bin"])
    fetch(link)
    asked = len([seen for seen in web.requests if seen.method == "GET"])
    assert fetch(link).skipped == 1
    assert len([seen for seen in web.requests if seen.method == "GET"]) == asked
    newer = some_bytes(2 * MIB, seed=9)
    web.replace("a.bin", newer)
    assert fetch(link).skipped == 0
    assert tree(here) == {"a.bin": newer}


def test_a_web_file_that_nothing_pins_is_fetched_each_time(web, fetch, here):
    link = web.add("a.bin", FILES["model.bin"], etag="")
    fetch(link)
    newer = some_bytes(2 * MIB, seed=9)
    web.add("a.bin", newer, etag="")
    assert fetch(link).skipped == 0
    assert tree(here) == {"a.bin": newer}
    (warning,) = fetch.named("warning")
    assert warning.message.startswith("a.bin is there, but the origin does not tell whether it has changed")


def test_a_web_file_of_unknown_size_that_is_there_is_told_with_its_size(web, fetch):
    link = web.add("a.bin", FILES["model.bin"])
    web.fault("a.bin", faults.no_range(), faults.chunked(), times=99)
    assert fetch(link).skipped == 0
    again = fetch(link)
    assert (again.skipped, again.bytes) == (1, len(FILES["model.bin"]))
    assert fetch.named("file.skipped")[0].bytes == len(FILES["model.bin"])
    assert fetch.named("warning") == []


def test_a_web_file_that_nothing_but_a_demanded_digest_pins_is_not_fetched_twice(web, fetch):
    import hashlib

    link = web.add("a.bin", FILES["model.bin"], etag="")
    digest = hashlib.sha256(FILES["model.bin"]).hexdigest()
    assert fetch(link, digest=digest).skipped == 0
    assert fetch(link, digest=digest).skipped == 1


def test_a_repository_costs_two_calls_to_find_that_nothing_changed(hub, repo, fetch):
    fetch("hf://o/r", "out", recursive=True)
    assert [call.kind for call in hub.calls()] == ["revision", "tree"]
