"""What every hub on loopback must do, so that tests and benchmarks of its plugin can rely on it: subclass `LoopbackContract`."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from dfly.testing.hub.contents import Content
from dfly.testing.hub.running import LoopbackHub

WEIGHTS = random.Random(1).randbytes(1_280_000)
SIZE = len(WEIGHTS)


class LoopbackContract:
    """Streams, links, faults, statistics, and a life as a process.

    A repository is made with `hub.repo(name, files)`, and files of the storage end in `.bin`. `module` is what
    `python -m` runs; a stranger is answered with `unknown` where a repository is private.
    """

    hub_class: ClassVar[Any]
    module: ClassVar[str]
    unknown: ClassVar[int]
    part_status: ClassVar[int] = 206

    def place(self, path: str, repo: str = "owner/name") -> str:
        """Where below the endpoint a file's content is; `datasets/owner/name` is a data set."""
        raise NotImplementedError

    def with_digest(self, path: Path, sha256: str) -> Content:
        """A file of the storage whose digest is given, so that it is not read."""
        raise NotImplementedError

    @pytest.fixture
    def hub(self) -> Iterator[LoopbackHub[Any]]:
        """One that runs."""
        with self.hub_class() as running:
            yield running

    @pytest.fixture(params=["memory", "disk"])
    def weights(self, request: pytest.FixtureRequest, hub: Any, tmp_path: Path) -> str:
        """The URL of a file of the storage, served from either."""
        (tmp_path / "w.bin").write_bytes(WEIGHTS)
        hub.repo("owner/name", tmp_path if request.param == "disk" else {"w.bin": WEIGHTS})
        return f"{hub.url}{self.place('w.bin')}"

    def test_a_sparse_file_is_served_without_being_read(self, hub: Any, tmp_path: Path) -> None:
        """A terabyte of nothing."""
        huge = tmp_path / "huge.bin"
        with huge.open("wb") as file:
            file.truncate(1 << 40)
            file.seek((1 << 40) - 3)
            file.write(b"end")
        hub.repo("owner/name", {"huge.bin": self.with_digest(huge, "ab" * 32)})
        head = {"Range": f"bytes={(1 << 40) - 5}-"}
        answer = httpx.get(f"{hub.url}{self.place('huge.bin')}", headers=head, follow_redirects=True)
        assert (answer.status_code, answer.content) == (self.part_status, b"\0\0end")
        assert answer.headers["Content-Range"] == f"bytes {(1 << 40) - 5}-{(1 << 40) - 1}/{1 << 40}"
        assert hub.records.bytes_sent("huge.bin") == 5

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=100-199", 100, 200),
            ("bytes=1279990-9999999", SIZE - 10, SIZE),
            ("bytes=-7", SIZE - 7, SIZE),
        ],
    )
    def test_a_part_is_sent(self, hub: Any, weights: str, asked: str, start: int, stop: int) -> None:
        """With its place in the file, and under the hub's own status."""
        answer = httpx.get(weights, headers={"Range": asked}, follow_redirects=True)
        assert (answer.status_code, answer.content) == (self.part_status, WEIGHTS[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
        assert hub.records.bytes_sent() == stop - start

    @pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "lines=1-2"])
    def test_what_is_no_range_is_the_whole_file(self, weights: str, asked: str) -> None:
        """As a server may."""
        answer = httpx.get(weights, headers={"Range": asked}, follow_redirects=True)
        assert (answer.status_code, answer.content) == (200, WEIGHTS)
        assert "Content-Range" not in answer.headers

    def test_a_range_past_the_end_is_refused_with_the_size(self, hub: Any, weights: str) -> None:
        """And sends nothing."""
        answer = httpx.get(weights, headers={"Range": f"bytes={SIZE}-"}, follow_redirects=True)
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")
        assert hub.records.bytes_sent() == 0

    def test_a_link_is_for_get_without_credentials_and_until_it_expires(self, hub: Any) -> None:
        """Whoever brings a credential is refused and recorded."""
        hub.repo("owner/name", {"w.bin": WEIGHTS})
        link = httpx.get(f"{hub.url}{self.place('w.bin')}").headers["Location"]
        assert link.startswith(hub.cdn_url)
        assert httpx.get(link).content == WEIGHTS
        assert httpx.head(link).status_code == 403
        assert httpx.get(link.replace("Expires=", "Expires=1")).status_code == 403
        assert httpx.get(link, headers={"Authorization": "Bearer x"}).status_code == 400
        assert httpx.get(link, headers={"Cookie": "a=b"}).status_code == 400
        assert len(hub.records.leaks()) == 2
        assert httpx.get(link, headers={"X-Token": "x"}).status_code == 200
        assert len(hub.records.leaks()) == 3
        hub.expire_links()
        assert httpx.get(link).status_code == 403

    def test_a_link_runs_out(self) -> None:
        """In the words of a store."""
        with self.hub_class(link_seconds=-1) as late:
            late.repo("owner/name", {"w.bin": WEIGHTS})
            answer = httpx.get(f"{late.url}{self.place('w.bin')}", follow_redirects=True)
            assert (answer.status_code, "Request has expired" in answer.text) == (403, True)

    def test_faults_happen_in_order_and_as_often_as_said(self, hub: Any) -> None:
        """After as many calls as they leave alone."""
        hub.repo("owner/name", {"a.txt": b"hello", "w.bin": WEIGHTS})
        hub.fault("resolve", "*.txt", status=503, times=2, after=1, headers={"Retry-After": "7"})
        hub.fault("resolve", "*.txt", flip=True, after=1)
        hub.fault("resolve", "*.txt", shorten=2, after=1)
        assert httpx.get(f"{hub.url}{self.place('w.bin')}").status_code == 302
        plain = {"Accept-Encoding": "identity"}
        answers = [httpx.get(f"{hub.url}{self.place('a.txt')}", headers=plain) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200, 503, 503, 200, 200, 200]
        assert answers[1].headers["Retry-After"] == "7"
        assert [answer.content for answer in answers[3:]] == [b"\x97ello", b"hel", b"hello"]

    def test_a_cut_body_breaks_off_where_it_was_said_to(self, hub: Any, weights: str) -> None:
        """Under the whole length."""
        hub.fault("cdn", cut=1000)
        got: list[bytes] = []
        with httpx.stream("GET", weights, follow_redirects=True) as answer:
            assert answer.headers["Content-Length"] == str(SIZE)
            with pytest.raises(httpx.RemoteProtocolError):
                got.extend(answer.iter_raw())
        # what extend had when it broke off
        assert b"".join(got) == WEIGHTS[:1000]

    def test_a_client_that_leaves_is_no_error_and_not_counted_as_served(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What the sockets' buffers took, at most."""
        with (tmp_path / "w.bin").open("wb") as file:
            file.truncate(1 << 30)
        with self.hub_class() as hub:
            hub.repo("owner/name", {"w.bin": self.with_digest(tmp_path / "w.bin", "ab" * 32)})
            for _ in range(2):
                with httpx.stream("GET", f"{hub.url}{self.place('w.bin')}", follow_redirects=True) as answer:
                    next(answer.iter_raw())
        assert hub.records.bytes_sent() < 1 << 28
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    def test_a_limited_body_is_whole(self, tmp_path: Path) -> None:
        """And comes in smaller slices."""
        (tmp_path / "w.bin").write_bytes(WEIGHTS)
        with self.hub_class(rate=100e6) as hub:
            hub.repo("owner/name", tmp_path)
            assert httpx.get(f"{hub.url}{self.place('w.bin')}", follow_redirects=True).content == WEIGHTS

    def test_what_is_held_comes_when_it_is_let_go(self, hub: Any, weights: str) -> None:
        """And nothing of it before."""
        hub.hold("w.bin", 100_000)
        with httpx.stream("GET", weights, follow_redirects=True, timeout=60) as answer:
            chunks = answer.iter_raw()
            got = b""
            while len(got) < 100_000:
                got += next(chunks)
            assert hub.records.bytes_sent() == 100_000
            hub.let_go()
            assert got + b"".join(chunks) == WEIGHTS

    def test_it_lives_as_a_process_and_tells_what_it_did(self, tmp_path: Path) -> None:
        """Until its standard input closes."""
        (tmp_path / "w.bin").write_bytes(WEIGHTS)
        command = [sys.executable, "-m", self.module, "--root", str(tmp_path), "--repo", "owner/name"]
        command += ["--repo", f"datasets/owner/data={tmp_path}", "--private", "--token", "let-me-in", "--with-parent"]
        command += ["--host", "127.0.0.1", "--rate", "100e6"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            for repo in ("owner/name", "datasets/owner/data"):
                where = f"{url}{self.place('w.bin', repo)}"
                assert httpx.get(where).status_code == self.unknown
                answer = httpx.get(where, headers={"Authorization": "Bearer let-me-in"}, follow_redirects=True)
                assert answer.content == WEIGHTS
            with urllib.request.urlopen(f"{url}/_stats") as stats:
                told = json.load(stats)
            process.stdin.close()
            assert process.wait() == 0
        assert (told["resolve"], told["cdn"], told["bytes"], told["leaks"]) == (4, 2, 2 * SIZE, 0)
        assert told["paths"]["datasets/owner/data/w.bin"] == {"resolve": 2, "cdn": 1, "bytes": SIZE}
