"""The fixture hub's own words: streams, links, faults, statistics, and a life as a process."""

import asyncio
import hashlib
import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest

from dfly.testing.hub import Throttle
from dfly_hf.testing import File, FixtureHub

WEIGHTS = hashlib.sha256(b"x").digest() * 40_000


def resolve(hub: FixtureHub, path: str, repo: str = "owner/name") -> str:
    return f"{hub.url}/{repo}/resolve/main/{path}"


def test_a_sparse_file_is_served_without_being_read(hub: FixtureHub, tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(1 << 40)
        file.seek((1 << 40) - 3)
        file.write(b"end")
    hub.repo("owner/name", {"huge.bin": File.of(huge, sha256="ab" * 32)})
    head = {"Range": f"bytes={(1 << 40) - 5}-"}
    answer = httpx.get(resolve(hub, "huge.bin"), headers=head, follow_redirects=True)
    assert (answer.status_code, answer.content) == (206, b"\0\0end")
    assert answer.headers["Content-Range"] == f"bytes {(1 << 40) - 5}-{(1 << 40) - 1}/{1 << 40}"
    assert hub.records.bytes_sent("huge.bin") == 5


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(
    ("asked", "status", "start", "stop"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=1279990-9999999", 206, 1_279_990, 1_280_000),
        ("bytes=-7", 206, 1_279_993, 1_280_000),
        ("bytes=1280000-", 416, 0, 0),
        ("bytes=0-1,5-6", 200, 0, 1_280_000),
        ("lines=1-2", 200, 0, 1_280_000),
    ],
)
def test_ranges_are_served_from_memory_and_disk(
    hub: FixtureHub, tmp_path: Path, on_disk: bool, asked: str, status: int, start: int, stop: int
) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    hub.repo("owner/name", tmp_path if on_disk else {"w.bin": WEIGHTS})
    answer = httpx.get(resolve(hub, "w.bin"), headers={"Range": asked}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (status, WEIGHTS[start:stop])
    assert hub.records.bytes_sent() == stop - start


def test_a_link_is_for_get_without_credentials_and_until_it_expires(hub: FixtureHub) -> None:
    hub.repo("owner/name", {"w.bin": WEIGHTS})
    link = httpx.get(resolve(hub, "w.bin")).headers["Location"]
    assert link.startswith(hub.cdn_url)
    assert httpx.get(link).content == WEIGHTS
    assert httpx.head(link).status_code == 403
    assert httpx.get(link.replace("Expires=", "Expires=1")).status_code == 403
    assert httpx.get(link, headers={"Authorization": "Bearer x"}).status_code == 400
    assert httpx.get(link, headers={"Cookie": "a=b"}).status_code == 400
    assert len(hub.records.leaks()) == 2
    hub.expire_links()
    assert httpx.get(link).status_code == 403
    with FixtureHub(link_seconds=-1) as late:
        late.repo("owner/name", {"w.bin": WEIGHTS})
        answer = httpx.get(resolve(late, "w.bin"), follow_redirects=True)
        assert (answer.status_code, "Request has expired" in answer.text) == (403, True)


def test_faults_happen_in_order_and_as_often_as_said(hub: FixtureHub) -> None:
    hub.repo("owner/name", {"a.txt": b"hello", "w.bin": WEIGHTS})
    hub.fault("resolve", "*.txt", status=503, times=2, headers={"Retry-After": "7"})
    hub.fault("resolve", "*.txt", flip=True)
    hub.fault("resolve", "*.txt", shorten=2)
    assert httpx.get(resolve(hub, "w.bin")).status_code == 302
    answers = [httpx.get(resolve(hub, "a.txt"), headers={"Accept-Encoding": "identity"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [503, 503, 200, 200, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert [answer.content for answer in answers[2:]] == [b"\x97ello", b"hel", b"hello"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_cut_body_breaks_off_where_it_was_said_to(hub: FixtureHub, tmp_path: Path, on_disk: bool) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    hub.repo("owner/name", tmp_path if on_disk else {"w.bin": WEIGHTS})
    hub.fault("cdn", cut=1000)
    got: list[bytes] = []
    with httpx.stream("GET", resolve(hub, "w.bin"), follow_redirects=True) as answer:
        assert answer.headers["Content-Length"] == str(len(WEIGHTS))
        with pytest.raises(httpx.RemoteProtocolError):
            got.extend(answer.iter_raw())
    # what extend had when it broke off
    assert b"".join(got) == WEIGHTS[:1000]


def test_a_client_that_leaves_is_no_error_and_not_counted_as_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(1 << 30)
    with FixtureHub() as hub:
        hub.repo("owner/name", {"w.bin": File.of(tmp_path / "w.bin", sha256="ab" * 32)})
        for _ in range(2):
            with httpx.stream("GET", resolve(hub, "w.bin"), follow_redirects=True) as answer:
                next(answer.iter_raw())
    # what the sockets' buffers took, at most
    assert hub.records.bytes_sent() < 1 << 28
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_commits_depend_on_content_alone() -> None:
    with FixtureHub() as one, FixtureHub() as two:
        files = {"a": b"1", "b/c": b"2"}
        first, second = one.repo("owner/name", files), two.repo("owner/name", dict(reversed(files.items())))
        assert first.refs == second.refs
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


def test_a_limited_body_is_whole(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    with FixtureHub(rate=100e6) as hub:
        hub.repo("owner/name", tmp_path)
        assert httpx.get(resolve(hub, "w.bin"), follow_redirects=True).content == WEIGHTS


def test_it_lives_as_a_process_and_tells_what_it_did(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS)
    command = [sys.executable, "-m", "dfly_hf.testing", "--root", str(tmp_path), "--repo", "owner/name"]
    command += ["--repo", f"datasets/owner/data={tmp_path}", "--private", "--token", "hf_x", "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        for place in ("owner/name", "datasets/owner/data"):
            where = f"{url}/{place}/resolve/main/w.bin"
            assert httpx.get(where).status_code == 401
            answer = httpx.get(where, headers={"Authorization": "Bearer hf_x"}, follow_redirects=True)
            assert answer.content == WEIGHTS
        with urllib.request.urlopen(f"{url}/_stats") as stats:
            told = json.load(stats)
        process.stdin.close()
        assert process.wait() == 0
    assert (told["resolve"], told["cdn"], told["bytes"], told["leaks"]) == (4, 2, 2 * len(WEIGHTS), 0)
    assert told["paths"]["datasets/owner/data/w.bin"] == {"resolve": 2, "cdn": 1, "bytes": len(WEIGHTS)}
