"""The fixture hub's own words: streams, links, faults, statistics, and a life as a process."""

import asyncio
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest

from dfly.testing.hub import Throttle
from dfly_modelscope.testing import File, FixtureHub

WEIGHTS = bytes(range(256)) * 5000


def content(hub: FixtureHub, path: str, repo: str = "models/owner/name") -> str:
    return f"{hub.url}/api/v1/{repo}/repo?Revision=master&FilePath={path}"


def test_a_sparse_file_is_served_without_being_read(hub: FixtureHub, tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
        file.seek((1 << 40) - 3)
        file.write(b"end")
    hub.repo("owner/name", {"huge.bin": File.of(huge, sha256="ab" * 32, lfs=True)})
    head = {"Range": f"bytes={(1 << 40) - 5}-"}
    answer = httpx.get(content(hub, "huge.bin"), headers=head, follow_redirects=True)
    assert (answer.status_code, answer.content) == (200, b"\0\0end")
    assert answer.headers["Content-Range"] == f"bytes {(1 << 40) - 5}-{(1 << 40) - 1}/{1 << 40}"
    assert hub.records.bytes_sent("huge.bin") == 5


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-0", 200, 0, 1),
        ("bytes=100-199", 200, 100, 200),
        ("bytes=1279990-9999999", 200, 1_279_990, 1_280_000),
        ("bytes=1280000-", 416, 0, 0),
        ("bytes=0-1,5-6", 200, 0, 1_280_000),
    ],
)
def test_ranges_are_served_from_memory_and_disk(
    hub: FixtureHub, tmp_path: Path, on_disk: bool, asked: str, status: int, start: int, stop: int
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    hub.repo("owner/name", tmp_path if on_disk else {"w.bin": WEIGHTS})
    answer = httpx.get(content(hub, "w.bin"), headers={"Range": asked}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (status, WEIGHTS[start:stop])
    assert hub.records.bytes_sent() == stop - start


def test_a_link_is_for_get_without_credentials_and_until_it_expires(hub: FixtureHub) -> None:
    hub.repo("owner/name", {"w.bin": WEIGHTS})
    link = httpx.get(content(hub, "w.bin")).headers["Location"]
    assert link.startswith(hub.cdn_url)
    assert httpx.get(link).content == WEIGHTS
    assert httpx.head(link).status_code == 403
    assert httpx.get(link.replace("Expires=", "Expires=1")).status_code == 403
    assert httpx.get(link, headers={"Authorization": "Bearer x"}).status_code == 400
    assert httpx.get(link, headers={"Cookie": "m_session_id=b"}).status_code == 400
    assert len(hub.records.leaks()) == 2
    hub.expire_links()
    assert httpx.get(link).status_code == 403
    with FixtureHub(link_seconds=-1) as late:
        late.repo("owner/name", {"w.bin": WEIGHTS})
        answer = httpx.get(content(late, "w.bin"), follow_redirects=True)
        assert (answer.status_code, "Request has expired" in answer.text) == (403, True)


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


def test_faults_happen_in_order_and_as_often_as_said(hub: FixtureHub) -> None:
    hub.repo("owner/name", {"a.txt": b"hello", "w.bin": WEIGHTS})
    hub.fault("resolve", "*.txt", status=503, times=2, after=1, headers={"Retry-After": "7"})
    hub.fault("resolve", "*.txt", flip=True, after=1)
    hub.fault("resolve", "*.txt", shorten=2, after=1)
    assert httpx.get(content(hub, "w.bin")).status_code == 302
    answers = [httpx.get(content(hub, "a.txt")) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200, 200, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert [answer.content for answer in answers[3:]] == [b"\x97ello", b"hel", b"hello"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_cut_body_breaks_off_where_it_was_said_to(hub: FixtureHub, tmp_path: Path, on_disk: bool) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    hub.repo("owner/name", tmp_path if on_disk else {"w.bin": WEIGHTS})
    hub.fault("cdn", cut=1000)
    got: list[bytes] = []
    with httpx.stream("GET", content(hub, "w.bin"), follow_redirects=True) as answer:
        assert answer.headers["Content-Length"] == str(len(WEIGHTS))
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_raw())
    assert b"".join(got) == WEIGHTS[:1000]


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


def test_all_bodies_together_keep_to_the_rate() -> None:
    now, slept = [100.0], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    async def spend() -> None:
        throttle = Throttle(1000.0, clock=lambda: now[0], sleep=sleep)
        for _ in range(3):
            await throttle.spend(500)
        now[0] += 10  # what was not used is lost
        await throttle.spend(250)

    asyncio.run(spend())
    assert slept == [0.5, 0.5, 0.5, 0.25]


def test_it_lives_as_a_process_and_tells_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    command = [sys.executable, "-m", "dfly_modelscope.testing", "--root", str(tmp_path), "--repo", "owner/name"]
    command += ["--repo", f"datasets/owner/data={tmp_path}", "--private", "--token", "ms-x", "--with-parent"]
    command += ["--host", "127.0.0.1", "--rate", "100e6"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        for place in ("models/owner/name", "datasets/owner/data"):
            where = f"{url}/{place}/resolve/master/w.bin"
            assert httpx.get(where).status_code == 404
            answer = httpx.get(where, headers={"Authorization": "Bearer ms-x"}, follow_redirects=True)
            assert answer.content == WEIGHTS
        with urllib.request.urlopen(f"{url}/_stats") as stats:
            told = json.load(stats)
        process.stdin.close()
        assert process.wait() == 0
    assert (told["resolve"], told["cdn"], told["bytes"], told["leaks"]) == (4, 2, 2 * len(WEIGHTS), 0)
    assert told["paths"]["datasets/owner/data/w.bin"] == {"resolve": 2, "cdn": 1, "bytes": len(WEIGHTS)}
